package keystore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/connection"
	"keyward/internal/fault"
	"keyward/internal/hsmclient"
	"keyward/internal/operation"
	"keyward/internal/secret"
)

// createCustomKeyStore applies the checks of spec key-stores 4.1 in their order. It does not contact the HSMs: whether
// kmsuser exists and the password is right shows when connecting.
func (m *Manager) createCustomKeyStore(ctx context.Context, call *operation.Call, in *kms.CreateCustomKeyStoreInput) (*kms.CreateCustomKeyStoreOutput, error) {
	if in.CloudHsmClusterId != nil {
		call.Event.Request.Add("clusterId", *in.CloudHsmClusterId)
	}
	if err := checkCreate(in); err != nil {
		return nil, err
	}
	if err := permitted(call, describeClusters); err != nil {
		return nil, err
	}
	cluster, err := m.inspect(ctx, call.Scope, *in.CloudHsmClusterId)
	if err != nil {
		return nil, err
	}
	fresh, err := m.newRecord(call, in)
	if err != nil {
		return nil, err
	}
	var id string
	err = m.change(ctx, call.Event, func(tx Tx) (*Record, error) {
		existing, created, err := m.create(tx, fresh, in, &cluster)
		if err != nil {
			return nil, err
		}
		id = existing.ID
		call.Event.Response = nil
		call.Event.Response.Add("customKeyStoreId", id)
		if !created {
			return nil, nil
		}
		return existing, nil
	})
	if err != nil {
		return nil, err
	}
	return &kms.CreateCustomKeyStoreOutput{CustomKeyStoreId: &id}, nil
}

// checkCreate is what the shapes alone do not say: which members belong to the type of the store.
func checkCreate(in *kms.CreateCustomKeyStoreInput) error {
	if in.CustomKeyStoreType == types.CustomKeyStoreTypeExternalKeyStore {
		return errExternal
	}
	if in.XksProxyAuthenticationCredential != nil || in.XksProxyConnectivity != "" || in.XksProxyUriEndpoint != nil ||
		in.XksProxyUriPath != nil || in.XksProxyVpcEndpointServiceName != nil || in.XksProxyVpcEndpointServiceOwner != nil {
		return invalid("Parameters of an external key store cannot be used with CustomKeyStoreType AWS_CLOUDHSM.")
	}
	var missing []string
	for _, member := range []struct {
		name  string
		value *string
	}{
		{"cloudHsmClusterId", in.CloudHsmClusterId},
		{"trustAnchorCertificate", in.TrustAnchorCertificate},
		{"keyStorePassword", in.KeyStorePassword},
	} {
		if member.value == nil {
			missing = append(missing, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", member.name))
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return invalid("%s", "1 validation error detected: "+missing[0])
	default:
		return invalid("%d validation errors detected: %s", len(missing), strings.Join(missing, "; "))
	}
}

// newRecord prepares what is kept if the checks pass; the cluster's certificate comes with them.
func (m *Manager) newRecord(call *operation.Call, in *kms.CreateCustomKeyStoreInput) (*Record, error) {
	r := &Record{
		Scope: call.Scope, ID: newID(), Name: value(in.CustomKeyStoreName), Created: call.Time,
		ClusterID: *in.CloudHsmClusterId, TrustAnchor: *in.TrustAnchorCertificate, State: connection.Initial,
	}
	password := secret.FromString(*in.KeyStorePassword)
	defer password.Wipe()
	var err error
	if r.Password, err = m.sealPassword(r.ID, password); err != nil {
		return nil, err
	}
	client := make([]byte, hsmclient.ClientIDLength)
	_, _ = rand.Read(client) // never fails
	if r.Client, err = m.sealer.Seal(purposeClient(r.ID), client); err != nil {
		return nil, fmt.Errorf("sealing the client identity of %s: %w", r.ID, err)
	}
	return r, nil
}

// create is the part of the checks that must see all stores of the scope as they are when the new one joins them. It
// reports false with the store that a repeated request made already.
func (m *Manager) create(tx Tx, fresh *Record, in *kms.CreateCustomKeyStoreInput, cluster *inspected) (r *Record, created bool, err error) {
	stores, err := tx.KeyStores(fresh.Scope)
	if err != nil {
		return nil, false, err
	}
	for _, other := range stores {
		same, err := m.repeats(in, other)
		if err != nil {
			return nil, false, err
		}
		if same {
			return other, false, nil
		}
	}
	if len(stores) >= m.maximum {
		return nil, false, tooMany(m.maximum, len(stores))
	}
	if err := admit(stores, fresh, cluster); err != nil {
		return nil, false, err
	}
	certificate := cluster.certificate()
	if !anchors(fresh.TrustAnchor, certificate, m.now()) {
		return nil, false, errTrustAnchor
	}
	added := *fresh
	added.ClusterCertificate = certificate.Raw
	if err := tx.Insert(&added); err != nil {
		if errors.Is(err, fault.ErrExists) {
			return nil, false, errNameInUse
		}
		return nil, false, err
	}
	return &added, true, nil
}

// repeats reports whether the request would make the store that is there, DISCONNECTED, with the same properties.
func (m *Manager) repeats(in *kms.CreateCustomKeyStoreInput, r *Record) (bool, error) {
	if r.State != connection.Disconnected || r.Name != value(in.CustomKeyStoreName) ||
		r.ClusterID != *in.CloudHsmClusterId || !sameAnchor(r.TrustAnchor, *in.TrustAnchorCertificate) {
		return false, nil
	}
	kept, err := m.openPassword(r.ID, r.Password)
	if err != nil {
		return false, err
	}
	given := secret.FromString(*in.KeyStorePassword)
	defer given.Wipe()
	defer kept.Wipe()
	return kept.Equal(given), nil
}

// admit is rows 5 to 9 of spec key-stores 4.1.
func admit(stores []*Record, fresh *Record, cluster *inspected) error {
	for _, other := range stores {
		if other.Name == fresh.Name {
			return errNameInUse
		}
	}
	if cluster.missing {
		return errClusterNotFound
	}
	certificate := cluster.certificate()
	for _, other := range stores {
		if other.ClusterID == fresh.ClusterID || certificate != nil && bytes.Equal(other.ClusterCertificate, certificate.Raw) {
			return errClusterInUse
		}
	}
	return cluster.usable()
}
