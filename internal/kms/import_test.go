package kms_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/fault"
	"keyward/internal/kms"
)

func (w *world) createExternal(more ...func(*awskms.CreateKeyInput)) *types.KeyMetadata {
	w.Helper()
	in := &awskms.CreateKeyInput{Origin: types.OriginTypeExternal}
	for _, change := range more {
		change(in)
	}
	return do[awskms.CreateKeyOutput](w, "CreateKey", in).KeyMetadata
}

func multiRegion(in *awskms.CreateKeyInput) { in.MultiRegion = aws.Bool(true) }

// parameters asks for a wrapping key; RSA_2048 because it is made the fastest.
func (w *world) parameters(id string) *awskms.GetParametersForImportOutput {
	w.Helper()
	return do[awskms.GetParametersForImportOutput](w, "GetParametersForImport", &awskms.GetParametersForImportInput{
		KeyId: &id, WrappingAlgorithm: types.AlgorithmSpecRsaesOaepSha256, WrappingKeySpec: types.WrappingKeySpecRsa2048,
	})
}

// wrapped makes an import of material that does not expire. A key's parameters are asked for once a day.
func (w *world) wrapped(id string, material []byte) *awskms.ImportKeyMaterialInput {
	w.Helper()
	arn := w.scope.Key(id)
	p, ok := w.imports[arn]
	if !ok || !p.ParametersValidTo.After(w.clock()) {
		p = w.parameters(id)
		w.imports[arn] = p
	}
	return w.wrappedWith(p, id, material)
}

func (w *world) wrappedWith(p *awskms.GetParametersForImportOutput, id string, material []byte) *awskms.ImportKeyMaterialInput {
	w.Helper()
	public, err := x509.ParsePKIXPublicKey(p.PublicKey)
	if err != nil {
		w.Fatal(err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		w.Fatal(err)
	}
	return &awskms.ImportKeyMaterialInput{
		KeyId: &id, ImportToken: p.ImportToken, EncryptedKeyMaterial: sealed,
		ExpirationModel: types.ExpirationModelTypeKeyMaterialDoesNotExpire,
	}
}

// bring imports material and returns its id; empty for keys whose materials have none.
func (w *world) bring(in *awskms.ImportKeyMaterialInput) string {
	w.Helper()
	return aws.ToString(do[awskms.ImportKeyMaterialOutput](w, "ImportKeyMaterial", in).KeyMaterialId)
}

// bringNew imports material that the key has not had, and returns its id. It expires unless end is zero.
func (w *world) bringNew(id string, material []byte, end time.Time) string {
	w.Helper()
	in := w.wrapped(id, material)
	in.ImportType = types.ImportTypeNewKeyMaterial
	if !end.IsZero() {
		in.ExpirationModel, in.ValidTo = types.ExpirationModelTypeKeyMaterialExpires, &end
	}
	return w.bring(in)
}

func key256(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func TestImportedKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	id := *k.KeyId
	if k.KeyState != "PendingImport" || k.Enabled || k.CurrentKeyMaterialId != nil || k.ExpirationModel != "" || k.Origin != "EXTERNAL" {
		t.Errorf("%+v", k)
	}
	w.refused("Encrypt", &awskms.EncryptInput{KeyId: &id, Plaintext: []byte("x")}, "KMSInvalidStateException", *k.Arn+" is pending import.")
	p := w.parameters(id)
	if *p.KeyId != *k.Arn || !p.ParametersValidTo.Equal(start.Add(24*time.Hour)) || len(p.ImportToken) > 6144 {
		t.Errorf("%+v", p)
	}
	in := w.wrappedWith(p, id, key256(1))
	in.ExpirationModel, in.ValidTo = "", aws.Time(start.Add(10*day))
	out := do[awskms.ImportKeyMaterialOutput](w, "ImportKeyMaterial", in)
	material := *out.KeyMaterialId
	if m := w.describe(id); *out.KeyId != *k.Arn || m.KeyState != "Enabled" || *m.CurrentKeyMaterialId != material ||
		m.ExpirationModel != "KEY_MATERIAL_EXPIRES" || !m.ValidTo.Equal(start.Add(10*day)) {
		t.Errorf("%+v", m)
	}
	blob := w.encrypt(id, "x", nil)

	deleted := do[awskms.DeleteImportedKeyMaterialOutput](w, "DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id})
	if m := w.describe(id); *deleted.KeyMaterialId != material || m.KeyState != "PendingImport" || m.ExpirationModel != "" || m.ValidTo != nil {
		t.Errorf("%+v", m)
	}
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, "KMSInvalidStateException", *k.Arn+" is pending import.")
	w.refused("ImportKeyMaterial", w.wrapped(id, key256(2)), "IncorrectKeyMaterialException",
		"The key material is not the same as was imported into this key before.")
	if again := w.bring(w.wrapped(id, key256(1))); again != material {
		t.Errorf("the same material is %s and %s", again, material)
	}
	if got := w.decrypt(blob, nil); got != "x" {
		t.Errorf("%q", got)
	}
	if m := w.describe(id); m.ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE" || m.ValidTo != nil {
		t.Errorf("%+v", m)
	}
	if other := w.createExternal(); w.bring(w.wrapped(*other.KeyId, key256(1))) == material {
		t.Error("the same material in two keys has one id")
	}
}

func TestImportedMaterialExpires(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	in := w.wrapped(*k.KeyId, key256(1))
	in.ExpirationModel, in.ValidTo = "", aws.Time(start.Add(day))
	material := w.bring(in)
	blob := w.encrypt(*k.KeyId, "x", nil)
	w.advance(day)
	w.catchUp()
	w.catchUp()
	if m := w.describe(*k.KeyId); m.KeyState != "PendingImport" || m.ValidTo != nil || *m.CurrentKeyMaterialId != material {
		t.Errorf("%+v", m)
	}
	events := w.events("DeleteExpiredKeyMaterial")
	if want := `"serviceEventDetails":{"keyId":"` + *k.KeyId + `","keyMaterialId":"` + material + `"}`; len(events) != 1 || !strings.Contains(events[0], want) {
		t.Errorf("%q", events)
	}
	stored, err := w.store.Key(t.Context(), home, *k.KeyId)
	if err != nil || len(stored.Material.Wrapped) != 0 {
		t.Errorf("%d bytes are left in the store, %v", len(stored.Material.Wrapped), err)
	}
	w.bring(w.wrapped(*k.KeyId, key256(1)))
	if got := w.decrypt(blob, nil); got != "x" {
		t.Errorf("%q", got)
	}
}

// TestRunEndsMaterialInTime: material that expires is not used until somebody looks by chance.
func TestRunEndsMaterialInTime(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	in := w.wrapped(*k.KeyId, key256(1))
	in.ExpirationModel, in.ValidTo = "", aws.Time(w.clock().Add(50*time.Millisecond))
	looks := make(chan struct{}, 100)
	w.store = &lookedAt{w.store, looks}
	looked := func() {
		select {
		case <-looks:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody looked")
		}
	}
	w.running("DeleteExpiredKeyMaterial", func() {
		looked() // for what is due
		looked() // for what will be
		w.bring(in)
		looked()
		w.advance(50 * time.Millisecond) // nobody tells the service
	})
	if got := w.describe(*k.KeyId).KeyState; got != "PendingImport" {
		t.Error(got)
	}
}

// lookedAt tells when it was looked at for what is due.
type lookedAt struct {
	kms.Store
	looks chan<- struct{}
}

func (s *lookedAt) Due(ctx context.Context, now time.Time, limit int) ([]*kms.Key, error) {
	due, err := s.Store.Due(ctx, now, limit)
	select {
	case s.looks <- struct{}{}:
	default:
	}
	return due, err
}

func TestImportRefuses(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k, other := w.createExternal(), w.createExternal()
	good := w.wrapped(*k.KeyId, key256(1))
	expired, foreign := w.wrapped(*k.KeyId, key256(1)), w.wrapped(*other.KeyId, key256(1))
	later := aws.Time(start.Add(day))
	for name, c := range map[string]struct {
		change        func(in *awskms.ImportKeyMaterialInput)
		code, message string
	}{
		"no end":   {func(in *awskms.ImportKeyMaterialInput) { in.ExpirationModel = "" }, "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"},
		"two ways": {func(in *awskms.ImportKeyMaterialInput) { in.ValidTo = later }, "ValidationException", "A validTo date must not be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE"},
		"over": {func(in *awskms.ImportKeyMaterialInput) { in.ExpirationModel, in.ValidTo = "", &start }, "ValidationException",
			"ValidTo must be in the future"},
		"too far": {func(in *awskms.ImportKeyMaterialInput) {
			in.ExpirationModel, in.ValidTo = "", aws.Time(start.Add(365*day+time.Second))
		}, "ValidationException", "ValidTo must be within 365 days from now"},
		"id of new material": {func(in *awskms.ImportKeyMaterialInput) {
			in.ImportType, in.KeyMaterialId = types.ImportTypeNewKeyMaterial, aws.String(strings.Repeat("0", 64))
		}, "ValidationException", "A KeyMaterialId cannot be specified if the ImportType is NEW_KEY_MATERIAL"},
		"no material before": {func(in *awskms.ImportKeyMaterialInput) { in.ImportType = types.ImportTypeExistingKeyMaterial }, "IncorrectKeyMaterialException",
			"The key material is not the same as was imported into this key before."},
		"token of another key": {func(in *awskms.ImportKeyMaterialInput) { in.ImportToken = foreign.ImportToken }, "InvalidImportTokenException",
			"The request was rejected because the provided import token is invalid or is associated with a different KMS key."},
		"no token": {func(in *awskms.ImportKeyMaterialInput) { in.ImportToken = []byte("token") }, "InvalidImportTokenException",
			"The request was rejected because the provided import token is invalid or is associated with a different KMS key."},
		"key of another token": {func(in *awskms.ImportKeyMaterialInput) { in.EncryptedKeyMaterial = foreign.EncryptedKeyMaterial }, "InvalidCiphertextException", ""},
		"too short": {func(in *awskms.ImportKeyMaterialInput) { *in = *w.wrapped(*k.KeyId, make([]byte, 16)) }, "IncorrectKeyMaterialException",
			"The key material is not valid for the key spec SYMMETRIC_DEFAULT."},
	} {
		t.Run(name, func(t *testing.T) {
			in := *good
			c.change(&in)
			w.with(t).refused("ImportKeyMaterial", &in, c.code, c.message)
		})
	}
	w.advance(24 * time.Hour)
	w.refused("ImportKeyMaterial", expired, "ExpiredImportTokenException", "The request was rejected because the specified import token is "+
		"expired. Use GetParametersForImport to get a new import token and public key, use the new public key to encrypt the key material, and then try the request again.")
	if m := w.describe(*k.KeyId); m.KeyState != "PendingImport" || m.CurrentKeyMaterialId != nil {
		t.Errorf("refusals left a trace: %+v", m)
	}
}

// TestImportIntoKeysOfOtherSpecs: they take one material, and only such as fits.
func TestImportIntoKeysOfOtherSpecs(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal(func(in *awskms.CreateKeyInput) {
		in.KeySpec, in.KeyUsage = types.KeySpecEccNistP256, types.KeyUsageTypeSignVerify
	})
	private := func(curve elliptic.Curve) []byte {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	mine := private(elliptic.P256())
	unfit := "The key material is not valid for the key spec ECC_NIST_P256."
	w.refused("ImportKeyMaterial", w.wrapped(*k.KeyId, private(elliptic.P384())), "IncorrectKeyMaterialException", unfit)
	w.refused("ImportKeyMaterial", w.wrapped(*k.KeyId, key256(1)), "IncorrectKeyMaterialException", unfit)
	typed := w.wrapped(*k.KeyId, mine)
	typed.ImportType = types.ImportTypeNewKeyMaterial
	w.refused("ImportKeyMaterial", typed, "ValidationException",
		"ImportType, KeyMaterialDescription and KeyMaterialId can only be used with symmetric encryption keys.")
	short := w.wrapped(*k.KeyId, mine)
	short.EncryptedKeyMaterial = short.EncryptedKeyMaterial[1:]
	w.refused("ImportKeyMaterial", short, "ValidationException", "Invalid encrypted key size.")

	if id := w.bring(w.wrapped(*k.KeyId, mine)); id != "" {
		t.Errorf("material of a key that takes no other is told of as %s", id)
	}
	out := do[awskms.SignOutput](w, "Sign", &awskms.SignInput{KeyId: k.KeyId, Message: []byte("x"), SigningAlgorithm: "ECDSA_SHA_256"})
	w.refused("ImportKeyMaterial", w.wrapped(*k.KeyId, private(elliptic.P256())), "IncorrectKeyMaterialException",
		"The key material is not the same as was imported into this key before.")
	deleted := do[awskms.DeleteImportedKeyMaterialOutput](w, "DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: k.KeyId})
	if deleted.KeyMaterialId != nil {
		t.Errorf("deleted %s", *deleted.KeyMaterialId)
	}
	if text := strings.Join(append(w.events("ImportKeyMaterial"), w.events("DeleteImportedKeyMaterial")...), "\n"); strings.Contains(text, "keyMaterialId") {
		t.Error(text)
	}
	w.refused("GetPublicKey", &awskms.GetPublicKeyInput{KeyId: k.KeyId}, "KMSInvalidStateException", *k.Arn+" is pending import.")
	w.bring(w.wrapped(*k.KeyId, mine))
	w.must("Verify", &awskms.VerifyInput{KeyId: k.KeyId, Message: []byte("x"), Signature: out.Signature, SigningAlgorithm: "ECDSA_SHA_256"})
}

func TestWrappingAlgorithms(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	for _, c := range []struct {
		algorithm     types.AlgorithmSpec
		spec          types.WrappingKeySpec
		code, message string
	}{
		{"RSA_AES_KEY_WRAP_SHA_256", "RSA_3072", "ValidationException",
			"Wrapping algorithm RSA_AES_KEY_WRAP_SHA_256 and wrapping key spec RSA_3072 cannot be used to import a SYMMETRIC_DEFAULT key."},
		{"RSAES_PKCS1_V1_5", "RSA_2048", "UnsupportedOperationException",
			"Wrapping algorithm RSAES_PKCS1_V1_5 and wrapping key spec RSA_2048 are not supported."},
		{"SM2PKE", "SM2", "UnsupportedOperationException", "Wrapping algorithm SM2PKE and wrapping key spec SM2 are not supported."},
	} {
		w.refused("GetParametersForImport", &awskms.GetParametersForImportInput{
			KeyId: k.KeyId, WrappingAlgorithm: c.algorithm, WrappingKeySpec: c.spec}, c.code, c.message)
	}
}

func TestRotationOfImportedMaterial(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	id := *k.KeyId
	first := w.bring(w.wrapped(id, key256(1)))
	blob := w.encrypt(id, "first", nil)
	none := "No available key material pending rotation for the key: " + *k.Arn + "."
	w.refused("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException", none)

	in := w.wrapped(id, key256(2))
	in.ImportType, in.KeyMaterialDescription = types.ImportTypeNewKeyMaterial, aws.String("the second")
	second := w.bring(in)
	if got := *w.describe(id).CurrentKeyMaterialId; got != first {
		t.Error("new material is current before the rotation")
	}
	all := w.rotations(id, types.IncludeKeyMaterialAllKeyMaterial)
	if len(all) != 2 || *all[1].KeyMaterialId != second || all[1].KeyMaterialState != "PENDING_ROTATION" || all[1].ImportState != "IMPORTED" ||
		*all[1].KeyMaterialDescription != "the second" || all[1].ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE" || all[1].RotationDate != nil {
		t.Errorf("%+v", all)
	}
	in = w.wrapped(id, key256(3))
	in.ImportType = types.ImportTypeNewKeyMaterial
	_, err := w.invoke(w.call("ImportKeyMaterial"), "ImportKeyMaterial", in)
	because := " cannot be imported into KMS key " + *k.Arn + ", because another key material (id: " + second + ") is pending rotation."
	if f, ok := fault.As(err); !ok || f.Code != "KMSInvalidStateException" || !strings.HasSuffix(f.Message, because) {
		t.Errorf("while another one is pending: %v", err)
	}
	in = w.wrapped(id, key256(1))
	in.ImportType = types.ImportTypeNewKeyMaterial
	w.refused("ImportKeyMaterial", in, "IncorrectKeyMaterialException",
		"The key material was imported into this key before: import it as EXISTING_KEY_MATERIAL.")

	w.rotateNow(id)
	if got := *w.describe(id).CurrentKeyMaterialId; got != second || w.decrypt(blob, nil) != "first" {
		t.Error("the rotation did not happen as it should")
	}
	// A key whose earlier material is gone cannot be used at all.
	w.must("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &first})
	if got := w.describe(id).KeyState; got != "PendingImport" {
		t.Error(got)
	}
	in = w.wrapped(id, key256(1))
	in.KeyMaterialId = &second
	w.refused("ImportKeyMaterial", in, "IncorrectKeyMaterialException", "The key material is not the same as was imported into this key before.")
	in = w.wrapped(id, key256(1))
	in.KeyMaterialId = &first
	w.bring(in)
	if w.describe(id).KeyState != "Enabled" || w.decrypt(blob, nil) != "first" {
		t.Error("importing all material again did not bring the key back")
	}
}

func TestMaterialThatWaitsCanBeDeleted(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createExternal().KeyId
	w.bring(w.wrapped(id, key256(1)))
	in := w.wrapped(id, key256(2))
	in.ImportType = types.ImportTypeNewKeyMaterial
	second := w.bring(in)
	w.must("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id})
	w.must("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second})
	w.catchUp()
	if m := w.describe(id); m.KeyState != "Enabled" || *m.CurrentKeyMaterialId == second || len(w.rotations(id, "ALL_KEY_MATERIAL")) != 1 {
		t.Errorf("%+v", m)
	}
	w.refused("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second}, "NotFoundException",
		"Key material '"+second+"' does not exist")
	in = w.wrapped(id, key256(3)) // other material in its place
	in.ImportType = types.ImportTypeNewKeyMaterial
	third := w.bring(in)
	w.rotateNow(id)
	if got := *w.describe(id).CurrentKeyMaterialId; got != third {
		t.Error("the rotation did not happen")
	}
}

func TestImportIntoAFamily(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createExternal(multiRegion).KeyId
	first := w.bring(w.wrapped(id, key256(1)))
	blob := w.encrypt(id, "x", nil)
	if got := w.replicate(id, "eu-west-1").KeyState; got != "Creating" {
		t.Error(got)
	}
	w.in("eu-west-1", func() {
		if m := w.describe(id); m.KeyState != "PendingImport" || *m.CurrentKeyMaterialId != first {
			t.Errorf("a replica's material came by itself: %+v", m)
		}
		w.refused("ImportKeyMaterial", w.wrapped(id, key256(9)), "IncorrectKeyMaterialException",
			"The key material is not the same as was imported into this key before.")
		w.bring(w.wrapped(id, key256(1)))
		if got := w.decrypt(blob, nil); got != "x" {
			t.Errorf("%q", got)
		}
		in := w.wrapped(id, key256(2))
		in.ImportType = types.ImportTypeNewKeyMaterial
		w.refused("ImportKeyMaterial", in, "UnsupportedOperationException", "New key material can only be imported into the primary key in us-east-1.")
	})
	in := w.wrapped(id, key256(2))
	in.ImportType = types.ImportTypeNewKeyMaterial
	second := w.bring(in)
	states := func(want string) {
		t.Helper()
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			w.in(region, func() {
				if all := w.rotations(id, "ALL_KEY_MATERIAL"); len(all) != 2 || string(all[1].KeyMaterialState) != want {
					t.Errorf("%s: %+v", region, all)
				}
			})
		}
	}
	states("PENDING_MULTI_REGION_IMPORT_AND_ROTATION")
	w.refused("RotateKeyOnDemand", &awskms.RotateKeyOnDemandInput{KeyId: &id}, "KMSInvalidStateException",
		"No available key material pending rotation for the key: "+home.Key(id)+".")
	w.in("eu-west-1", func() { w.bring(w.wrapped(id, key256(2))) })
	states("PENDING_ROTATION")
	w.in("eu-west-1", func() { // the primary's stays as it is
		w.must("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id, KeyMaterialId: &second})
		if got := w.describe(id).KeyState; got != "Enabled" {
			t.Error(got)
		}
	})
	states("PENDING_MULTI_REGION_IMPORT_AND_ROTATION")
	w.in("eu-west-1", func() { w.bring(w.wrapped(id, key256(2))) })
	w.rotateNow(id)
	blob = w.encrypt(id, "y", nil)
	w.in("eu-west-1", func() {
		if m := w.describe(id); *m.CurrentKeyMaterialId != second || m.KeyState != "Enabled" || w.decrypt(blob, nil) != "y" {
			t.Errorf("%+v", m)
		}
	})
	w.must("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id})
	if got := w.describe(id).KeyState; got != "PendingImport" {
		t.Error(got)
	}
	w.in("eu-west-1", func() {
		if got := w.describe(id).KeyState; got != "Enabled" {
			t.Errorf("the replica lost material of its own: %s", got)
		}
	})
}

// TestReplicaThatLackedMaterialIsGone: what waited for nobody but a replica waits no longer when that is deleted.
func TestReplicaThatLackedMaterialIsGone(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createExternal(multiRegion).KeyId
	w.bring(w.wrapped(id, key256(1)))
	w.replicate(id, "eu-west-1")
	w.replicate(id, "eu-west-2")
	second := w.bringNew(id, key256(2), time.Time{})
	w.in("eu-west-1", func() { w.bring(w.wrapped(id, key256(2))) })
	w.in("eu-west-2", func() {
		w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)})
	})
	states := func(want types.KeyMaterialState) {
		t.Helper()
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			w.in(region, func() {
				if all := w.rotations(id, "ALL_KEY_MATERIAL"); len(all) != 2 || all[1].KeyMaterialState != want {
					t.Errorf("%s: %+v", region, all)
				}
			})
		}
	}
	states("PENDING_MULTI_REGION_IMPORT_AND_ROTATION")
	w.advance(7 * day)
	w.catchUp()
	states("PENDING_ROTATION")
	w.rotateNow(id)
	if got := *w.describe(id).CurrentKeyMaterialId; got != second {
		t.Error("the rotation did not happen")
	}
}

// TestEarliestExpiry: a key's end is that of the first of its materials; what waits for a rotation does not count.
func TestEarliestExpiry(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createExternal().KeyId
	reads := func(want time.Time) {
		t.Helper()
		switch m := w.describe(id); {
		case want.IsZero() && (m.ExpirationModel != "KEY_MATERIAL_DOES_NOT_EXPIRE" || m.ValidTo != nil):
			t.Errorf("%s, %v; want no end", m.ExpirationModel, m.ValidTo)
		case !want.IsZero() && (m.ExpirationModel != "KEY_MATERIAL_EXPIRES" || m.ValidTo == nil || !m.ValidTo.Equal(want)):
			t.Errorf("%s, %v; want %v", m.ExpirationModel, m.ValidTo, want)
		}
	}
	w.bringNew(id, key256(1), time.Time{})
	w.bringNew(id, key256(2), start.Add(9*day))
	reads(time.Time{})
	w.rotateNow(id)
	reads(start.Add(9 * day))
	w.bringNew(id, key256(3), start.Add(5*day))
	reads(start.Add(9 * day))
	w.rotateNow(id)
	reads(start.Add(5 * day))
	w.bringNew(id, key256(4), time.Time{})
	w.rotateNow(id)
	reads(start.Add(5 * day))
	w.advance(5 * day)
	w.catchUp()
	reads(start.Add(9 * day))
	if got := w.describe(id).KeyState; got != "PendingImport" {
		t.Error(got)
	}
}

func TestDeletionAndImport(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	id := *k.KeyId
	w.bring(w.wrapped(id, key256(1)))
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id})
	w.must("DeleteImportedKeyMaterial", &awskms.DeleteImportedKeyMaterialInput{KeyId: &id})
	if got := w.describe(id).KeyState; got != "PendingDeletion" {
		t.Error(got)
	}
	w.must("CancelKeyDeletion", &awskms.CancelKeyDeletionInput{KeyId: &id})
	if got := w.describe(id).KeyState; got != "PendingImport" {
		t.Error(got)
	}
	w.bring(w.wrapped(id, key256(1)))
	w.must("DisableKey", &awskms.DisableKeyInput{KeyId: &id})
	w.bring(w.wrapped(id, key256(1)))
	if got := w.describe(id).KeyState; got != "Disabled" {
		t.Errorf("an import enabled a key that was disabled: %s", got)
	}
}

func TestImportIsLoggedWithoutSecrets(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	in := w.wrapped(*k.KeyId, key256('k'))
	text := w.eventOf("ImportKeyMaterial", in)
	want := `"requestParameters":{"expirationModel":"KEY_MATERIAL_DOES_NOT_EXPIRE"},"responseElements":{"keyId":"` + *k.Arn + `","keyMaterialId":"`
	if !strings.Contains(text, want) || strings.Contains(text, "kkkk") {
		t.Error(text)
	}
}

// TestExpirationModelThatIsNotSent: the default applies, but policies see that nothing was sent.
func TestExpirationModelThatIsNotSent(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createExternal()
	in := w.wrapped(*k.KeyId, key256(1))
	in.ExpirationModel, in.ValidTo = "", aws.Time(w.clock().Add(time.Hour))
	for null, admitted := range map[string]bool{"true": true, "false": false} {
		policy := identityPolicy(statement("Allow", "", `"kms:*"`, `{"Null":{"kms:ExpirationModel":"`+null+`"}}`))
		copied := *in
		if _, err := w.as(alice, policy)("ImportKeyMaterial", &copied); (err == nil) != admitted {
			t.Errorf("Null %s: %v", null, err)
		}
	}
}
