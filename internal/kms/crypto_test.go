package kms_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/kms"
)

func TestEncryptThenDecrypt(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	for name, k := range map[string]*types.KeyMetadata{"default store": w.createKey(), "custom key store": w.createStoreKey()} {
		w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/" + *k.KeyId), TargetKeyId: k.KeyId})
		alias := "alias/" + *k.KeyId
		for _, id := range []string{*k.KeyId, *k.Arn, alias, home.Alias(alias)} {
			out := do[awskms.EncryptOutput](w, "Encrypt", &awskms.EncryptInput{KeyId: &id, Plaintext: []byte("attack at dawn")})
			if *out.KeyId != *k.Arn || out.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault {
				t.Errorf("%s, %s: %s, %s", name, id, *out.KeyId, out.EncryptionAlgorithm)
			}
			back := do[awskms.DecryptOutput](w, "Decrypt", &awskms.DecryptInput{CiphertextBlob: out.CiphertextBlob, KeyId: &id})
			if string(back.Plaintext) != "attack at dawn" || *back.KeyId != *k.Arn {
				t.Errorf("%s, %s: %q under %s", name, id, back.Plaintext, *back.KeyId)
			}
			if aws.ToString(back.KeyMaterialId) != aws.ToString(k.CurrentKeyMaterialId) {
				t.Errorf("%s: material %v", name, back.KeyMaterialId)
			}
		}
		if inStore := k.CustomKeyStoreId != nil; inStore == (k.CurrentKeyMaterialId != nil) {
			t.Errorf("%s: CurrentKeyMaterialId %v", name, k.CurrentKeyMaterialId)
		}
	}
}

func TestCiphertextSurvivesRestart(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	blob := w.encrypt(*w.createKey().KeyId, "kept", nil)
	w.restart(kms.Limits{})
	if got := w.decrypt(blob, nil); got != "kept" {
		t.Errorf("%q", got)
	}
}

// noKeyOfCiphertext does not tell whether another account has the key.
const noKeyOfCiphertext = "User: arn:aws:iam::111122223333:user/admin is not authorized to perform: kms:Decrypt on the resource associated " +
	"with this ciphertext because the resource does not exist in this Region, no resource-based policies allow access, or a " +
	"resource-based policy explicitly denies access"

func TestAnyFlippedBitIsInvalidCiphertext(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	blobs := [][]byte{
		w.encrypt(*w.createKey().KeyId, "attack at dawn", map[string]string{"a": "1"}),
		w.encrypt(*w.createStoreKey().KeyId, "attack at dawn", map[string]string{"a": "1"}),
	}
	w.createKey() // so that other key ids exist
	rapid.Check(t, func(rt *rapid.T) {
		blob := bytes.Clone(rapid.SampledFrom(blobs).Draw(rt, "blob"))
		bit := rapid.IntRange(0, len(blob)*8-1).Draw(rt, "bit")
		blob[bit/8] ^= 1 << (bit % 8)
		_, err := w.invoke(w.call("Decrypt"), "Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"a": "1"}})
		if f, ok := fault.As(err); !ok || f.Code != "InvalidCiphertextException" || f.Message != "" {
			rt.Fatalf("bit %d: %v", bit, err)
		}
	})
}

func TestCiphertextIsBoundToItsKey(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	one, other := w.createKey(), w.createKey()
	blob := w.encrypt(*one.KeyId, "x", nil)
	theirs := w.encrypt(*other.KeyId, "x", nil)
	swapped := append(bytes.Clone(theirs[:33]), blob[33:]...)
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: swapped}, "InvalidCiphertextException", "")
	onlyID := bytes.Clone(blob)
	copy(onlyID[1:17], theirs[1:17])
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: onlyID}, "InvalidCiphertextException", "")
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: onlyID, KeyId: aws.String("x")}, "NotFoundException", "Invalid keyId 'x'")

	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: other.KeyId}, "IncorrectKeyException",
		"The key ID in the request does not identify a CMK that can perform this operation.")
	nowhere := bytes.Clone(blob)
	nowhere[5] ^= 1
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: nowhere}, "InvalidCiphertextException", "")
	for _, id := range []*string{one.KeyId, other.KeyId} {
		w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: nowhere, KeyId: id}, "InvalidCiphertextException", "")
	}
	for _, bad := range [][]byte{{}, {1}, blob[:33], blob[:40], append(bytes.Clone(blob), 0), make([]byte, 6145)} {
		w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: bad}, "InvalidCiphertextException", "")
	}
}

func TestEncryptionContextMustMatch(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createKey().KeyId
	contexts := []map[string]string{
		{"a": "1"}, {"a": "2"}, {"A": "1"}, {"b": "1"}, {"a": "1", "b": "2"}, {"a": "1b", "": "2"}, {"a1": "", "": ""}, {"": "a1"}, nil,
	}
	for i, c := range contexts {
		blob := w.encrypt(id, "x", c)
		for j, other := range contexts {
			in := &awskms.DecryptInput{CiphertextBlob: blob, EncryptionContext: other}
			if i == j {
				w.must("Decrypt", in)
			} else {
				w.refused("Decrypt", in, "InvalidCiphertextException", "")
			}
		}
	}
	if got := w.decrypt(w.encrypt(id, "x", nil), map[string]string{}); got != "x" {
		t.Error("an empty context is not no context")
	}
	big := map[string]string{"k": strings.Repeat("v", 8191)}
	if got := w.decrypt(w.encrypt(id, "x", big), big); got != "x" {
		t.Error("8,192 bytes of context do not work")
	}
	big["k"] += "v"
	w.refused("Encrypt", &awskms.EncryptInput{KeyId: &id, Plaintext: []byte("x"), EncryptionContext: big}, "ValidationException",
		"EncryptionContext has 8193 bytes, more than the limit of 8192.")
}

// TestCiphertextByHand opens a ciphertext with nothing but crypto/aes and the written formats: the blob's layout, and
// XAES-256-GCM's derivation (c2sp.org/XAES-256-GCM) of the message key.
func TestCiphertextByHand(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	meta := w.createKey()
	blob := w.encrypt(*meta.KeyId, "attack at dawn", map[string]string{"b": "2", "a": "1"})

	record, err := w.store.Key(t.Context(), home, *meta.KeyId)
	if err != nil {
		t.Fatal(err)
	}
	material, err := w.root.Open("kms key material "+record.Material.ID+" of "+*meta.Arn, record.Material.Wrapped)
	if err != nil {
		t.Fatal(err)
	}
	wantHeader := "03" + strings.ReplaceAll(*meta.KeyId, "-", "") + (*meta.CurrentKeyMaterialId)[:32]
	if got := hex.EncodeToString(blob[:33]); got != wantHeader {
		t.Errorf("header %s, want %s", got, wantHeader)
	}
	aad := bytes.Clone(blob[:33])
	counted := func(s string) {
		aad = binary.BigEndian.AppendUint32(aad, uint32(len(s)))
		aad = append(aad, s...)
	}
	counted(*meta.Arn)
	aad = binary.BigEndian.AppendUint32(aad, 2)
	for _, s := range []string{"a", "1", "b", "2"} {
		counted(s)
	}
	nonce := blob[49:73] // behind the mark
	plain, err := messageAEAD(t, material, nonce[:12]).Open(nil, nonce[12:], blob[73:], aad)
	if err != nil || string(plain) != "attack at dawn" {
		t.Errorf("%q, %v", plain, err)
	}

	// Ciphertexts of the first version, which had no mark, are opened still.
	aad[0] = 1
	unmarked := append(append(bytes.Clone(aad[:33]), nonce...), messageAEAD(t, material, nonce[:12]).Seal(nil, nonce[12:], plain, aad)...)
	if got := w.decrypt(unmarked, map[string]string{"a": "1", "b": "2"}); got != string(plain) {
		t.Errorf("without a mark: %q", got)
	}
}

// TestMarks: what a ciphertext answers that has no key here depends on whether it ever was one.
func TestMarks(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	id := *w.createKey().KeyId
	other := *w.createKey().KeyId
	blob := w.encrypt(id, "x", nil)
	forged := bytes.Clone(blob)
	forged[1] ^= 1 // another key, which is not there
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: forged}, "InvalidCiphertextException", "")
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: forged, KeyId: &id}, "InvalidCiphertextException", "")
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, KeyId: &other}, "IncorrectKeyException",
		"The key ID in the request does not identify a CMK that can perform this operation.")
	w.must("ScheduleKeyDeletion", &awskms.ScheduleKeyDeletionInput{KeyId: &id, PendingWindowInDays: aws.Int32(7)})
	w.advance(8 * 24 * time.Hour)
	if err := w.service.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.refused("Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}, "AccessDeniedException", noKeyOfCiphertext)
}

func messageAEAD(t *testing.T, key, prefix []byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	var l, k1 [16]byte
	block.Encrypt(l[:], l[:])
	for i := range 16 { // K1 = L << 1, reduced
		k1[i] = l[i] << 1
		if i < 15 {
			k1[i] |= l[i+1] >> 7
		}
	}
	if l[0]&0x80 != 0 {
		k1[15] ^= 0x87
	}
	var derived []byte
	for counter := byte(1); counter <= 2; counter++ {
		m := append([]byte{0, counter, 'X', 0}, prefix...)
		for i := range m {
			m[i] ^= k1[i]
		}
		block.Encrypt(m, m)
		derived = append(derived, m...)
	}
	inner, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(inner)
	if err != nil {
		t.Fatal(err)
	}
	return aead
}

func TestReEncrypt(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	from, to := w.createKey(), w.createStoreKey()
	before, after := map[string]string{"v": "1"}, map[string]string{"v": "2"}
	out := do[awskms.ReEncryptOutput](w, "ReEncrypt", &awskms.ReEncryptInput{
		CiphertextBlob: w.encrypt(*from.KeyId, "moved", before), SourceEncryptionContext: before,
		DestinationKeyId: to.KeyId, DestinationEncryptionContext: after,
	})
	if *out.SourceKeyId != *from.Arn || *out.KeyId != *to.Arn || *out.SourceKeyMaterialId != *from.CurrentKeyMaterialId || out.DestinationKeyMaterialId != nil {
		t.Errorf("%+v", out)
	}
	if got := w.decrypt(out.CiphertextBlob, after); got != "moved" {
		t.Errorf("%q", got)
	}
	w.refused("ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: out.CiphertextBlob, DestinationKeyId: from.KeyId, SourceKeyId: from.KeyId},
		"IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	w.refused("ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: out.CiphertextBlob, DestinationKeyId: from.KeyId},
		"InvalidCiphertextException", "")
}

func TestDataKeys(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	for _, c := range []struct {
		spec types.DataKeySpec
		n    *int32
		size int
	}{{types.DataKeySpecAes128, nil, 16}, {types.DataKeySpecAes256, nil, 32}, {"", aws.Int32(1), 1}, {"", aws.Int32(1024), 1024}} {
		out := do[awskms.GenerateDataKeyOutput](w, "GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: c.spec, NumberOfBytes: c.n})
		if got := w.decrypt(out.CiphertextBlob, nil); len(got) != c.size || got != string(out.Plaintext) || *out.KeyId != *k.Arn {
			t.Errorf("%s %v: %d bytes, equal %v", c.spec, c.n, len(got), got == string(out.Plaintext))
		}
		without := do[awskms.GenerateDataKeyWithoutPlaintextOutput](w, "GenerateDataKeyWithoutPlaintext",
			&awskms.GenerateDataKeyWithoutPlaintextInput{KeyId: k.KeyId, KeySpec: c.spec, NumberOfBytes: c.n})
		if got := w.decrypt(without.CiphertextBlob, nil); len(got) != c.size || c.size > 1 && got == strings.Repeat("\x00", c.size) {
			t.Errorf("without plaintext: %x", got)
		}
	}
	const neither = "Please specify either number of bytes or key spec."
	w.refused("GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId}, "ValidationException", neither)
	w.refused("GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256", NumberOfBytes: aws.Int32(3)}, "ValidationException", neither)
}

func TestGenerateRandom(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	seen := map[string]bool{}
	for _, store := range []*string{nil, aws.String(storeID)} {
		for range 2 {
			out := do[awskms.GenerateRandomOutput](w, "GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(32), CustomKeyStoreId: store})
			seen[string(out.Plaintext)] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d different results of 4", len(seen))
	}
	w.refused("GenerateRandom", &awskms.GenerateRandomInput{}, "ValidationException", "NumberOfBytes is required.")
	w.refused("GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(1), CustomKeyStoreId: aws.String("cks-00000000000000000")},
		"CustomKeyStoreNotFoundException", "not found")
}

func TestWhatIsAskedBeforeTheKeyIsUsed(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	blob := w.encrypt(*k.KeyId, "x", nil)
	plain := []byte("x")
	yes, rsa := aws.Bool(true), types.EncryptionAlgorithmSpecRsaesOaepSha1
	const dry = "The request would have succeeded, but the DryRun option is set."
	ignore := []types.DryRunModifierType{types.DryRunModifierTypeIgnoreCiphertext}
	recipient := &types.RecipientInfo{AttestationDocument: []byte{1}}
	const attested = "Attested requests are not supported: this endpoint cannot verify the attestation document in Recipient."
	const token = "The request was rejected because the specified grant token is not valid."
	const null = "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null"
	for _, c := range []struct {
		operation     string
		in            any
		code, message string
	}{
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: plain, DryRun: yes}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, DryRun: yes}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{KeyId: k.KeyId, DryRun: yes, DryRunModifiers: ignore}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{DryRun: yes, DryRunModifiers: ignore}, "ValidationException", strings.ReplaceAll(null, "%s", "keyId")},
		{"Decrypt", &awskms.DecryptInput{DryRun: yes}, "ValidationException", strings.ReplaceAll(null, "%s", "ciphertextBlob")},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, DryRunModifiers: ignore}, "ValidationException", "DryRunModifiers can only be used when DryRun is true."},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: k.KeyId, DryRun: yes}, "DryRunOperationException", dry},
		{"ReEncrypt", &awskms.ReEncryptInput{SourceKeyId: k.KeyId, DestinationKeyId: k.KeyId, DryRun: yes, DryRunModifiers: ignore}, "DryRunOperationException", dry},
		{"ReEncrypt", &awskms.ReEncryptInput{DestinationKeyId: k.KeyId, DryRun: yes, DryRunModifiers: ignore}, "ValidationException", strings.ReplaceAll(null, "%s", "sourceKeyId")},
		{"ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: aws.String("nonsense"), DryRun: yes}, "NotFoundException", "Invalid keyId 'nonsense'"},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256", DryRun: yes}, "DryRunOperationException", dry},
		{"Decrypt", &awskms.DecryptInput{CiphertextBlob: blob, Recipient: recipient}, "UnsupportedOperationException", attested},
		{"GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256", Recipient: recipient}, "UnsupportedOperationException", attested},
		{"GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(1), Recipient: recipient}, "UnsupportedOperationException", attested},
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: plain, GrantTokens: []string{"t"}, DryRun: yes}, "InvalidGrantTokenException", token},
		{"DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId, GrantTokens: []string{"t"}}, "InvalidGrantTokenException", token},
		{"Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: plain, EncryptionAlgorithm: rsa}, "InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT."},
		{"Decrypt", &awskms.DecryptInput{KeyId: k.KeyId, CiphertextBlob: blob, EncryptionAlgorithm: rsa}, "InvalidKeyUsageException", "Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT."},
	} {
		w.refused(c.operation, c.in, c.code, c.message)
	}
}

func TestNamesOfKeys(t *testing.T) {
	w := newWorld(t, kms.Limits{})
	k := w.createKey()
	w.must("CreateAlias", &awskms.CreateAliasInput{AliasName: aws.String("alias/here"), TargetKeyId: k.KeyId})
	const absent = "00000000-0000-4000-8000-000000000000"
	abroad := arn.Scope{Account: "999988887777", Region: home.Region}
	away := arn.Scope{Account: home.Account, Region: "eu-west-1"}
	denied := func(op string) string {
		return "User: " + admin.ARN + " is not authorized to perform: kms:" + op + " on this resource because the resource does not exist in " +
			"this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
	}
	for _, c := range []struct{ id, code, message string }{
		{"nonsense", "NotFoundException", "Invalid keyId 'nonsense'"},
		{absent, "NotFoundException", "Key '" + home.Key(absent) + "' does not exist"},
		{home.Key(absent), "NotFoundException", "Key '" + home.Key(absent) + "' does not exist"},
		{home.Key("nonsense"), "NotFoundException", "Invalid keyId '" + home.Key("nonsense") + "'"},
		{"mrk-0123456789abcdef0123456789abcdef", "NotFoundException", "Key '" + home.Key("mrk-0123456789abcdef0123456789abcdef") + "' does not exist"},
		{"alias/gone", "NotFoundException", "Alias " + home.Alias("alias/gone") + " is not found."},
		{home.Alias("alias/gone"), "NotFoundException", "Alias " + home.Alias("alias/gone") + " is not found."},
		{away.Key(*k.KeyId), "NotFoundException", "Invalid arn eu-west-1"},
		{abroad.Key(*k.KeyId), "AccessDeniedException", denied("Encrypt")},
		{abroad.Alias("alias/here"), "AccessDeniedException", denied("Encrypt")},
		{"arn:aws:s3:::bucket", "InvalidArnException", "Invalid arn 'arn:aws:s3:::bucket'"},
		{"arn:nonsense", "InvalidArnException", "Invalid arn 'arn:nonsense'"},
	} {
		w.refused("Encrypt", &awskms.EncryptInput{KeyId: &c.id, Plaintext: []byte("x")}, c.code, c.message)
	}
	for _, id := range []string{"alias/here", home.Alias("alias/here")} { // not among the forms of this operation
		w.refused("EnableKey", &awskms.EnableKeyInput{KeyId: &id}, "InvalidArnException", "Key Aliases are not supported for this operation.")
	}
	w.refused("ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: w.encrypt(*k.KeyId, "x", nil), DestinationKeyId: aws.String(abroad.Key(absent))},
		"AccessDeniedException", denied("ReEncryptTo"))
	elsewhere := w.call("DescribeKey")
	elsewhere.Scope = away
	_, err := w.invoke(elsewhere, "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId})
	w.isFault("DescribeKey in another Region", err, "NotFoundException", "Key '"+away.Key(*k.KeyId)+"' does not exist")
}
