package cloudhsm

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"
)

// Bounds of a trust anchor (user guide, "Initialize the cluster").
const (
	maxChain      = 4
	maxAnchorSize = 16 << 10
)

// checkInitialization checks what InitializeCluster was given, in this order: both texts are certificates; the trust
// anchor is a self-signed certificate or an ordered chain that ends in one, of admitted algorithms; the signed
// certificate certifies the key of the cluster's CSR; the anchor's first certificate signed it; all are valid now.
func checkInitialization(csr, signedCert, trustAnchor string, now time.Time) error {
	signed, err := parseCertificates("SignedCert", signedCert)
	if err != nil {
		return err
	}
	if len(signed) != 1 {
		return invalid("SignedCert must hold exactly one certificate.")
	}
	anchor, err := parseCertificates("TrustAnchor", trustAnchor)
	if err != nil {
		return err
	}
	if err := checkAnchor(anchor, len(trustAnchor)); err != nil {
		return err
	}
	if err := checkSigned(signed[0], anchor[0], csr); err != nil {
		return err
	}
	return checkValidity(append(signed, anchor...), now)
}

func parseCertificates(member, text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for rest := []byte(text); len(bytes.TrimSpace(rest)) > 0; {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, invalid("%s is not a PEM-encoded X.509 certificate.", member)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, invalid("%s is not a valid X.509 certificate.", member).Because(err)
		}
		if all = append(all, c); len(all) > maxChain {
			return nil, invalid("%s holds more than %d certificates.", member, maxChain)
		}
		rest = after
	}
	if len(all) == 0 {
		return nil, invalid("%s is not a PEM-encoded X.509 certificate.", member)
	}
	return all, nil
}

func checkAnchor(chain []*x509.Certificate, size int) error {
	if size > maxAnchorSize {
		return invalid("TrustAnchor is larger than %d bytes.", maxAnchorSize)
	}
	for _, c := range chain {
		if err := checkIssuer(c); err != nil {
			return err
		}
	}
	for i, c := range chain {
		last := i == len(chain)-1
		switch {
		case last && !selfSigned(c):
			return invalid("TrustAnchor is not a self-signed certificate, nor a chain that ends in one.")
		case last:
		case selfSigned(c):
			return invalid("TrustAnchor is not an ordered chain: only its last certificate may be self-signed.")
		case !bytes.Equal(c.RawIssuer, chain[i+1].RawSubject) || c.CheckSignatureFrom(chain[i+1]) != nil:
			return invalid("TrustAnchor is not an ordered chain: certificate %d was not issued by certificate %d.", i+1, i+2)
		}
	}
	return nil
}

// checkIssuer checks what is asked of each certificate of a trust anchor.
func checkIssuer(c *x509.Certificate) error {
	if len(c.Extensions) > 0 && !c.BasicConstraintsValid {
		return invalid("TrustAnchor uses X.509v3 extensions but has no Basic Constraints.")
	}
	if c.BasicConstraintsValid && !c.IsCA {
		return invalid("TrustAnchor is not a certificate authority: its Basic Constraints say CA:FALSE.")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return invalid("TrustAnchor may not sign certificates: its Key Usage conflicts with its Basic Constraints.")
	}
	if !admittedKey(c) {
		return invalid("TrustAnchor has an unsupported key. Use RSA with 2048, 3072 or 4096 bits, or ECDSA on prime256v1, secp384r1 or secp521r1.")
	}
	return checkAlgorithm("TrustAnchor", c)
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

var admittedAlgorithms = []x509.SignatureAlgorithm{
	x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
}

func checkAlgorithm(member string, c *x509.Certificate) error {
	if slices.Contains(admittedAlgorithms, c.SignatureAlgorithm) {
		return nil
	}
	return invalid("%s is signed with an unsupported algorithm. Use RSA or ECDSA with SHA-256, SHA-384 or SHA-512.", member)
}

func admittedKey(c *x509.Certificate) bool {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]int{2048, 3072, 4096}, key.N.BitLen())
	case *ecdsa.PublicKey:
		return slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, key.Curve)
	default:
		return false
	}
}

func checkSigned(signed, issuer *x509.Certificate, csr string) error {
	if err := checkAlgorithm("SignedCert", signed); err != nil {
		return err
	}
	same, err := certifies(signed, csr)
	if err != nil {
		return err
	}
	if !same {
		return invalid("SignedCert does not certify the public key of the cluster's certificate signing request.")
	}
	if !bytes.Equal(signed.RawIssuer, issuer.RawSubject) || signed.CheckSignatureFrom(issuer) != nil {
		return invalid("SignedCert was not signed by TrustAnchor.")
	}
	return nil
}

// certifies reports whether c is for the key of the request.
func certifies(c *x509.Certificate, csr string) (bool, error) {
	block, _ := pem.Decode([]byte(csr))
	if block == nil {
		return false, errors.New("cloudhsm: the kept certificate signing request is not PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return false, err
	}
	return bytes.Equal(c.RawSubjectPublicKeyInfo, request.RawSubjectPublicKeyInfo), nil
}

func checkValidity(all []*x509.Certificate, now time.Time) error {
	for i, c := range all {
		member := "TrustAnchor"
		if i == 0 {
			member = "SignedCert"
		}
		if now.Before(c.NotBefore) {
			return invalid("%s is not valid before %s.", member, c.NotBefore.UTC().Format(time.RFC3339))
		}
		if now.After(c.NotAfter) {
			return invalid("%s expired at %s.", member, c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// unixLines gives a PEM text line feeds and one at the end, as the API returns all of them.
func unixLines(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")) + "\n"
}
