package cloudhsmcli

import (
	"context"
	"errors"
	"io/fs"

	"keyward/internal/hsmclient"
)

// target is the cluster that a session works on, and how to find it.
type target struct {
	Configuration
	configured int // how many clusters are remembered
}

// resolve brings options, remembered configurations and the control plane together: an option outweighs what is
// remembered, and without a cluster id there must be only one cluster that can be meant.
func (s *session) resolve(ctx context.Context) (*target, error) {
	dir, err := ConfigurationDir(s.env.Getenv)
	if err != nil {
		return nil, err
	}
	ids, err := configured(dir)
	if err != nil {
		return nil, err
	}
	id, err := s.clusterID(ctx, ids)
	if err != nil {
		return nil, err
	}
	t := &target{configured: len(ids)}
	if id != "" {
		if t.Configuration, err = remembered(dir, id); err != nil {
			return nil, err
		}
	}
	if err := t.override(s.options); err != nil {
		return nil, err
	}
	if t.TrustAnchor == "" {
		return nil, failure("No CA certificate is configured for the cluster: give --hsm-ca-cert FILE, or run configure")
	}
	return t, nil
}

// clusterID is empty when the addresses say it all.
func (s *session) clusterID(ctx context.Context, configured []string) (string, error) {
	switch {
	case s.options.ClusterID != "":
		return s.options.ClusterID, nil
	case len(configured) == 1:
		return configured[0], nil
	case len(s.options.Address) > 0:
		return "", nil
	case len(configured) > 1:
		return "", failure("Several clusters are configured: give --cluster-id ID")
	}
	return onlyCluster(ctx, Configuration{})
}

// remembered is the cluster's configuration, or one that knows no more than its id.
func remembered(dir, id string) (Configuration, error) {
	c, err := loadConfiguration(dir, id)
	if errors.Is(err, fs.ErrNotExist) {
		return Configuration{ClusterID: id}, nil
	}
	return c, err
}

// override puts options in the place of what was remembered.
func (t *target) override(options globals) error {
	if len(options.Address) > 0 {
		t.Addresses = options.Address
	}
	if options.DisableKeyAvailabilityCheck {
		t.DisableKeyAvailabilityCheck = true
	}
	if options.HsmCaCert == "" {
		return nil
	}
	anchor, err := readSmall(options.HsmCaCert)
	if err != nil {
		return failf("The CA certificate cannot be read: %v", err)
	}
	t.TrustAnchor = string(anchor)
	return nil
}

// addresses are those given or remembered, else those of the active HSMs that the control plane names.
func (t *target) addresses(ctx context.Context) ([]string, error) {
	if len(t.Addresses) > 0 {
		return t.Addresses, nil
	}
	return activeHsms(ctx, t.Configuration)
}

// checkAnchor refuses what could never verify an HSM.
func checkAnchor(anchor string) error {
	_, err := hsmclient.New(hsmclient.Config{
		Addresses:   func(context.Context) ([]string, error) { return nil, nil },
		TrustAnchor: []byte(anchor),
	})
	if err != nil {
		return failf("The CA certificate cannot be used: %v", err)
	}
	return nil
}
