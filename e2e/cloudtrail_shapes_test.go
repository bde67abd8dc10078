package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

// shapes are the requestParameters, responseElements and additionalEventData of one event for each operation, as the
// examples of the AWS KMS Developer Guide have them ("Logging AWS KMS API calls with AWS CloudTrail").
var shapes = map[string]string{
	"CreateKey": `{"bypassPolicyLockoutSafetyCheck":false,"customKeyStoreId":"STORE","customerMasterKeySpec":"SYMMETRIC_DEFAULT","description":"","keySpec":"SYMMETRIC_DEFAULT","keyUsage":"ENCRYPT_DECRYPT","multiRegion":false,"origin":"AWS_CLOUDHSM"} ` +
		`{"keyMetadata":{"aWSAccountId":"111122223333","arn":"ARN","cloudHsmClusterId":"CLUSTER","creationDate":"DATE","customKeyStoreId":"STORE","customerMasterKeySpec":"SYMMETRIC_DEFAULT","description":"","enabled":true,"encryptionAlgorithms":["SYMMETRIC_DEFAULT"],"keyId":"KEY","keyManager":"CUSTOMER","keySpec":"SYMMETRIC_DEFAULT","keyState":"Enabled","keyUsage":"ENCRYPT_DECRYPT","multiRegion":false,"origin":"AWS_CLOUDHSM"}} ` +
		`{"backingKey":"BACKING"}`,
	"Encrypt":                         `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"a":"b"},"keyId":"KEY"} null {"backingKey":"BACKING","customKeyStoreId":"STORE"}`,
	"Decrypt":                         `{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","encryptionContext":{"a":"b"},"keyId":"ARN"} null {"backingKey":"BACKING","customKeyStoreId":"STORE"}`,
	"GenerateDataKey":                 `{"keyId":"KEY","keySpec":"AES_256"} null {"backingKey":"BACKING","customKeyStoreId":"STORE"}`,
	"GenerateDataKeyWithoutPlaintext": `{"keyId":"KEY","numberOfBytes":16} null {"backingKey":"BACKING","customKeyStoreId":"STORE"}`,
	"GenerateRandom":                  `{"customKeyStoreId":"STORE","numberOfBytes":16} null {"customKeyStoreId":"STORE"}`,
	"DescribeKey":                     `{"keyId":"KEY"} null null`,
	"ListKeys":                        `{"limit":5} null null`,
	"DisableKey":                      `{"keyId":"KEY"} {"keyId":"ARN"} null`,
	"EnableKey":                       `{"keyId":"KEY"} {"keyId":"ARN"} null`,
	"UpdateKeyDescription":            `{"description":"d","keyId":"KEY"} {"keyId":"ARN"} null`,
	"TagResource":                     `{"keyId":"KEY","tags":[{"tagKey":"k","tagValue":"v"}]} {"keyId":"ARN"} null`,
	"UntagResource":                   `{"keyId":"KEY","tagKeys":["k"]} {"keyId":"ARN"} null`,
	"CreateAlias":                     `{"aliasName":"alias/x","targetKeyId":"KEY"} {"keyId":"ARN"} null`,
	"UpdateAlias":                     `{"aliasName":"alias/x","targetKeyId":"KEY"} {"keyId":"ARN"} null`,
	"DeleteAlias":                     `{"aliasName":"alias/x"} {"keyId":"ARN"} null`,
	"GetKeyPolicy":                    `{"keyId":"KEY","policyName":"default"} null null`,
	"ListKeyPolicies":                 `{"keyId":"KEY"} null null`,
	"ListResourceTags":                `{"keyId":"KEY"} null null`,
	"ScheduleKeyDeletion": `{"keyId":"KEY","pendingWindowInDays":7} {"deletionDate":"DATE","keyId":"ARN","keyState":"PendingDeletion","pendingWindowInDays":7} ` +
		`{"backingKeys":"[BACKING]","clusterId":"CLUSTER","customKeyStoreId":"STORE"}`,
	"CancelKeyDeletion":        `{"keyId":"KEY"} {"keyId":"ARN"} {"backingKeys":"[BACKING]","clusterId":"CLUSTER","customKeyStoreId":"STORE"}`,
	"DescribeCustomKeyStores":  `null null null`,
	"DisconnectCustomKeyStore": `{"customKeyStoreId":"STORE"} null {"clusterId":"CLUSTER","customKeyStoreName":"ExampleKeyStore"}`,
	"UpdateCustomKeyStore":     `{"customKeyStoreId":"STORE","newCustomKeyStoreName":"ExampleKeyStore"} null {"clusterId":"CLUSTER","customKeyStoreName":"ExampleKeyStore"}`,
	"ConnectCustomKeyStore":    `{"customKeyStoreId":"STORE"} null {"clusterId":"CLUSTER","customKeyStoreName":"ExampleKeyStore"}`,
	"CreateCustomKeyStore":     `{"clusterId":"CLUSTER","customKeyStoreName":"ExampleKeyStore"} {"customKeyStoreId":"STORE"} null`,
	"GetCallerIdentity":        `null null null`,
	"DescribeClusters":         `null null null`,
}

// TestShapesOfEvents makes one call of each operation on a key in the example store.
func TestShapesOfEvents(t *testing.T) {
	i := keywardtest.Start(t, keywardtest.Options{})
	ids := strings.Fields(i.Shell(t.TempDir(), `
store=$(aws kms describe-custom-key-stores --query 'CustomKeyStores[0].CustomKeyStoreId' --output text)
cluster=$(aws kms describe-custom-key-stores --query 'CustomKeyStores[0].CloudHsmClusterId' --output text)
key=$(aws kms create-key --origin AWS_CLOUDHSM --custom-key-store-id $store --query KeyMetadata.KeyId --output text)
exec 3>&1 >/dev/null
aws kms encrypt --key-id $key --plaintext eA== --encryption-context a=b --query CiphertextBlob --output text | base64 -d > blob
aws kms decrypt --ciphertext-blob fileb://blob --encryption-context a=b
aws kms generate-data-key --key-id $key --key-spec AES_256
aws kms generate-data-key-without-plaintext --key-id $key --number-of-bytes 16
aws kms generate-random --custom-key-store-id $store --number-of-bytes 16
aws kms describe-key --key-id $key
aws kms list-keys --limit 5 --no-paginate
aws kms disable-key --key-id $key
aws kms enable-key --key-id $key
aws kms update-key-description --key-id $key --description d
aws kms tag-resource --key-id $key --tags TagKey=k,TagValue=v
aws kms list-resource-tags --key-id $key
aws kms untag-resource --key-id $key --tag-keys k
aws kms create-alias --alias-name alias/x --target-key-id $key
aws kms update-alias --alias-name alias/x --target-key-id $key
aws kms delete-alias --alias-name alias/x
aws kms get-key-policy --key-id $key --policy-name default
aws kms list-key-policies --key-id $key
aws kms schedule-key-deletion --key-id $key --pending-window-in-days 7
aws kms cancel-key-deletion --key-id $key
aws kms disconnect-custom-key-store --custom-key-store-id $store
aws kms update-custom-key-store --custom-key-store-id $store --new-custom-key-store-name ExampleKeyStore
aws kms connect-custom-key-store --custom-key-store-id $store
aws sts get-caller-identity
aws cloudhsmv2 describe-clusters
echo $store $cluster $key >&3
`, ""))
	names := strings.NewReplacer("arn:aws:kms:us-east-1:111122223333:key/"+ids[2], "ARN", ids[2], "KEY", ids[0], "STORE", ids[1], "CLUSTER")
	seen := map[string]bool{}
	for _, e := range lookUp(t, i, cloudtrail.LookupEventsInput{}) {
		want, ok := shapes[*e.EventName]
		if !ok || seen[*e.EventName] {
			continue
		}
		seen[*e.EventName] = true
		if diff := cmp.Diff(want, shape(t, names.Replace(*e.CloudTrailEvent))); diff != "" {
			t.Errorf("%s: %s", *e.EventName, diff)
		}
	}
	for name := range shapes {
		if !seen[name] {
			t.Errorf("no event of %s", name)
		}
	}
}

var (
	dates   = regexp.MustCompile(`"[A-Z][a-z]{2} \d{1,2}, \d{4}, \d{1,2}:\d{2}:\d{2} [AP]M"`)
	backing = regexp.MustCompile(`\{\\"backingKeyId\\":\\"[0-9a-f]{32,64}\\"\}`)
)

// shape is what of a record differs by operation.
func shape(t *testing.T, record string) string {
	t.Helper()
	var r struct{ RequestParameters, ResponseElements, AdditionalEventData map[string]any }
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, part := range []map[string]any{r.RequestParameters, r.ResponseElements, r.AdditionalEventData} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(text))
	}
	return backing.ReplaceAllString(dates.ReplaceAllString(strings.Join(parts, " "), `"DATE"`), "BACKING")
}
