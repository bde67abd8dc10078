package validation

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	hsmtypes "github.com/aws/aws-sdk-go-v2/service/cloudhsmv2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"

	"keyward/internal/fault"
	"keyward/internal/wire/validation/tables"
)

func TestTablesAreGenerated(t *testing.T) {
	want, err := tables.Source(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("tables.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("tables.go is not what go generate makes of the CSV files")
	}
}

// inputs calls f for the input of every operation that the SDK's client has.
func inputs(client any, f func(operation string, in any)) {
	c := reflect.TypeOf(client)
	for i := range c.NumMethod() {
		m := c.Method(i)
		if m.Type.NumIn() == 4 && m.Type.In(2).Kind() == reflect.Pointer {
			f(m.Name, reflect.New(m.Type.In(2).Elem()).Interface())
		}
	}
}

func TestTablesFitTheSDK(t *testing.T) {
	seen := 0
	check := func(service string) func(string, any) {
		return func(operation string, in any) {
			seen++
			if _, err := For(service, operation, in); err != nil {
				t.Error(err)
			}
		}
	}
	inputs(&kms.Client{}, check("kms"))
	inputs(&cloudhsmv2.Client{}, check("cloudhsm"))
	if want := len(services["kms"].inputs) + len(services["cloudhsm"].inputs); seen < want {
		t.Errorf("%d operations of the SDK, %d in the tables", seen, want)
	}
}

func TestDriftIsReported(t *testing.T) {
	if _, err := For("kms", "Encrypt", &kms.DecryptInput{}); err == nil {
		t.Error("a member the type lacks went unnoticed")
	}
	if _, err := For("kms", "Uncrypt", &kms.EncryptInput{}); err == nil {
		t.Error("an operation the table lacks went unnoticed")
	}
	v, err := For("ec2", "DescribeVpcs", &struct{ A, B string }{})
	if err != nil || v.Validate(&struct{ A, B string }{}, nil) != nil {
		t.Error("a service without a table is not checked")
	}
}

func TestViolations(t *testing.T) {
	long := strings.Repeat("é", 2049)
	for _, c := range []struct {
		service, operation string
		in                 any
		want               string
	}{
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: []byte{1}}, ""},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String(strings.Repeat("é", 2048)), Plaintext: make([]byte, 4096)}, ""},
		{"kms", "Encrypt", &kms.EncryptInput{},
			"2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; Value null at 'plaintext' failed to satisfy constraint: Member must not be null"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String(""), Plaintext: []byte{1}},
			"1 validation error detected: Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: &long, Plaintext: []byte{1}},
			"1 validation error detected: Value '" + long + "' at 'keyId' failed to satisfy constraint: Member must have length less than or equal to 2048"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: make([]byte, 4097)},
			"1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: []byte{1}, GrantTokens: []string{"a", ""}},
			"1 validation error detected: Value at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: []byte{1}, GrantTokens: make([]string, 11)},
			"2 validation errors detected: Value at 'grantTokens' failed to satisfy constraint: Member must have length less than or equal to 10; " +
				"Value at 'grantTokens' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 8192, Member must have length greater than or equal to 1]"},
		{"kms", "Decrypt", &kms.DecryptInput{CiphertextBlob: []byte{1}, DryRunModifiers: []types.DryRunModifierType{""}},
			"1 validation error detected: Value '[]' at 'dryRunModifiers' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [IGNORE_CIPHERTEXT]]"},
		{"kms", "Encrypt", &kms.EncryptInput{KeyId: aws.String("k"), Plaintext: []byte{1}, EncryptionAlgorithm: "ROT13"},
			"1 validation error detected: Value 'ROT13' at 'encryptionAlgorithm' failed to satisfy constraint: Member must satisfy enum value set: [SYMMETRIC_DEFAULT, RSAES_OAEP_SHA_1, RSAES_OAEP_SHA_256, SM2PKE]"},
		{"kms", "TagResource", &kms.TagResourceInput{KeyId: aws.String("k"), Tags: []types.Tag{{TagKey: aws.String(""), TagValue: aws.String("")}, {}}},
			"3 validation errors detected: Value '' at 'tags.1.member.tagKey' failed to satisfy constraint: Member must have length greater than or equal to 1; Value null at 'tags.2.member.tagKey' failed to satisfy constraint: Member must not be null; Value null at 'tags.2.member.tagValue' failed to satisfy constraint: Member must not be null"},
		{"kms", "GenerateRandom", &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(1025)},
			"1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy constraint: Member must have value less than or equal to 1024"},
		{"kms", "GenerateRandom", &kms.GenerateRandomInput{NumberOfBytes: aws.Int32(0)},
			"1 validation error detected: Value '0' at 'numberOfBytes' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"kms", "CreateCustomKeyStore", &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("n"), KeyStorePassword: aws.String("hunter")},
			"1 validation error detected: Value at 'keyStorePassword' failed to satisfy constraint: Member must have length greater than or equal to 7"},
		{"kms", "CreateCustomKeyStore", &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("n"), XksProxyAuthenticationCredential: &types.XksProxyAuthenticationCredentialType{}},
			"2 validation errors detected: Value null at 'xksProxyAuthenticationCredential.accessKeyId' failed to satisfy constraint: Member must not be null; Value null at 'xksProxyAuthenticationCredential.rawSecretAccessKey' failed to satisfy constraint: Member must not be null"},
		{"kms", "CreateCustomKeyStore", &kms.CreateCustomKeyStoreInput{CustomKeyStoreName: aws.String("n"), CloudHsmClusterId: aws.String("xcluster-abcdefghijk")},
			"1 validation error detected: Value 'xcluster-abcdefghijk' at 'cloudHsmClusterId' failed to satisfy constraint: Member must satisfy regular expression pattern: cluster-[2-7a-zA-Z]{11,16}"},
		{"kms", "PutKeyPolicy", &kms.PutKeyPolicyInput{KeyId: aws.String("k"), Policy: aws.String("{\u20ac}")},
			`1 validation error detected: Value '{€}' at 'policy' failed to satisfy constraint: Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+`},
		{"cloudhsm", "DeleteCluster", &cloudhsmv2.DeleteClusterInput{ClusterId: aws.String("cluster-1a23b4cdefg")},
			"1 validation error detected: Value 'cluster-1a23b4cdefg' at 'clusterId' failed to satisfy constraint: Member must satisfy regular expression pattern: cluster-[2-7a-zA-Z]{11,16}"},
		{"cloudhsm", "CreateCluster", &cloudhsmv2.CreateClusterInput{HsmType: aws.String("hsm2m.medium"), SubnetIds: []string{"subnet-0123456789abcdef0", "x"}, Mode: hsmtypes.ClusterModeFips},
			"1 validation error detected: Value '[subnet-0123456789abcdef0, x]' at 'subnetIds' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy regular expression pattern: subnet-[0-9a-fA-F]{8,17}]"},
		{"cloudhsm", "CreateCluster", &cloudhsmv2.CreateClusterInput{HsmType: aws.String("hsm2m.medium"), SubnetIds: []string{}},
			"1 validation error detected: Value '[]' at 'subnetIds' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"cloudhsm", "DescribeClusters", &cloudhsmv2.DescribeClustersInput{Filters: map[string][]string{"a b": {"x"}}},
			"1 validation error detected: Value 'a b' at 'filters.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"},
	} {
		v, err := For(c.service, c.operation, c.in)
		if err != nil {
			t.Fatal(err)
		}
		err = v.Validate(c.in, nil)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.operation, err)
			}
			continue
		}
		f, ok := fault.As(err)
		if !ok || f.Message != c.want || f.Code != codes[c.service] {
			t.Errorf("%s: got\n%v\nwant\n%s", c.operation, err, c.want)
		}
	}
}

func TestWhatDecodingLost(t *testing.T) {
	for _, c := range []struct {
		operation string
		in        any
		lost      map[string]Loss
		want      string
	}{
		{"CreateKey", &kms.CreateKeyInput{Description: aws.String("")}, map[string]Loss{"description": Empty, "unknown": Empty}, ""},
		{"GenerateDataKey", &kms.GenerateDataKeyInput{KeyId: aws.String("k")}, map[string]Loss{"keySpec": Empty},
			"1 validation error detected: Value '' at 'keySpec' failed to satisfy constraint: Member must satisfy enum value set: [AES_256, AES_128]"},
		{"GenerateDataKey", &kms.GenerateDataKeyInput{}, map[string]Loss{"encryptionContext": NullWithin},
			"2 validation errors detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null; " +
				"Value at 'encryptionContext' failed to satisfy constraint: Map value must satisfy constraint: [Member must not be null]"},
		{"UntagResource", &kms.UntagResourceInput{KeyId: aws.String("k"), TagKeys: []string{"a"}}, map[string]Loss{"tagKeys": NullWithin},
			"1 validation error detected: Value '[a]' at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: " +
				"[Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must not be null]"},
		{"Decrypt", &kms.DecryptInput{Recipient: &types.RecipientInfo{}}, map[string]Loss{"recipient": NullWithin}, ""}, // members may be null
	} {
		v, err := For("kms", c.operation, c.in)
		if err != nil {
			t.Fatal(err)
		}
		err = v.Validate(c.in, c.lost)
		if f, _ := fault.As(err); (c.want == "") != (err == nil) || f != nil && f.Message != c.want {
			t.Errorf("%s: got\n%v\nwant\n%s", c.operation, err, c.want)
		}
	}
}

func TestMessageIsBounded(t *testing.T) {
	v, err := For("kms", "TagResource", &kms.TagResourceInput{})
	if err != nil {
		t.Fatal(err)
	}
	f, _ := fault.As(v.Validate(&kms.TagResourceInput{KeyId: aws.String("k"), Tags: make([]types.Tag, 50000)}, nil))
	if f == nil || !strings.HasPrefix(f.Message, "100000 validation errors detected: ") || len(f.Message) > 20000 {
		t.Errorf("message of %d bytes", len(f.Error()))
	}
}

// TestCountAgreesWithList holds the number in front against the list behind it, for any mixture of violations.
func TestCountAgreesWithList(t *testing.T) {
	v, err := For("kms", "CreateAlias", &kms.CreateAliasInput{})
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`^(\d+) validation errors? detected: `)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) *string {
			return rapid.Ptr(rapid.StringMatching(`[a-z;!é]{0,300}`), true).Draw(t, name)
		}
		in := &kms.CreateAliasInput{AliasName: draw("alias"), TargetKeyId: draw("key")}
		f, refused := fault.As(v.Validate(in, nil))
		valid := in.AliasName != nil && regexp.MustCompile(`^[a-zA-Z0-9:/_-]{1,256}$`).MatchString(*in.AliasName) &&
			in.TargetKeyId != nil && len(*in.TargetKeyId) > 0
		if refused == valid {
			t.Fatalf("valid %v, got %v", valid, f)
		}
		if refused && number.FindStringSubmatch(f.Message)[1] != string('0'+byte(strings.Count(f.Message, "failed to satisfy"))) {
			t.Fatal(f.Message)
		}
	})
}

func BenchmarkValidateEncrypt(b *testing.B) {
	in := &kms.EncryptInput{KeyId: aws.String("1234abcd-12ab-34cd-56ef-1234567890ab"), Plaintext: make([]byte, 64), EncryptionContext: map[string]string{"a": "b"}}
	v, err := For("kms", "Encrypt", in)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Validate(in, nil); err != nil {
			b.Fatal(err)
		}
	}
}
