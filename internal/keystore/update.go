package keystore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/secret"
)

// updateCustomKeyStore applies the checks of spec key-stores 4.2 in their order. All properties change or none does.
func (m *Manager) updateCustomKeyStore(ctx context.Context, call *operation.Call, in *kms.UpdateCustomKeyStoreInput) (*kms.UpdateCustomKeyStoreOutput, error) {
	if in.CloudHsmClusterId != nil {
		call.Event.Request.Add("clusterId", *in.CloudHsmClusterId)
	}
	if err := checkUpdate(in); err != nil {
		return nil, err
	}
	id := value(in.CustomKeyStoreId)
	var cluster inspected
	if in.CloudHsmClusterId != nil {
		var err error
		if cluster, err = m.inspect(ctx, call.Scope, *in.CloudHsmClusterId); err != nil {
			return nil, err
		}
	}
	err := m.change(ctx, call.Event, func(tx Tx) (*Record, error) {
		r, err := tx.KeyStore(call.Scope, id)
		if err != nil {
			return nil, known(err, id)
		}
		describe(call, r)
		if err := m.edit(tx, r, in, &cluster); err != nil {
			return nil, err
		}
		describe(call, r)
		err = tx.Update(r)
		if errors.Is(err, fault.ErrExists) {
			return nil, errNameInUse
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdateCustomKeyStoreOutput{}, nil
}

func checkUpdate(in *kms.UpdateCustomKeyStoreInput) error {
	if in.XksProxyAuthenticationCredential != nil || in.XksProxyConnectivity != "" || in.XksProxyUriEndpoint != nil ||
		in.XksProxyUriPath != nil || in.XksProxyVpcEndpointServiceName != nil || in.XksProxyVpcEndpointServiceOwner != nil {
		return invalid("Parameters of an external key store cannot be used with a custom key store of type AWS_CLOUDHSM.")
	}
	if in.NewCustomKeyStoreName == nil && in.KeyStorePassword == nil && in.CloudHsmClusterId == nil {
		return invalid("At least one property of the custom key store must be specified.")
	}
	return nil
}

// edit changes r as asked, or says what forbids it.
func (m *Manager) edit(tx Tx, r *Record, in *kms.UpdateCustomKeyStoreInput, cluster *inspected) error {
	trigger := connection.Rename
	if in.KeyStorePassword != nil || in.CloudHsmClusterId != nil {
		trigger = connection.Update
	}
	if connection.Next(r.State, trigger).Verdict != connection.Go {
		return invalidState(r, trigger)
	}
	if in.NewCustomKeyStoreName != nil {
		if err := rename(tx, r, *in.NewCustomKeyStoreName); err != nil {
			return err
		}
	}
	if in.CloudHsmClusterId != nil {
		if err := move(r, cluster); err != nil {
			return err
		}
	}
	if in.KeyStorePassword != nil {
		return m.replacePassword(r, *in.KeyStorePassword)
	}
	return nil
}

func rename(tx Tx, r *Record, name string) error {
	stores, err := tx.KeyStores(r.Scope)
	if err != nil {
		return err
	}
	for _, other := range stores {
		if other.ID != r.ID && other.Name == name {
			return errNameInUse
		}
	}
	r.Name = name
	return nil
}

// move puts the store on another cluster of the same backup family.
func move(r *Record, cluster *inspected) error {
	switch {
	case cluster.missing:
		return errClusterNotFound
	case !cluster.Active:
		return errClusterNotActive
	case !r.related(cluster.Cluster):
		return errNotRelated
	}
	if err := cluster.usable(); err != nil {
		return err
	}
	r.ClusterID = cluster.ID
	return nil
}

// replacePassword tells the service the password that kmsuser has now; it does not set it in the cluster. A rotation
// that was not finished is over with it.
func (m *Manager) replacePassword(r *Record, text string) (err error) {
	password := secret.FromString(text)
	defer password.Wipe()
	r.Password, err = m.sealPassword(r.ID, password)
	r.Candidate = nil
	return err
}
