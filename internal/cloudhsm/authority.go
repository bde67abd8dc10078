package cloudhsm

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"keyward/internal/fault"
	"keyward/internal/hsmproto"
)

// Sealer protects what must be kept secret under the installation's root key.
type Sealer interface {
	Seal(purpose string, plaintext []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
}

// Settings keeps small values; absent ones are fault.ErrNotFound.
type Settings interface {
	Setting(ctx context.Context, name string) ([]byte, error)
	PutSetting(ctx context.Context, name string, value []byte) error
}

const (
	authoritySetting = "cloudhsm/authority"
	authorityPurpose = "cloudhsm authority"
)

// Validity of certificates. HSMs outlive any rotation we could impose on them, and their clocks may differ a little.
const (
	rootYears         = 50
	hardwareYears     = 30
	controlPlaneYears = 10
	clockTolerance    = 24 * time.Hour
)

// Authority holds the two roots of hardware certificates: the provider's and the manufacturer's. A genuine HSM has a
// certificate of both for one and the same hardware key (user guide, "Verify the identity and authenticity of your
// cluster's HSM").
type Authority struct {
	provider, manufacturer root
	tokenKey               []byte // authenticates page tokens
	now                    func() time.Time
}

type root struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// sealedAuthority is the stored form, DER inside.
type sealedAuthority struct {
	Provider        []byte `json:"provider"`
	ProviderKey     []byte `json:"providerKey"`
	Manufacturer    []byte `json:"manufacturer"`
	ManufacturerKey []byte `json:"manufacturerKey"`
	TokenKey        []byte `json:"tokenKey"`
}

// OpenAuthority returns the installation's authority, making it on the first start. Certificates are dated by now,
// which should be real time: HSM processes check them by their own clocks.
func OpenAuthority(ctx context.Context, settings Settings, sealer Sealer, now func() time.Time) (*Authority, error) {
	sealed, err := settings.Setting(ctx, authoritySetting)
	if errors.Is(err, fault.ErrNotFound) {
		return createAuthority(ctx, settings, sealer, now)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the hardware roots: %w", err)
	}
	plain, err := sealer.Open(authorityPurpose, sealed)
	if err != nil {
		return nil, fmt.Errorf("opening the hardware roots: %w", err)
	}
	defer clear(plain)
	var kept sealedAuthority
	if err := json.Unmarshal(plain, &kept); err != nil {
		return nil, fmt.Errorf("reading the hardware roots: %w", err)
	}
	return kept.open(now)
}

func (s *sealedAuthority) open(now func() time.Time) (*Authority, error) {
	provider, err := openRoot(s.Provider, s.ProviderKey)
	if err != nil {
		return nil, fmt.Errorf("reading the provider root: %w", err)
	}
	manufacturer, err := openRoot(s.Manufacturer, s.ManufacturerKey)
	if err != nil {
		return nil, fmt.Errorf("reading the manufacturer root: %w", err)
	}
	return &Authority{provider: provider, manufacturer: manufacturer, tokenKey: s.TokenKey, now: now}, nil
}

func openRoot(der, keyDER []byte) (root, error) {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return root{}, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return root{}, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(certificate.PublicKey) {
		return root{}, errors.New("key and certificate do not belong together")
	}
	return root{certificate, key}, nil
}

func createAuthority(ctx context.Context, settings Settings, sealer Sealer, now func() time.Time) (*Authority, error) {
	a := &Authority{tokenKey: make([]byte, 32), now: now}
	_, _ = rand.Read(a.tokenKey)
	var err error
	if a.provider, err = newRoot("keyward provider root", now()); err != nil {
		return nil, fmt.Errorf("making the provider root: %w", err)
	}
	if a.manufacturer, err = newRoot("keyward manufacturer root", now()); err != nil {
		return nil, fmt.Errorf("making the manufacturer root: %w", err)
	}
	plain, err := a.marshal()
	if err != nil {
		return nil, fmt.Errorf("encoding the hardware roots: %w", err)
	}
	defer clear(plain)
	sealed, err := sealer.Seal(authorityPurpose, plain)
	if err != nil {
		return nil, fmt.Errorf("sealing the hardware roots: %w", err)
	}
	if err := settings.PutSetting(ctx, authoritySetting, sealed); err != nil {
		return nil, fmt.Errorf("keeping the hardware roots: %w", err)
	}
	return a, nil
}

func (a *Authority) marshal() ([]byte, error) {
	provider, err := x509.MarshalPKCS8PrivateKey(a.provider.key)
	if err != nil {
		return nil, err
	}
	manufacturer, err := x509.MarshalPKCS8PrivateKey(a.manufacturer.key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealedAuthority{
		Provider: a.provider.certificate.Raw, ProviderKey: provider,
		Manufacturer: a.manufacturer.certificate.Raw, ManufacturerKey: manufacturer,
		TokenKey: a.tokenKey,
	})
}

func newRoot(name string, now time.Time) (root, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return root{}, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"keyward"}, CommonName: name},
		NotBefore:             now.Add(-clockTolerance),
		NotAfter:              now.AddDate(rootYears, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	certificate, err := issue(template, root{template, key}, key.Public())
	return root{certificate, key}, err
}

// issue signs template for key under r and parses the outcome.
func issue(template *x509.Certificate, r root, key crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, r.certificate, key, r.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// ProviderRoot is the provider's root certificate, DER.
func (a *Authority) ProviderRoot() []byte { return a.provider.certificate.Raw }

// ManufacturerRoot is the manufacturer's root certificate, DER.
func (a *Authority) ManufacturerRoot() []byte { return a.manufacturer.certificate.Raw }

// CertifyHardware certifies an HSM's hardware key (DER SubjectPublicKeyInfo) under both roots. The certificates may
// sign one level further: the hardware certifies the partition key of its HSM.
func (a *Authority) CertifyHardware(node string, publicKey []byte) (Hardware, error) {
	key, err := x509.ParsePKIXPublicKey(publicKey)
	if err != nil {
		return Hardware{}, fmt.Errorf("reading the hardware key of %s: %w", node, err)
	}
	var certificates [2][]byte
	for i, r := range []root{a.provider, a.manufacturer} {
		c, err := issue(a.hardwareTemplate(node), r, key)
		if err != nil {
			return Hardware{}, fmt.Errorf("certifying the hardware key of %s: %w", node, err)
		}
		certificates[i] = c.Raw
	}
	return Hardware{Provider: certificates[0], Manufacturer: certificates[1]}, nil
}

func (a *Authority) hardwareTemplate(node string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"keyward"}, CommonName: node},
		NotBefore:             a.now().Add(-clockTolerance),
		NotAfter:              a.now().AddDate(hardwareYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
}

// ControlPlane makes a new key and certificate with which the control plane proves itself to HSMs.
func (a *Authority) ControlPlane() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the control plane's key: %w", err)
	}
	certificate, err := issue(&x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"keyward"}, CommonName: hsmproto.ControlPlaneName},
		NotBefore:             a.now().Add(-clockTolerance),
		NotAfter:              a.now().AddDate(controlPlaneYears, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.provider, key.Public())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making the control plane's certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key, Leaf: certificate}, nil
}

// PEM writes a DER certificate as text.
func PEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
