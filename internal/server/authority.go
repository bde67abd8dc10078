package server

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// authorityLife is the validity that AWS's guide uses for customer CAs: ten years.
const authorityLife = 3652 * 24 * time.Hour

// exampleAuthority makes the self-signed certificate of the example's customer CA.
func exampleAuthority(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"keyward"}, CommonName: "Example customer CA"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return issue(template, template, key.Public(), key)
}

// signExample does what `openssl x509 -req` does: it certifies the cluster's request under the example's CA.
func signExample(caCert, caKey []byte, csr string) ([]byte, error) {
	caBlock, _ := pem.Decode(caCert)
	csrBlock, _ := pem.Decode([]byte(csr))
	if caBlock == nil || csrBlock == nil {
		return nil, errors.New("a certificate or request is not PEM")
	}
	parent, err := x509.ParseCertificate(caBlock.Bytes)
	if err != nil {
		return nil, err
	}
	request, err := x509.ParseCertificateRequest(csrBlock.Bytes)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("the cluster's request: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(caKey)
	if err != nil {
		return nil, err
	}
	return issue(&x509.Certificate{Subject: request.Subject}, parent, request.PublicKey, key)
}

// issue completes template, signs it and returns it in PEM.
func issue(template, parent *x509.Certificate, public, key any) (_ []byte, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	// Certificates are judged by the machine's clock, a rehearsal's too: an hour's grace covers small differences.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(authorityLife)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
