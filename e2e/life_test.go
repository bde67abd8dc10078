package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

// TestEventsOfAKeysLife rotates, imports, replicates and moves keys and looks up in both Regions what CloudTrail tells of
// it. testdata/life/events.txt has it in the shapes of the AWS KMS Developer Guide's examples: Region, name, whether a call or a
// service event and by whom, request, response, additional data, details, resources. HOME and AWAY are the two Regions and
// the ARNs of the related keys there, ALONE that of a single-Region key.
func TestEventsOfAKeysLife(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty", "--dev"}})
	dir := t.TempDir()
	ids := strings.Fields(i.Shell(dir, `
mrk=$(aws kms create-key --multi-region --query KeyMetadata.KeyId --output text)
ext=$(aws kms create-key --origin EXTERNAL --query KeyMetadata.KeyId --output text)
exec 3>&1 >/dev/null
aws kms replicate-key --key-id $mrk --replica-region eu-west-1 --description copy --tags TagKey=k,TagValue=v
until [ "$(aws kms describe-key --key-id $mrk --region eu-west-1 --query KeyMetadata.KeyState --output text)" = Enabled ]; do :; done
aws kms enable-key-rotation --key-id $mrk --rotation-period-in-days 90
aws kms get-key-rotation-status --key-id $mrk
aws kms rotate-key-on-demand --key-id $mrk
until aws kms list-key-rotations --key-id $mrk --query 'Rotations[].RotationType' --output text | grep -q ON_DEMAND; do :; done
aws kms disable-key-rotation --key-id $mrk
aws kms update-primary-region --key-id $mrk --primary-region eu-west-1

aws kms get-parameters-for-import --key-id $ext --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048 > parameters
field() { grep "\"$1\"" parameters | cut -d '"' -f 4 | base64 -d; }
field PublicKey > public; field ImportToken > token
openssl rand -out material 32
openssl pkeyutl -encrypt -pubin -keyform DER -inkey public -in material -out wrapped \
	-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256
aws kms import-key-material --key-id $ext --import-token fileb://token --encrypted-key-material fileb://wrapped \
	--expiration-model KEY_MATERIAL_EXPIRES --valid-to $(date -u -d '+2 hours' +%Y-%m-%dT%H:%M:%SZ) --key-material-description first
keyward clock advance 3h
until [ "$(aws kms describe-key --key-id $ext --query KeyMetadata.KeyState --output text)" = PendingImport ]; do :; done
aws kms import-key-material --key-id $ext --import-token fileb://token --encrypted-key-material fileb://wrapped \
	--expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE
aws kms delete-imported-key-material --key-id $ext
echo $mrk $ext >&3
`, ""))
	names := strings.NewReplacer(
		"arn:aws:kms:us-east-1:111122223333:key/"+ids[0], "HOME", "arn:aws:kms:eu-west-1:111122223333:key/"+ids[0], "AWAY",
		"arn:aws:kms:us-east-1:111122223333:key/"+ids[1], "ALONE", ids[0], "related", ids[1], "single", "us-east-1", "HOME", "eu-west-1", "AWAY",
	)
	var told []string
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		for _, e := range lookUpIn(t, i, region, cloudtrail.LookupEventsInput{}) {
			if line := names.Replace(lifeLine(t, *e.CloudTrailEvent)); !slices.Contains(told, line) {
				told = append(told, line)
			}
		}
	}
	slices.Sort(told)
	want, err := os.ReadFile("testdata/life/events.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), strings.Join(told, "\n")+"\n"); diff != "" {
		t.Error(diff)
	}
}

var hexDigits64 = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// lifeLine is one line of life.
func lifeLine(t *testing.T, record string) string {
	t.Helper()
	var r struct {
		AwsRegion, EventName, EventType                                               string
		RequestParameters, ResponseElements, AdditionalEventData, ServiceEventDetails map[string]any
		UserIdentity                                                                  struct{ InvokedBy string }
		Resources                                                                     []struct{ ARN string }
	}
	if err := json.Unmarshal([]byte(record), &r); err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("%s %s %s", r.AwsRegion, r.EventName, strings.TrimSpace(r.EventType+" "+r.UserIdentity.InvokedBy))
	for _, part := range []map[string]any{r.RequestParameters, r.ResponseElements, r.AdditionalEventData, r.ServiceEventDetails} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		line += " " + string(text)
	}
	for _, about := range r.Resources {
		line += " " + about.ARN
	}
	return hexDigits64.ReplaceAllString(dates.ReplaceAllString(line, `"DATE"`), "MATERIAL")
}
