package cloudtrail

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"keyward/internal/fault"
	"keyward/internal/operation"
)

// Where the signing key is kept: the private key sealed, the public keys for everyone to verify with.
const (
	signingKey = "trail signing key" // setting, and the purpose of its seal
	// PublicKeysSetting names the setting that holds the public keys, as JSON of []PublicKey.
	PublicKeysSetting = "trail public keys"
	signatureName     = "SHA256withRSA"
	hashName          = "SHA-256"
	signingBits       = 2048
	signingYears      = 10
)

// PublicKey verifies digests.
type PublicKey struct {
	Fingerprint string    `json:"fingerprint"`
	Value       []byte    `json:"value"` // DER, PKCS #1
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
}

// signer signs digests.
type signer struct {
	fingerprint string
	key         *rsa.PrivateKey
}

// openSigner opens the signing key, or makes one. Of two made at once, by a crash in between, the kept one counts: no
// digest was signed with the other.
func (s *Service) openSigner(ctx context.Context) (*signer, error) {
	if s.signer != nil {
		return s.signer, nil
	}
	sealed, err := s.config.Store.Setting(ctx, signingKey)
	if errors.Is(err, fault.ErrNotFound) {
		sealed, err = s.makeSigner(ctx)
	}
	if err != nil {
		return nil, err
	}
	der, err := s.config.Sealer.Open(signingKey, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	key, err := x509.ParsePKCS1PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("cloudtrail: reading the signing key: %w", err)
	}
	s.signer = &signer{fingerprint(x509.MarshalPKCS1PublicKey(&key.PublicKey)), key}
	return s.signer, nil
}

// makeSigner keeps the public key first: a private key without it would sign what nobody can verify.
func (s *Service) makeSigner(ctx context.Context) (sealed []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, signingBits)
	if err != nil {
		return nil, err
	}
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	now := s.config.Now().UTC().Truncate(time.Second)
	list, err := json.Marshal([]PublicKey{{fingerprint(public), public, now, now.AddDate(signingYears, 0, 0)}})
	if err != nil {
		return nil, err
	}
	der := x509.MarshalPKCS1PrivateKey(key)
	defer clear(der)
	if sealed, err = s.config.Sealer.Seal(signingKey, der); err != nil {
		return nil, err
	}
	if err := s.config.Store.PutSetting(ctx, PublicKeysSetting, list); err != nil {
		return nil, err
	}
	return sealed, s.config.Store.PutSetting(ctx, signingKey, sealed)
}

// fingerprint is 32 hexadecimal digits, as AWS's are; clients only compare it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:16])
}

// sign signs a text and returns hexadecimal digits. PKCS #1 v1.5 signatures of equal texts are equal.
func (s *signer) sign(text string) (string, error) {
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("cloudtrail: signing a digest: %w", err)
	}
	return hex.EncodeToString(signature), nil
}

// verify checks a signature that sign made.
func (k *PublicKey) verify(text, signature string) error {
	key, err := x509.ParsePKCS1PublicKey(k.Value)
	if err != nil {
		return fmt.Errorf("reading the public key %s: %w", k.Fingerprint, err)
	}
	raw, err := hex.DecodeString(signature)
	if err != nil || hex.EncodeToString(raw) != signature { // capitals would be another text of the same bytes
		return errors.New("the signature is not lower-case hexadecimal")
	}
	sum := sha256.Sum256([]byte(text))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw)
}

// ReadPublicKeys reads what is kept under PublicKeysSetting.
func ReadPublicKeys(text []byte) ([]PublicKey, error) {
	var all []PublicKey
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("cloudtrail: reading the public keys: %w", err)
	}
	return all, nil
}

// publicKeys lists the keys; there are none before the first digest.
func (s *Service) publicKeys(ctx context.Context) ([]PublicKey, error) {
	text, err := s.config.Store.Setting(ctx, PublicKeysSetting)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ReadPublicKeys(text)
}

// listPublicKeys answers with the keys whose digests fall into the time range, by default now.
func (s *Service) listPublicKeys(ctx context.Context, call *operation.Call, in *cloudtrail.ListPublicKeysInput) (*cloudtrail.ListPublicKeysOutput, error) {
	if in.NextToken != nil {
		return nil, errKeyToken // everything fits into one page, so none was given out
	}
	end := call.Time
	if in.EndTime != nil {
		end = *in.EndTime
	}
	start := end
	if in.StartTime != nil {
		start = *in.StartTime
	}
	if start.After(end) {
		return nil, errTimeRange
	}
	keys, err := s.publicKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := &cloudtrail.ListPublicKeysOutput{PublicKeyList: []types.PublicKey{}}
	for _, k := range keys {
		if k.From.After(end) || k.To.Before(start) {
			continue
		}
		out.PublicKeyList = append(out.PublicKeyList, types.PublicKey{
			Fingerprint: aws.String(k.Fingerprint), Value: k.Value,
			ValidityStartTime: aws.Time(k.From), ValidityEndTime: aws.Time(k.To),
		})
	}
	return out, nil
}

var errKeyToken = fault.New("InvalidTokenException", "Reserved for future use.")
