package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"keyward/internal/keywardtest"
)

// hsmAudit prints an HSM's log, a record each.
func hsmAudit(t *testing.T, i *keywardtest.Installation, hsm string) []string {
	t.Helper()
	text := i.Shell(t.TempDir(), "keyward admin hsm-audit --hsm "+hsm, "")
	return strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n\n")
}

// backingKeyOf is what CloudTrail's CreateKey event says of a key.
func backingKeyOf(t *testing.T, i *keywardtest.Installation, key string) string {
	t.Helper()
	created := lookUp(t, i, cloudtrail.LookupEventsInput{LookupAttributes: []trailtypes.LookupAttribute{
		{AttributeKey: trailtypes.LookupAttributeKeyEventName, AttributeValue: aws.String("CreateKey")},
	}})
	for _, e := range created {
		var record struct {
			ResponseElements    struct{ KeyMetadata struct{ KeyID string } }
			AdditionalEventData struct{ BackingKey string }
		}
		if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &record); err != nil {
			t.Fatal(err)
		}
		if record.ResponseElements.KeyMetadata.KeyID != key {
			continue
		}
		var backing struct{ BackingKeyID string }
		if err := json.Unmarshal([]byte(record.AdditionalEventData.BackingKey), &backing); err != nil {
			t.Fatal(err)
		}
		return backing.BackingKeyID
	}
	t.Fatal("no event of the key's creation")
	return ""
}

// TestBothRecordsJoin finds a key's creation, by the backing key id of its CloudTrail event, in the log of each HSM:
// one made the key, the other received it.
func TestBothRecordsJoin(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	i := keywardtest.Start(t, keywardtest.Options{})
	id := backingKeyOf(t, i, createStoreKey(t, i))
	if id == "" {
		t.Fatal("the event names no backing key")
	}
	opcode := regexp.MustCompile(`(?m)^Opcode : (\S+ \(0x[0-9a-f]+\))$`)
	var opcodes []string
	for _, h := range exampleCluster(t, i).Hsms {
		for _, record := range hsmAudit(t, i, aws.ToString(h.HsmId)) {
			if strings.Contains(record, "\nKey Id : 0x"+id+"\n") {
				opcodes = append(opcodes, opcode.FindStringSubmatch(record)[1])
			}
		}
	}
	slices.Sort(opcodes)
	if want := []string{"CN_GENERATE_KEY (0x17)", "CN_INSERT_MASKED_OBJECT_USER (0xf1)"}; !slices.Equal(opcodes, want) {
		t.Errorf("the HSMs say %q, want %q", opcodes, want)
	}
}
