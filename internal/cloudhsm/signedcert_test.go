package cloudhsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"keyward/internal/fault"
)

// party is a key with the certificate it got.
type party struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func (p party) pem() string { return PEM(p.cert.Raw) }

func mustKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issued makes a certificate; without an issuer it is self-signed. change may be nil.
func issued(t testing.TB, name string, key crypto.Signer, issuer *party, change func(*x509.Certificate)) party {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: origin, NotAfter: origin.AddDate(10, 0, 0), BasicConstraintsValid: true, IsCA: true,
	}
	if change != nil {
		change(template)
	}
	by := party{key, template}
	if issuer != nil {
		by = *issuer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return party{key, cert}
}

func leaf(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false }

func TestInitializationChecks(t *testing.T) {
	hsm := mustKey(t, elliptic.P256())
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, hsm)
	if err != nil {
		t.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	sign := func(ca party) string { return issued(t, "cluster", hsm, &ca, leaf).pem() }
	ca := func(key crypto.Signer, change func(*x509.Certificate)) party {
		return issued(t, "customer CA", key, nil, change)
	}
	rsaKey := func(bits int) crypto.Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := ca(mustKey(t, elliptic.P256()), nil)
	middle := issued(t, "issuing CA", mustKey(t, elliptic.P384()), &root, nil)
	other := ca(mustKey(t, elliptic.P256()), nil)
	small, wide, edwards := ca(rsaKey(1024), nil), ca(rsaKey(2048), nil), ca(ed, nil)
	pss := ca(rsaKey(3072), func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA384WithRSAPSS })
	narrow := ca(mustKey(t, elliptic.P224()), nil)
	notCA := ca(mustKey(t, elliptic.P256()), func(c *x509.Certificate) { c.IsCA = false })
	unconstrained := ca(mustKey(t, elliptic.P256()), func(c *x509.Certificate) {
		c.BasicConstraintsValid, c.IsCA, c.KeyUsage = false, false, x509.KeyUsageCertSign
	})
	conflicting := ca(mustKey(t, elliptic.P256()), func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	expired := ca(mustKey(t, elliptic.P256()), func(c *x509.Certificate) { c.NotAfter = origin.AddDate(0, 1, 0) })
	early := issued(t, "cluster", hsm, &root, func(c *x509.Certificate) { leaf(c); c.NotBefore = origin.AddDate(5, 0, 0) })
	stranger := issued(t, "cluster", mustKey(t, elliptic.P256()), &root, leaf)

	for name, test := range map[string]struct {
		signed, anchor string
		refusal        string // part of the message; empty: accepted
	}{
		"an ECDSA CA":                          {sign(root), root.pem(), ""},
		"an RSA CA":                            {sign(wide), wide.pem(), ""},
		"an RSA-PSS CA":                        {sign(pss), pss.pem(), ""},
		"an ordered chain":                     {sign(middle), middle.pem() + root.pem(), ""},
		"windows line ends":                    {strings.ReplaceAll(sign(root), "\n", "\r\n"), root.pem(), ""},
		"no certificate":                       {"hello", root.pem(), "SignedCert is not a PEM"},
		"nothing":                              {"", root.pem(), "SignedCert is not a PEM"},
		"garbage in PEM":                       {PEM([]byte("x")), root.pem(), "SignedCert is not a valid"},
		"two signed certificates":              {sign(root) + sign(root), root.pem(), "exactly one"},
		"no anchor":                            {sign(root), "hello", "TrustAnchor is not a PEM"},
		"five in the anchor":                   {sign(root), strings.Repeat(root.pem(), 5), "more than 4"},
		"a large anchor":                       {sign(root), root.pem() + strings.Repeat("\n", 16<<10), "larger than"},
		"not self-signed (statement 16)":       {sign(middle), middle.pem(), "not a self-signed"},
		"a chain in the wrong order":           {sign(middle), root.pem() + middle.pem(), "not an ordered chain"},
		"a chain of strangers":                 {sign(middle), middle.pem() + other.pem(), "not issued by"},
		"two roots":                            {sign(root), root.pem() + root.pem(), "only its last"},
		"RSA of 1024 bits":                     {sign(small), small.pem(), "unsupported key"},
		"P-224":                                {sign(narrow), narrow.pem(), "unsupported key"},
		"Ed25519":                              {sign(edwards), edwards.pem(), "unsupported key"},
		"CA:FALSE":                             {sign(root), notCA.pem(), "CA:FALSE"},
		"extensions without basic constraints": {sign(root), unconstrained.pem(), "no Basic Constraints"},
		"key usage without certSign":           {sign(root), conflicting.pem(), "Key Usage conflicts"},
		"another key (statement 17)":           {stranger.pem(), root.pem(), "does not certify the public key"},
		"another CA (statement 15)":            {sign(other), root.pem(), "not signed by TrustAnchor"},
		"signed by the root, not the first":    {sign(root), middle.pem() + root.pem(), "not signed by TrustAnchor"},
		"not valid yet":                        {early.pem(), root.pem(), "SignedCert is not valid before"},
		"an expired CA":                        {sign(expired), expired.pem(), "TrustAnchor expired"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkInitialization(csr, test.signed, test.anchor, origin.AddDate(1, 0, 0))
			f, _ := fault.As(err)
			switch {
			case test.refusal == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refusal != "" && (f == nil || f.Code != codeInvalid || !strings.Contains(f.Message, test.refusal)):
				t.Errorf("%v, want …%s…", err, test.refusal)
			}
		})
	}
}

func FuzzInitialization(f *testing.F) {
	key := mustKey(f, elliptic.P256())
	ca := issued(f, "customer CA", key, nil, nil)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		f.Fatal(err)
	}
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	f.Add(ca.pem(), ca.pem())
	f.Add("", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	f.Fuzz(func(t *testing.T, signed, anchor string) {
		err := checkInitialization(csr, signed, anchor, origin.AddDate(1, 0, 0))
		if _, is := fault.As(err); err != nil && !is {
			t.Errorf("not a refusal: %v", err)
		}
	})
}

func FuzzToken(f *testing.F) {
	a := &Authority{tokenKey: []byte("0123456789abcdef0123456789abcdef")}
	p := pageOf{operation: "ListTags"}
	f.Add("")
	f.Add(a.token(p, "last"))
	f.Fuzz(func(t *testing.T, token string) {
		q := p
		q.token = token
		if last, err := a.openToken(q); err == nil && a.token(p, last) != token {
			t.Errorf("%q passes for a token", token)
		}
	})
}

// Every state of the API is in the tables, every operation's states too, and nothing leaves DELETED.
func TestStateTables(t *testing.T) {
	for from, next := range transitions {
		for _, to := range next {
			c := &Cluster{State: from}
			if err := c.enter(to, "why"); err != nil || c.State != to || c.StateMessage != "why" {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if _, known := transitions[to]; !known {
				t.Errorf("%s is not in the table", to)
			}
		}
		c := &Cluster{State: from}
		if err := c.enter("CREATE_IN_PROGRESS", ""); (err == nil) != (from == "CREATE_IN_PROGRESS") {
			t.Errorf("%s to CREATE_IN_PROGRESS: %v", from, err)
		}
		for operation, allowed := range permitted {
			err := permit(operation, c)
			if f, _ := fault.As(err); contains(allowed, c) == (err != nil) || (err != nil && !strings.Contains(f.Message, string(from))) {
				t.Errorf("%s in %s: %v", operation, from, err)
			}
		}
	}
	if len(transitions["DELETED"]) != 0 || len(hsmTransitions["DELETED"]) != 0 {
		t.Error("something leaves DELETED")
	}
}

func contains[S ~[]E, E ~string](list S, c *Cluster) bool {
	for _, s := range list {
		if string(s) == string(c.State) {
			return true
		}
	}
	return false
}
