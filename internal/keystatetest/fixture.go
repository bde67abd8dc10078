package keystatetest

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// kind of key that an operation is for.
type kind string

const (
	symmetric     kind = "symmetric"
	signing       kind = "signing"
	mac           kind = "mac"
	agreement     kind = "agreement"
	encapsulation kind = "encapsulation"
	related       kind = "related" // a primary key with a replica
)

func kindOf(operation string) kind {
	switch operation {
	case "Sign", "Verify", "GetPublicKey":
		return signing
	case "GenerateMac", "VerifyMac":
		return mac
	case "DeriveSharedSecret":
		return agreement
	case "Encapsulate", "Decapsulate":
		return encapsulation
	case "ReplicateKey", "UpdatePrimaryRegion":
		return related
	default:
		return symmetric
	}
}

func (k kind) specification() (types.KeySpec, types.KeyUsageType) {
	switch k {
	case signing:
		return types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify
	case mac:
		return types.KeySpecHmac256, types.KeyUsageTypeGenerateVerifyMac
	case agreement:
		return types.KeySpecEccNistP256, types.KeyUsageTypeKeyAgreement
	case encapsulation:
		return types.KeySpecMlKem768, types.KeyUsageTypeEncapsulateDecapsulate
	default:
		return types.KeySpecSymmetricDefault, types.KeyUsageTypeEncryptDecrypt
	}
}

// Regions of multi-Region keys: where the primary is made, where its replica is, and where there is none yet.
const (
	home   = "us-east-1"
	beside = "eu-west-1"
	beyond = "ap-south-1"
)

// fixture is a key in a state, with what operations need of it.
type fixture struct {
	*player
	t             *testing.T
	kind          kind
	state, origin string
	region        string // where it is played; at first, where it is made
	id, arn       string
	alias         string                    // two more of the key end in "-moved" and "-deleted"
	grants        [2]*kms.CreateGrantOutput // nil where the state admits no grant before it
	made          []byte                    // ciphertext, signature, MAC or encapsulation, made before
	// imported is the key's material on its way; a token is good for a day.
	imported map[string]*kms.ImportKeyMaterialInput
	material []byte
}

func (f *fixture) call(region, operation string, in any) any {
	f.t.Helper()
	out, err := f.api.Invoke(region, operation, in)
	if err != nil {
		f.t.Fatalf("preparing a %s key of origin %s in state %s: %s: %v", f.kind, f.origin, f.state, operation, err)
	}
	return out
}

// family says whether the key is multi-Region, and whether it has a replica before it comes into its state.
func (f *fixture) family() (multiRegion, replica bool) {
	switch f.state {
	case "Creating":
		return true, false
	case "Updating", "PendingReplicaDeletion":
		return true, true
	default:
		return f.kind == related, f.kind == related && f.state != "PendingDeletion"
	}
}

// begin makes the key, enabled, and its replica.
func (f *fixture) begin() {
	f.t.Helper()
	f.imported = map[string]*kms.ImportKeyMaterialInput{}
	multiRegion, replica := f.family()
	spec, usage := f.kind.specification()
	in := &kms.CreateKeyInput{Origin: types.OriginType(f.origin), KeySpec: spec, KeyUsage: usage, MultiRegion: aws.Bool(multiRegion)}
	if f.origin == "AWS_CLOUDHSM" {
		in.CustomKeyStoreId = aws.String(f.api.Store())
		in.KeySpec, in.KeyUsage = "", "" // whatever the operation is for: stores have but one kind
	}
	made := f.call(f.region, "CreateKey", in).(*kms.CreateKeyOutput).KeyMetadata
	f.id, f.arn = *made.KeyId, *made.Arn
	if f.origin == "EXTERNAL" {
		f.material = f.newMaterial()
		f.importInto(f.region)
	}
	f.use()
	if replica {
		f.call(home, "ReplicateKey", &kms.ReplicateKeyInput{KeyId: &f.id, ReplicaRegion: aws.String(beside)})
	}
}

// finish brings the key into its state, once its replica has settled.
func (f *fixture) finish() {
	f.t.Helper()
	_, replica := f.family()
	if replica && f.origin == "EXTERNAL" {
		f.importInto(beside)
	}
	if f.state == "Updating" {
		f.region = beside
	}
	if f.state != "Creating" {
		f.dress()
	}
	switch f.state {
	case "Disabled":
		f.call(home, "DisableKey", &kms.DisableKeyInput{KeyId: &f.id})
	case "PendingDeletion", "PendingReplicaDeletion":
		f.call(home, "ScheduleKeyDeletion", &kms.ScheduleKeyDeletionInput{KeyId: &f.id})
	case "PendingImport":
		f.call(home, "DeleteImportedKeyMaterial", &kms.DeleteImportedKeyMaterialInput{KeyId: &f.id})
	case "Creating":
		f.call(home, "ReplicateKey", &kms.ReplicateKeyInput{KeyId: &f.id, ReplicaRegion: aws.String(beside)})
		f.region = beside
		f.dress()
	case "Updating":
		f.call(home, "UpdatePrimaryRegion", &kms.UpdatePrimaryRegionInput{KeyId: &f.id, PrimaryRegion: aws.String(beside)})
	}
	f.arn = *f.describe().Arn
}

func (f *fixture) describe() *types.KeyMetadata {
	f.t.Helper()
	return f.call(f.region, "DescribeKey", &kms.DescribeKeyInput{KeyId: &f.id}).(*kms.DescribeKeyOutput).KeyMetadata
}

// dress gives the key aliases, a tag and grants. Keys that are being created take no grants.
func (f *fixture) dress() {
	f.t.Helper()
	f.alias = "alias/" + f.id
	for _, name := range []string{f.alias, f.alias + "-moved", f.alias + "-deleted"} {
		f.call(f.region, "CreateAlias", &kms.CreateAliasInput{AliasName: &name, TargetKeyId: &f.id})
	}
	f.call(f.region, "TagResource", &kms.TagResourceInput{KeyId: &f.id, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
	if f.state == "Creating" {
		return
	}
	for i := range f.grants {
		f.grants[i] = f.call(f.region, "CreateGrant", grantFor(f)).(*kms.CreateGrantOutput)
	}
}

// newMaterial is what the key's owner has made.
func (f *fixture) newMaterial() []byte {
	f.t.Helper()
	switch f.kind {
	case signing, agreement:
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			f.t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			f.t.Fatal(err)
		}
		return der
	case encapsulation:
		return seedOfMLKEM768(f.t)
	default:
		return random(f.t, 32)
	}
}

// seedOfMLKEM768 is a key as RFC 9935 has it, in PKCS #8.
func seedOfMLKEM768(t *testing.T) []byte {
	t.Helper()
	type identifier struct{ Algorithm asn1.ObjectIdentifier }
	seed := random(t, mlkem.SeedSize)
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm identifier
		Key       []byte
	}{0, identifier{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 4, 2}}, append([]byte{0x80, byte(len(seed))}, seed...)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func random(t *testing.T, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) importInto(region string) {
	f.t.Helper()
	f.imported[region] = f.wrapped(region, f.material)
	f.call(region, "ImportKeyMaterial", f.imported[region])
}

// importNext gives an imported key material that waits for a rotation.
func (f *fixture) importNext() {
	f.t.Helper()
	in := f.wrapped(f.region, f.newMaterial())
	in.ImportType = types.ImportTypeNewKeyMaterial
	f.call(f.region, "ImportKeyMaterial", in)
}

// wrapped is a request that imports material.
func (f *fixture) wrapped(region string, material []byte) *kms.ImportKeyMaterialInput {
	f.t.Helper()
	p := f.call(region, "GetParametersForImport", &kms.GetParametersForImportInput{
		KeyId: &f.id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	}).(*kms.GetParametersForImportOutput)
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		f.t.Fatal(err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return &kms.ImportKeyMaterialInput{
		KeyId: &f.id, ImportToken: p.ImportToken, EncryptedKeyMaterial: sealed,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
}

// message is what signatures and MACs are of.
var message = []byte("message")

// use makes what operations read later.
func (f *fixture) use() {
	f.t.Helper()
	if f.origin == "AWS_CLOUDHSM" {
		f.made = f.call(f.region, "Encrypt", &kms.EncryptInput{KeyId: &f.id, Plaintext: message}).(*kms.EncryptOutput).CiphertextBlob
		return
	}
	switch f.kind {
	case signing:
		f.made = f.call(f.region, "Sign", &kms.SignInput{KeyId: &f.id, Message: message, SigningAlgorithm: ecdsaSHA256}).(*kms.SignOutput).Signature
	case mac:
		f.made = f.call(f.region, "GenerateMac", &kms.GenerateMacInput{KeyId: &f.id, Message: message, MacAlgorithm: hmacSHA256}).(*kms.GenerateMacOutput).Mac
	case agreement:
	case encapsulation:
		in := &kms.EncapsulateInput{KeyId: &f.id, EncapsulationAlgorithm: mlKEM}
		f.made = f.call(f.region, "Encapsulate", in).(*kms.EncapsulateOutput).SharedSecretCiphertextBlob
	default:
		f.made = f.call(f.region, "Encrypt", &kms.EncryptInput{KeyId: &f.id, Plaintext: message}).(*kms.EncryptOutput).CiphertextBlob
	}
}

// peer is somebody else's public key for an agreement.
func peer(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return der
}
