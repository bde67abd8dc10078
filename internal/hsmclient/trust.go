package hsmclient

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// trust decides whether the other side is an HSM of the cluster, before anything is sent to it (hsm.md section 9).
type trust struct {
	anchors *x509.CertPool
	leaf    []byte // DER; nil: any that chains to the anchors
	now     func() time.Time
}

func newTrust(cfg Config) (*trust, error) {
	anchors, err := parsePEM(cfg.TrustAnchor)
	if err != nil {
		return nil, fmt.Errorf("hsmclient: trust anchor: %w", err)
	}
	t := &trust{anchors: x509.NewCertPool(), now: cfg.Now}
	for _, anchor := range anchors {
		t.anchors.AddCert(anchor)
	}
	if len(cfg.ClusterCertificate) == 0 {
		return t, nil
	}
	leaf, err := parsePEM(cfg.ClusterCertificate)
	if err != nil {
		return nil, fmt.Errorf("hsmclient: cluster certificate: %w", err)
	}
	t.leaf = leaf[0].Raw
	return t, nil
}

// parsePEM gives the certificates in data, at least one. Blocks of other types are refused: a private key does not
// belong there.
func parsePEM(data []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of type %q instead of a certificate", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		list, data = append(list, certificate), rest
	}
	if len(list) == 0 {
		return nil, errors.New("no PEM certificate")
	}
	return list, nil
}

// config replaces Go's own verification, which insists on a host name that cluster certificates do not have.
func (t *trust) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // verified by VerifyConnection instead, which also runs on resumption
		VerifyConnection:   t.verify,
	}
}

func (t *trust) verify(state tls.ConnectionState) error {
	chain := state.PeerCertificates
	if len(chain) == 0 {
		return fmt.Errorf("%w: none was presented", ErrUntrusted)
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots:         t.anchors,
		Intermediates: intermediates,
		CurrentTime:   t.now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	if t.leaf != nil && !bytes.Equal(t.leaf, chain[0].Raw) {
		return fmt.Errorf("%w: it is not the cluster's", ErrUntrusted)
	}
	return nil
}
