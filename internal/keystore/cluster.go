package keystore

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

// zones counts the Availability Zones of the ACTIVE HSMs.
func (c *Cluster) zones() int {
	seen := make(map[string]bool)
	for _, h := range c.Hsms {
		seen[h.Zone] = true
	}
	return len(seen)
}

// certificate is the cluster's, parsed; nil before initialisation.
func (c *Cluster) certificate() *x509.Certificate {
	all, err := parsePEM(c.Certificate)
	if err != nil {
		return nil
	}
	return all[0]
}

// inspected is a cluster that a request names, as it was found; the checks come later, each in its turn.
type inspected struct {
	*Cluster
	missing bool
	intact  bool // the security group
}

// inspect looks a cluster up outside any transaction.
func (m *Manager) inspect(ctx context.Context, scope arn.Scope, id string) (inspected, error) {
	c, err := m.clusters.Cluster(ctx, scope, id)
	if errors.Is(err, fault.ErrNotFound) {
		return inspected{Cluster: &Cluster{ID: id}, missing: true}, nil
	}
	if err != nil {
		return inspected{}, err
	}
	intact, err := m.clusters.SecurityGroupIntact(ctx, scope, id)
	if err != nil {
		return inspected{}, err
	}
	return inspected{Cluster: c, intact: intact}, nil
}

// usable is what creating a store and moving it demand of the cluster, in that order.
func (c *inspected) usable() error {
	if !c.Active {
		return errClusterNotActive
	}
	if err := c.connectable(); err != nil {
		return err
	}
	if c.zones() < 2 {
		return misconfigured(needTwoHsms)
	}
	return nil
}

// connectable is what connecting demands at once. That there is an HSM at all is found out later, so that the operator
// reads it from DescribeCustomKeyStores (spec key-stores 5.1).
func (c *inspected) connectable() error {
	switch {
	case !c.Serving || c.certificate() == nil:
		return errClusterNotActive
	case len(c.Zones) < 2:
		return misconfigured(needSubnets)
	case !c.intact:
		return misconfigured(needRules)
	}
	return nil
}

// parsePEM reads one or more certificates; anything else is refused.
func parsePEM(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block that is not a certificate")
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all, data = append(all, one), rest
	}
	if len(all) == 0 {
		return nil, errors.New("no PEM certificate")
	}
	return all, nil
}

// anchors reports whether the certificates in text are the trust anchor of the cluster: its certificate chains to them
// and is not one of them.
func anchors(text string, cluster *x509.Certificate, now time.Time) bool {
	given, err := parsePEM([]byte(text))
	if err != nil {
		return false
	}
	roots := x509.NewCertPool()
	for _, one := range given {
		if one.Equal(cluster) {
			return false
		}
		roots.AddCert(one)
	}
	_, err = cluster.Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// sameAnchor compares what the PEM texts hold, not how they are written.
func sameAnchor(a, b string) bool {
	x, errX := parsePEM([]byte(a))
	y, errY := parsePEM([]byte(b))
	return errX == nil && errY == nil && slices.EqualFunc(x, y, (*x509.Certificate).Equal)
}

// related reports whether the cluster is of the store's backup family (spec key-stores 4.2).
func (r *Record) related(c *Cluster) bool {
	certificate := c.certificate()
	return certificate != nil && bytes.Equal(certificate.Raw, r.ClusterCertificate)
}
