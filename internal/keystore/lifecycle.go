package keystore

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/connection"
	"keyward/internal/operation"
)

// connectCustomKeyStore makes the synchronous checks of spec key-stores 5.1 and answers; the work goes on in the
// background. That the cluster is missing shows there, as does that it has no HSM.
func (m *Manager) connectCustomKeyStore(ctx context.Context, call *operation.Call, in *kms.ConnectCustomKeyStoreInput) (*kms.ConnectCustomKeyStoreOutput, error) {
	id := value(in.CustomKeyStoreId)
	r, err := m.read(ctx, call.Scope, id)
	if err != nil {
		return nil, err
	}
	describe(call, r)
	step := connection.Next(r.State, connection.Connect)
	if step.Verdict == connection.Refuse {
		return nil, invalidState(r, connection.Connect)
	}
	if step.Verdict == connection.Go {
		cluster, err := m.inspect(ctx, call.Scope, r.ClusterID)
		if err != nil {
			return nil, err
		}
		if err := cluster.connectable(); err != nil && !cluster.missing {
			return nil, err
		}
	}
	if err := m.transit(ctx, call, id, connection.Connect); err != nil {
		return nil, err
	}
	return &kms.ConnectCustomKeyStoreOutput{}, nil
}

// disconnectCustomKeyStore cancels what runs and begins the teardown. It waits a moment for its end, so that what an
// operator types next (logging in as kmsuser, updating the password) does not come too early.
func (m *Manager) disconnectCustomKeyStore(ctx context.Context, call *operation.Call, in *kms.DisconnectCustomKeyStoreInput) (*kms.DisconnectCustomKeyStoreOutput, error) {
	id := value(in.CustomKeyStoreId)
	if err := m.transit(ctx, call, id, connection.Disconnect); err != nil {
		return nil, err
	}
	if e := m.entry(id); e != nil && e.torn != nil {
		timer := time.NewTimer(m.timing.Teardown)
		defer timer.Stop()
		select {
		case <-e.torn:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return &kms.DisconnectCustomKeyStoreOutput{}, nil
}

// transit moves the store as the table says, under a new attempt number: what ran before can write nothing any more.
func (m *Manager) transit(ctx context.Context, call *operation.Call, id string, t connection.Trigger) error {
	return m.change(ctx, call.Event, func(tx Tx) (*Record, error) {
		r, err := tx.KeyStore(call.Scope, id)
		if err != nil {
			return nil, known(err, id)
		}
		describe(call, r)
		step := connection.Next(r.State, t)
		switch step.Verdict {
		case connection.Nothing:
			return nil, nil
		case connection.Go:
			r.State, r.ErrorCode = step.To, ""
			r.Attempt++
			return r, tx.Update(r)
		default:
			return nil, invalidState(r, t)
		}
	})
}

// deleteCustomKeyStore removes metadata only. The state is checked before the keys.
func (m *Manager) deleteCustomKeyStore(ctx context.Context, call *operation.Call, in *kms.DeleteCustomKeyStoreInput) (*kms.DeleteCustomKeyStoreOutput, error) {
	id := value(in.CustomKeyStoreId)
	err := m.change(ctx, call.Event, func(tx Tx) (*Record, error) {
		r, err := tx.KeyStore(call.Scope, id)
		if err != nil {
			return nil, known(err, id)
		}
		describe(call, r)
		step := connection.Next(r.State, connection.Delete)
		if step.Verdict != connection.Go {
			return nil, invalidState(r, connection.Delete)
		}
		keys, err := tx.HasKeys(r.Scope, r.ID)
		if err != nil {
			return nil, err
		}
		if keys {
			return nil, errHasKeys
		}
		if err := tx.Delete(r); err != nil {
			return nil, err
		}
		r.State = step.To
		return r, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.DeleteCustomKeyStoreOutput{}, nil
}
