package awsjson

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	hsmtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"

	"keyward/internal/fault"
)

func TestEncodeGolden(t *testing.T) {
	created := time.UnixMilli(1502423370069).UTC()
	for name, out := range map[string]any{
		"ListKeys-empty":    &kms.ListKeysOutput{Keys: []types.KeyListEntry{}},
		"ListAliases-page":  &kms.ListAliasesOutput{Aliases: []types.AliasListEntry{}, Truncated: true, NextMarker: aws.String("<m&m>")},
		"ListResourceTags":  &kms.ListResourceTagsOutput{Tags: []types.Tag{{TagKey: aws.String("k"), TagValue: aws.String("")}}},
		"DescribeKey":       describeKey(),
		"Encrypt":           &kms.EncryptOutput{CiphertextBlob: []byte{0, 255, 16}, KeyId: aws.String("k"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault},
		"ConnectStore":      &kms.ConnectCustomKeyStoreOutput{},
		"DescribeClusters":  &cloudhsmv2.DescribeClustersOutput{Clusters: []hsmtypes.Cluster{{ClusterId: aws.String("cluster-abcdefghijk"), CreateTimestamp: &created, Hsms: []hsmtypes.Hsm{}, Certificates: &hsmtypes.Certificates{}, SubnetMapping: map[string]string{"us-east-1b": "subnet-2", "us-east-1a": "subnet-1"}}}},
		"nil-interface":     nil,
		"nil-pointer":       (*kms.EncryptOutput)(nil),
		"RotationStatus":    &kms.GetKeyRotationStatusOutput{KeyRotationEnabled: false, RotationPeriodInDays: aws.Int32(0)},
		"DescribeStoreList": &kms.DescribeCustomKeyStoresOutput{CustomKeyStores: []types.CustomKeyStoresListEntry{{CustomKeyStoreName: aws.String("é\u2028\"\\\n")}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Encode(out)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", append(got, '\n'))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func describeKey() *kms.DescribeKeyOutput {
	created := time.Unix(1700000000, 500e6).UTC()
	return &kms.DescribeKeyOutput{KeyMetadata: &types.KeyMetadata{
		KeyId: aws.String("1234abcd-12ab-34cd-56ef-1234567890ab"), AWSAccountId: aws.String("111122223333"),
		Arn: aws.String("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"), CreationDate: &created,
		Description: aws.String(""), Enabled: false, KeyState: types.KeyStateDisabled, KeyManager: types.KeyManagerTypeCustomer,
		KeySpec: types.KeySpecSymmetricDefault, KeyUsage: types.KeyUsageTypeEncryptDecrypt, Origin: types.OriginTypeAwsCloudhsm,
		EncryptionAlgorithms: []types.EncryptionAlgorithmSpec{types.EncryptionAlgorithmSpecSymmetricDefault}, MultiRegion: aws.Bool(false),
	}}
}

func TestEncodeRefusesWhatNoShapeHas(t *testing.T) {
	if _, err := Encode(&struct{ C chan int }{}); err == nil || !strings.Contains(err.Error(), "chan int") {
		t.Fatalf("got %v", err)
	}
}

func TestDecode(t *testing.T) {
	in := &kms.EncryptInput{}
	body := `{"KeyId":"alias/a","Plaintext":"AAEC","EncryptionContext":{"a":"b"},"GrantTokens":["t"],"DryRun":null,"keyid":"ignored","Unknown":{"x":[1]}}`
	if err := Decode([]byte(body), in); err != nil {
		t.Fatal(err)
	}
	want := &kms.EncryptInput{KeyId: aws.String("alias/a"), Plaintext: []byte{0, 1, 2}, EncryptionContext: map[string]string{"a": "b"}, GrantTokens: []string{"t"}}
	if !reflect.DeepEqual(in, want) {
		t.Errorf("got %+v", in)
	}
}

func TestDecodeKeepsEmptyBlobApartFromNone(t *testing.T) {
	var empty, none kms.EncryptInput
	if err := Decode([]byte(`{"Plaintext":""}`), &empty); err != nil || empty.Plaintext == nil {
		t.Errorf("empty blob: %v, %v", empty.Plaintext, err)
	}
	if err := Decode([]byte(`{"Plaintext":null}`), &none); err != nil || none.Plaintext != nil {
		t.Errorf("null blob: %v, %v", none.Plaintext, err)
	}
}

func TestDecodeTimestamps(t *testing.T) {
	for body, want := range map[string]*time.Time{
		`{"ValidTo":1502423370.069}`: aws.Time(time.UnixMilli(1502423370069).UTC()),
		`{"ValidTo":1502423370}`:     aws.Time(time.Unix(1502423370, 0).UTC()),
		`{"ValidTo":1.5e9}`:          aws.Time(time.Unix(1500000000, 0).UTC()),
		`{"ValidTo":null}`:           nil,
		`{}`:                         nil,
		``:                           nil,
	} {
		var in kms.ImportKeyMaterialInput
		if err := Decode([]byte(body), &in); err != nil {
			t.Errorf("%s: %v", body, err)
		} else if !reflect.DeepEqual(in.ValidTo, want) {
			t.Errorf("%s: got %v", body, in.ValidTo)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for body, message := range map[string]string{
		`{`:                                 "",
		`[]`:                                "Start of list found where not expected.",
		`"x"`:                               "STRING_VALUE cannot be converted to Structure",
		`{} {}`:                             "",
		`{"KeyId":1}`:                       "NUMBER_VALUE cannot be converted to String",
		`{"KeyId":{}}`:                      "Start of structure or map found where not expected.",
		`{"KeyId":true}`:                    "TRUE_VALUE cannot be converted to String",
		`{"KeyId":"a","KeyId":"b"}`:         "",
		`{"KeyId":"` + "\xff" + `"}`:        "",
		`{"Plaintext":"%%%"}`:               "STRING_VALUE cannot be converted to Blob",
		`{"ValidTo":"2020-01-01T00:00:00"}`: "STRING_VALUE cannot be converted to Timestamp",
		`{"ValidTo":1e300}`:                 "NUMBER_VALUE cannot be converted to Timestamp",
	} {
		var in struct {
			KeyId     *string
			Plaintext []byte
			ValidTo   *time.Time
		}
		f, ok := fault.As(Decode([]byte(body), &in))
		if !ok || f.Code != "SerializationException" || f.Message != message || f.HTTPStatus() != 400 {
			t.Errorf("%q: got %v", body, f)
		}
	}
}

func TestDecodeErrorsHoldNoValues(t *testing.T) {
	for _, body := range []string{`{"KeyStorePassword":{"hunter2":1}}`, `{"KeyStorePassword":"hunter2`, `{"hunter2":1,"hunter2":2}`} {
		err := Decode([]byte(body), &kms.UpdateCustomKeyStoreInput{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ -~é<>&"\\]{0,20}`)
		in := kms.CreateGrantInput{
			KeyId: aws.String(text.Draw(t, "key")), Name: aws.String(text.Draw(t, "name")), DryRun: aws.Bool(rapid.Bool().Draw(t, "dry")),
			Operations:  []types.GrantOperation{types.GrantOperation(rapid.StringMatching(`[A-Z]{1,8}`).Draw(t, "op"))},
			GrantTokens: rapid.SliceOfN(text, 1, 3).Draw(t, "tokens"),
			Constraints: &types.GrantConstraints{EncryptionContextEquals: rapid.MapOfN(text, text, 1, 3).Draw(t, "context")},
		}
		b, err := Encode(in)
		if err != nil {
			t.Fatal(err)
		}
		var got kms.CreateGrantInput
		if err := Decode(b, &got); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if !reflect.DeepEqual(in, got) {
			t.Fatalf("sent %+v\ngot  %+v", in, got)
		}
	})
}

func TestEpochRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.Int64Range(-maxEpoch*1000, maxEpoch*1000).Draw(t, "ms")
		blob := rapid.SliceOf(rapid.Byte()).Draw(t, "blob")
		in := kms.ImportKeyMaterialInput{ValidTo: aws.Time(time.UnixMilli(ms).UTC()), ImportToken: blob}
		b, err := Encode(&in)
		if err != nil {
			t.Fatal(err)
		}
		var got kms.ImportKeyMaterialInput
		if err := Decode(b, &got); err != nil || !got.ValidTo.Equal(*in.ValidTo) || !bytes.Equal(got.ImportToken, blob) {
			t.Fatalf("%s: got %v, %v", b, got.ValidTo, err)
		}
	})
}

func TestFloats(t *testing.T) {
	for f, want := range map[float64]string{0: `{"F":0}`, 1.5: `{"F":1.5}`, math.Inf(1): `{"F":null}`} {
		if b, err := Encode(struct{ F float64 }{f}); err != nil || string(b) != want {
			t.Errorf("%v: %s, %v", f, b, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"KeyId":"a","Plaintext":"AA==","EncryptionContext":{"a":"b"},"GrantTokens":[null,"x"]}`))
	f.Add([]byte(`{"KeyId":"a","KeyId":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var in kms.EncryptInput
		if err := Decode(body, &in); err != nil {
			if !fault.Is(err, serialization) {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		b, err := Encode(&in)
		if err != nil {
			t.Fatal(err)
		}
		var again kms.EncryptInput
		if err := Decode(b, &again); err != nil {
			t.Fatalf("own output refused: %s: %v", b, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	encrypt := &kms.EncryptOutput{CiphertextBlob: make([]byte, 400), KeyId: aws.String("arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecSymmetricDefault}
	for name, out := range map[string]any{"Encrypt": encrypt, "DescribeKey": describeKey()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 2048)
			for b.Loop() {
				if _, err := Append(buf, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeEncrypt(b *testing.B) {
	body, err := Encode(&kms.EncryptInput{KeyId: aws.String("1234abcd-12ab-34cd-56ef-1234567890ab"), Plaintext: make([]byte, 256), EncryptionContext: map[string]string{"a": "b"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var in kms.EncryptInput
		if err := Decode(body, &in); err != nil {
			b.Fatal(err)
		}
	}
}
