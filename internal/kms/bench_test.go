package kms_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/audit"
	"keyward/internal/kms"
	"keyward/internal/policy"
)

// BenchmarkOperations measures handlers on hot keys, without wire and audit log.
func BenchmarkOperations(b *testing.B) {
	w := newWorld(b, kms.Limits{})
	k := w.createKey()
	w.alias("alias/a", k)
	plaintext := make([]byte, 64)
	blob := w.encrypt(*k.KeyId, string(plaintext), nil)
	encryptionContext := map[string]string{"tenant": "1234", "purpose": "benchmark"}
	for _, c := range []struct {
		name, operation string
		in              any
	}{
		{"Encrypt", "Encrypt", &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: plaintext}},
		{"Encrypt by alias with context", "Encrypt", &awskms.EncryptInput{KeyId: aws.String("alias/a"), Plaintext: plaintext, EncryptionContext: encryptionContext}},
		{"Decrypt", "Decrypt", &awskms.DecryptInput{CiphertextBlob: blob}},
		{"ReEncrypt", "ReEncrypt", &awskms.ReEncryptInput{CiphertextBlob: blob, DestinationKeyId: k.KeyId}},
		{"GenerateDataKey", "GenerateDataKey", &awskms.GenerateDataKeyInput{KeyId: k.KeyId, KeySpec: "AES_256"}},
		{"GenerateRandom", "GenerateRandom", &awskms.GenerateRandomInput{NumberOfBytes: aws.Int32(32)}},
		{"DescribeKey", "DescribeKey", &awskms.DescribeKeyInput{KeyId: k.KeyId}},
		{"DisableKey", "DisableKey", &awskms.DisableKeyInput{KeyId: w.createKey().KeyId}},
		{"CreateKey", "CreateKey", &awskms.CreateKeyInput{}},
		{"ListKeys", "ListKeys", &awskms.ListKeysInput{}},
	} {
		b.Run(c.name, func(b *testing.B) { w.bench(b, c.operation, c.in) })
	}
	w.benchKinds(b)
}

func (w *world) bench(b *testing.B, operation string, in any) {
	row, call, ctx := w.rows[operation], w.call(operation), context.Background()
	b.ReportAllocs()
	for b.Loop() {
		*call.Event = audit.Event{Name: operation, Request: call.Event.Request[:0], Additional: call.Event.Additional[:0], Resources: call.Event.Resources[:0]}
		if _, err := row.Invoke(ctx, call, in); err != nil {
			b.Fatal(err)
		}
	}
}

// benchKinds measures every cryptographic operation on every kind of key that it is for, with the kind's last algorithm.
func (w *world) benchKinds(b *testing.B) {
	for _, k := range kinds {
		if k.spec == "SYMMETRIC_DEFAULT" {
			continue
		}
		m := w.createKind(k)
		for name, in := range w.inputs(k, m) {
			b.Run(name+"/"+string(k.spec), func(b *testing.B) { w.bench(b, name, in) })
		}
	}
	for _, spec := range types.DataKeyPairSpec("").Values() {
		if spec == types.DataKeyPairSpecSm2 {
			continue
		}
		in := &awskms.GenerateDataKeyPairInput{KeyId: w.createKey().KeyId, KeyPairSpec: spec}
		b.Run("GenerateDataKeyPair/"+string(spec), func(b *testing.B) { w.bench(b, "GenerateDataKeyPair", in) })
	}
}

// inputs are requests that succeed, of the operations that a key of this kind is for.
func (w *world) inputs(k kind, m *types.KeyMetadata) map[string]any {
	last := k.list()[len(k.list())-1]
	r := request{key: m.KeyId, algorithm: last}
	switch k.usage {
	case types.KeyUsageTypeEncryptDecrypt:
		sealed := do[awskms.EncryptOutput](w, "Encrypt", valid["Encrypt"](r)).CiphertextBlob
		return map[string]any{
			"Encrypt": valid["Encrypt"](r),
			"Decrypt": &awskms.DecryptInput{KeyId: m.KeyId, CiphertextBlob: sealed, EncryptionAlgorithm: types.EncryptionAlgorithmSpec(last)},
		}
	case types.KeyUsageTypeSignVerify:
		verify := valid["Verify"](r).(*awskms.VerifyInput)
		verify.Signature = do[awskms.SignOutput](w, "Sign", valid["Sign"](r)).Signature
		return map[string]any{"Sign": valid["Sign"](r), "Verify": verify, "GetPublicKey": &awskms.GetPublicKeyInput{KeyId: m.KeyId}}
	case types.KeyUsageTypeGenerateVerifyMac:
		verify := valid["VerifyMac"](r).(*awskms.VerifyMacInput)
		verify.Mac = do[awskms.GenerateMacOutput](w, "GenerateMac", valid["GenerateMac"](r)).Mac
		return map[string]any{"GenerateMac": valid["GenerateMac"](r), "VerifyMac": verify}
	case types.KeyUsageTypeKeyAgreement:
		_, r.peer = peer(w, curves[k.spec])
		return map[string]any{"DeriveSharedSecret": valid["DeriveSharedSecret"](r)}
	default:
		decapsulate := valid["Decapsulate"](r).(*awskms.DecapsulateInput)
		decapsulate.SharedSecretCiphertextBlob = do[awskms.EncapsulateOutput](w, "Encapsulate", valid["Encapsulate"](r)).SharedSecretCiphertextBlob
		return map[string]any{"Encapsulate": valid["Encapsulate"](r), "Decapsulate": decapsulate}
	}
}

// BenchmarkAuthorizedEncrypt is Encrypt by a user whom the last of a key policy's 20 statements lets in, or the last of
// ten grants on top of that policy, with conditions to be held against the request.
func BenchmarkAuthorizedEncrypt(b *testing.B) {
	w := newWorld(b, kms.Limits{})
	var statements []string
	for i := range 18 {
		statements = append(statements, statement("Allow", `{"AWS":"arn:aws:iam::111122223333:user/somebody-`+strconv.Itoa(i)+`"}`,
			`["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*"]`, `{"StringEquals":{"kms:EncryptionContext:tenant":"`+strconv.Itoa(i)+`"}}`))
	}
	k := w.keyWith(append(statements, statement("Allow", `{"AWS":"`+alice.ARN+`"}`, `"kms:En*"`, `{"StringEquals":{"kms:EncryptionContext:tenant":"7"}}`))...)
	for i := range 10 {
		w.must("CreateGrant", &awskms.CreateGrantInput{
			KeyId: k.KeyId, GranteePrincipal: &bob.ARN, Operations: []types.GrantOperation{"Encrypt"},
			Constraints: &types.GrantConstraints{EncryptionContextSubset: map[string]string{"tenant": strconv.Itoa(9 - i)}},
		})
	}
	in := &awskms.EncryptInput{KeyId: k.KeyId, Plaintext: make([]byte, 64), EncryptionContext: map[string]string{"tenant": "7"}}
	for _, c := range []struct {
		name string
		who  *policy.Principal
	}{
		{"policy", &policy.Principal{Caller: alice}},
		{"grant", &policy.Principal{Caller: bob}},
		{"IAM", allowed(admin)},
	} {
		b.Run(c.name, func(b *testing.B) {
			row, call, ctx := w.rows["Encrypt"], w.callAs(c.who), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				*call.Event = audit.Event{Request: call.Event.Request[:0], Additional: call.Event.Additional[:0], Resources: call.Event.Resources[:0]}
				if _, err := row.Invoke(ctx, call, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDescribeKeyMiss reads keys that no cache holds.
func BenchmarkDescribeKeyMiss(b *testing.B) {
	w := newWorld(b, kms.Limits{})
	in := &awskms.DescribeKeyInput{KeyId: w.createKey().KeyId}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		w.restart(kms.Limits{})
		b.StartTimer()
		w.must("DescribeKey", in)
	}
}
