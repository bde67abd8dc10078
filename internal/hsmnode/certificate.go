package hsmnode

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"keyward/internal/hsmproto"
)

const (
	pemCertificate = "CERTIFICATE"
	pemRequest     = "CERTIFICATE REQUEST"

	partition = 1 // an HSM of this kind has one
	// attestationYears bounds the partition's certificate; it is of use until the cluster is initialised.
	attestationYears = 10
	maxPEM           = 20000 // characters of SignedCert and TrustAnchor (InitializeCluster's shapes)
)

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: making a key pair: %w", err)
	}
	return key, nil
}

// parseKey reads a PKCS #8 P-256 key, as this package wrote it.
func parseKey(der []byte) (*ecdsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: reading a private key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("hsmnode: the private key is not ECDSA")
	}
	return key, nil
}

// partitionName is the subject in the form of CloudHSM's certificates.
func partitionName(serial, mode string) pkix.Name {
	suffix := "for FIPS mode"
	if mode == modeNonFIPS {
		suffix = "for non-FIPS mode"
	}
	return pkix.Name{
		Country: []string{"US"}, Province: []string{"CA"}, Organization: []string{"keyward"},
		OrganizationalUnit: []string{"N3FIPS"}, Locality: []string{"SanJose"},
		CommonName: fmt.Sprintf("HSM:%s:PARTN:%d, %s", serial, partition, suffix),
	}
}

// attest makes the request for a cluster certificate and the hardware's word that the partition key is its own.
func attest(name pkix.Name, partitionKey, hardwareKey *ecdsa.PrivateKey, hardware *x509.Certificate, now time.Time) (*attestation, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: name}, partitionKey)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: making the cluster's certificate request: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("hsmnode: choosing a serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      name,
		NotBefore:    now.Add(-time.Hour), // other machines' clocks may be behind
		NotAfter:     now.AddDate(attestationYears, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, hardware, &partitionKey.PublicKey, hardwareKey)
	if err != nil {
		return nil, fmt.Errorf("hsmnode: certifying the partition key: %w", err)
	}
	return &attestation{CSR: encodePEM(pemRequest, csr), Certificate: encodePEM(pemCertificate, cert)}, nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// parsePEM reads the certificates of a text, at least one.
func parsePEM(text string) ([]*x509.Certificate, error) {
	if len(text) > maxPEM {
		return nil, errors.New("certificate text too long")
	}
	var certs []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return certs, nil
}

// checkClusterCertificate makes sure that clients who trust the anchor will accept this HSM: the certificate is for
// the partition key, and the anchor parses. The control plane has checked signatures and dates.
func checkClusterCertificate(q *hsmproto.InitializeRequest, key *ecdsa.PrivateKey) *hsmproto.Error {
	certs, err := parsePEM(q.ClusterCertificate)
	if err != nil {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "cluster certificate: " + err.Error()}
	}
	if _, err := parsePEM(q.TrustAnchor); err != nil {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "trust anchor: " + err.Error()}
	}
	if public, ok := certs[0].PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(&key.PublicKey) {
		return &hsmproto.Error{Code: hsmproto.CodeBadRequest, Detail: "the certificate is not for the cluster's key"}
	}
	return nil
}

// clusterChain is what clients are shown: the cluster certificate and the trust anchor's intermediates, without its
// root, which they must have themselves.
func clusterChain(certificate, trustAnchor string, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	certs, err := parsePEM(certificate)
	if err != nil {
		return nil, err
	}
	anchors, err := parsePEM(trustAnchor)
	if err != nil {
		return nil, err
	}
	chain := &tls.Certificate{Certificate: [][]byte{certs[0].Raw}, PrivateKey: key, Leaf: certs[0]}
	for _, anchor := range anchors {
		if string(anchor.RawSubject) != string(anchor.RawIssuer) {
			chain.Certificate = append(chain.Certificate, anchor.Raw)
		}
	}
	return chain, nil
}
