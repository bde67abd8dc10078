package hsmnode

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"keyward/internal/hsmproto"
)

// roots are whom an HSM believes.
type roots struct {
	provider     *x509.Certificate
	manufacturer *x509.Certificate
}

func parseRoots(c *hsmproto.BootConfig) (roots, error) {
	provider, err := x509.ParseCertificate(c.ProviderRoot)
	if err != nil {
		return roots{}, fmt.Errorf("hsmnode: provider root: %w", err)
	}
	manufacturer, err := x509.ParseCertificate(c.ManufacturerRoot)
	if err != nil {
		return roots{}, fmt.Errorf("hsmnode: manufacturer root: %w", err)
	}
	return roots{provider, manufacturer}, nil
}

// issued checks that root itself issued cert, and that it is valid now. Chains over other authorities do not count:
// hardware keys may certify partitions, but neither peers nor the control plane.
func issued(cert, root *x509.Certificate) error {
	if !bytes.Equal(cert.RawIssuer, root.RawSubject) {
		return errors.New("hsmnode: the certificate has another issuer")
	}
	if err := cert.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("hsmnode: the certificate is not its issuer's: %w", err)
	}
	if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return errors.New("hsmnode: the certificate is not valid now")
	}
	return nil
}

// parseHardware reads the hardware certificate of a node, which the provider issued.
func (r roots) parseHardware(der []byte, node string) (*x509.Certificate, *ecdsa.PublicKey, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("hsmnode: hardware certificate: %w", err)
	}
	if err := issued(cert, r.provider); err != nil {
		return nil, nil, err
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || hsmproto.HardwareName(cert) != node {
		return nil, nil, errors.New("hsmnode: the hardware certificate is another node's")
	}
	return cert, key, nil
}

// checkBoot makes sure that the certificates are for this HSM's key and that what it certifies will verify under
// both roots.
func (r roots) checkBoot(c *hsmproto.BootCertificates, node string, key *ecdsa.PublicKey) (*x509.Certificate, error) {
	provider, certified, err := r.parseHardware(c.Provider, node)
	if err != nil {
		return nil, err
	}
	manufacturer, err := x509.ParseCertificate(c.Manufacturer)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: manufacturer's hardware certificate: %w", err)
	}
	if err := issued(manufacturer, r.manufacturer); err != nil {
		return nil, err
	}
	second, ok := manufacturer.PublicKey.(*ecdsa.PublicKey)
	if !ok || !certified.Equal(key) || !second.Equal(key) {
		return nil, errors.New("hsmnode: the hardware certificates are for another key")
	}
	if !bytes.Equal(provider.RawSubject, manufacturer.RawSubject) {
		return nil, errors.New("hsmnode: the hardware certificates differ in their subject")
	}
	return provider, nil
}

// tlsBase is common to all ports. Without tickets every connection proves itself anew, so that fencing is at once.
func tlsBase() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
}

// managementTLS admits the control plane alone.
func (n *node) managementTLS() *tls.Config {
	c := tlsBase()
	c.Certificates = []tls.Certificate{n.hardware}
	c.ClientAuth = tls.RequireAnyClientCert // VerifyConnection looks at it
	c.VerifyConnection = func(s tls.ConnectionState) error {
		leaf := s.PeerCertificates[0]
		if leaf.Subject.CommonName != hsmproto.ControlPlaneName || !hasUsage(leaf, x509.ExtKeyUsageClientAuth) {
			return errors.New("hsmnode: not the control plane")
		}
		return issued(leaf, n.roots.provider)
	}
	return c
}

func hasUsage(cert *x509.Certificate, usage x509.ExtKeyUsage) bool {
	for _, u := range cert.ExtKeyUsage {
		if u == usage {
			return true
		}
	}
	return false
}

// peerTLS admits members of the cluster, by the very certificates that the control plane recorded.
func (n *node) peerTLS(protocols ...string) *tls.Config {
	c := tlsBase()
	c.Certificates = []tls.Certificate{n.hardware}
	c.ClientAuth = tls.RequireAnyClientCert
	c.NextProtos = protocols
	c.VerifyConnection = func(s tls.ConnectionState) error {
		_, err := n.peerOf(s)
		return err
	}
	// Peers have no host names; VerifyConnection takes the place of the usual check on the dialling side too.
	c.InsecureSkipVerify = true
	return c
}

// peerOf tells which other member is at the far end.
func (n *node) peerOf(s tls.ConnectionState) (hsmproto.Member, error) {
	if len(s.PeerCertificates) == 0 {
		return hsmproto.Member{}, errors.New("hsmnode: a peer without a certificate")
	}
	leaf := s.PeerCertificates[0]
	for _, m := range n.vault.get().Members {
		if m.Node != n.config.Node && bytes.Equal(m.Hardware, leaf.Raw) {
			return m, issued(leaf, n.roots.provider)
		}
	}
	return hsmproto.Member{}, errors.New("hsmnode: not a member of this cluster")
}

// clientTLS shows clients the cluster certificate; before there is one, what the HSM has, which nobody who trusts a
// customer's CA accepts.
func (n *node) clientTLS() *tls.Config {
	c := tlsBase()
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.clientCertificate() }
	return c
}

func (n *node) clientCertificate() (*tls.Certificate, error) {
	g := n.group.Load()
	if g == nil {
		return &n.hardware, nil
	}
	d := n.vault.get()
	for _, q := range []hsmproto.InitializeRequest{g.state.identity(), d.Identity} {
		if q.ClusterCertificate != "" {
			return clusterChain(q.ClusterCertificate, q.TrustAnchor, g.partitionKey)
		}
	}
	if a := d.Attestation; a != nil {
		certs, err := parsePEM(a.Certificate)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{
			Certificate: [][]byte{certs[0].Raw, n.hardware.Certificate[0]}, PrivateKey: g.partitionKey, Leaf: certs[0],
		}, nil
	}
	return &n.hardware, nil
}
