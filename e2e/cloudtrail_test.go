package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"keyward/internal/keywardtest"
)

// answers remembers the request ids of all answers that a client received.
type answers struct {
	mu  sync.Mutex
	ids []string
}

// RoundTrip implements http.RoundTripper.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		a.mu.Lock()
		a.ids = append(a.ids, response.Header.Get("x-amzn-RequestId"))
		a.mu.Unlock()
	}
	return response, err
}

// remembering is a KMS client whose answers are remembered.
func remembering(i *keywardtest.Installation, a *answers) *kms.Client {
	config := i.Config()
	config.HTTPClient = &http.Client{Transport: a}
	return kms.NewFromConfig(config)
}

// lookUp pages through all events of the installation but those of lookups themselves.
func lookUp(t *testing.T, i *keywardtest.Installation, in cloudtrail.LookupEventsInput) []trailtypes.Event {
	t.Helper()
	return lookUpIn(t, i, i.Config().Region, in)
}

func lookUpIn(t *testing.T, i *keywardtest.Installation, region string, in cloudtrail.LookupEventsInput) (all []trailtypes.Event) {
	t.Helper()
	config := i.Config()
	config.Region = region
	config.Retryer = func() aws.Retryer { // lookups are throttled
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 50, time.Second })
	}
	client := cloudtrail.NewFromConfig(config)
	pages := cloudtrail.NewLookupEventsPaginator(client, &in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			if *e.EventName != "LookupEvents" {
				all = append(all, e)
			}
		}
	}
	return all
}

// requestID is the record's.
func requestID(t *testing.T, e trailtypes.Event) string {
	t.Helper()
	var record struct{ RequestID string }
	if err := json.Unmarshal([]byte(*e.CloudTrailEvent), &record); err != nil {
		t.Fatal(err)
	}
	return record.RequestID
}

// TestEveryCallHasOneEvent makes calls of many kinds from parallel clients, kills everything in the middle, goes on,
// and compares answers with events: an answered call has exactly one, and a call that was cut off at most one.
func TestEveryCallHasOneEvent(t *testing.T) {
	const clients, rounds, enough = 4, 2, 60
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	a := &answers{}
	created, err := remembering(i, a).CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	key := created.KeyMetadata.KeyId
	for range rounds {
		var calls atomic.Int64
		reached, once := make(chan struct{}), sync.Once{}
		var done sync.WaitGroup
		for range clients {
			client := remembering(i, a)
			done.Go(func() {
				for n := 0; callSomething(t, client, key, n) == nil; n++ {
					if calls.Add(1) >= enough {
						once.Do(func() { close(reached) })
					}
				}
			})
		}
		<-reached
		i.KillUp()
		done.Wait()
		i.Up()
	}
	answered := map[string]int{}
	for _, id := range a.ids {
		answered[id] = 0
	}
	unanswered := 0
	for _, e := range lookUp(t, i, cloudtrail.LookupEventsInput{}) {
		id := requestID(t, e)
		if _, ok := answered[id]; !ok {
			unanswered++
		}
		answered[id]++
	}
	for id, n := range answered {
		if n != 1 {
			t.Errorf("request %s has %d events", id, n)
		}
	}
	if unanswered > clients*rounds {
		t.Errorf("%d events of calls that nobody made", unanswered)
	}
	verifyFiles(t, i)
}

// callSomething makes one call after the other, some of which are refused; it fails once nobody answers.
func callSomething(t *testing.T, client *kms.Client, key *string, n int) error {
	var err error
	switch n % 4 {
	case 0:
		_, err = client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: key, Plaintext: []byte("x")})
	case 1:
		_, err = client.UpdateKeyDescription(t.Context(), &kms.UpdateKeyDescriptionInput{KeyId: key, Description: aws.String("d")})
	case 2:
		_, err = client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: aws.String("alias/missing")})
		return unlessCode(err, "NotFoundException")
	default:
		_, err = client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("no ciphertext of ours")})
		return unlessCode(err, "InvalidCiphertextException")
	}
	return err
}

func unlessCode(err error, code string) error {
	if err != nil && strings.Contains(err.Error(), code) {
		return nil
	}
	return err
}

// verifyFiles delivers, verifies, and then changes a byte of every delivered file.
func verifyFiles(t *testing.T, i *keywardtest.Installation) {
	t.Helper()
	i.Shell(t.TempDir(), `keyward admin trail deliver`, "")
	if out := i.Shell(t.TempDir(), `keyward admin trail verify`, ""); !strings.HasSuffix(out, ": valid\n") {
		t.Errorf("running: %s", out)
	}
	i.Stop()
	if out := i.Shell(t.TempDir(), `keyward admin trail verify`, ""); !strings.HasSuffix(out, ": valid\n") {
		t.Errorf("stopped: %s", out)
	}
	files, err := filepath.Glob(filepath.Join(i.Data, "trail/AWSLogs/*/*/*/*/*/*/*"))
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		intact, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := append([]byte(nil), intact...)
		changed[len(changed)/2] ^= 4
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		verify := exec.Command(i.Binary, "admin", "trail", "verify", "--data", i.Data)
		out, err := verify.Output()
		if verify.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), strings.TrimSuffix(filepath.Base(path), ".sig")) {
			t.Errorf("a changed byte of %s: %v\n%s", path, err, out)
		}
		if err := os.WriteFile(path, intact, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLookupEventsWithTheCLI asks for each attribute as a person would.
func TestLookupEventsWithTheCLI(t *testing.T) {
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	out := i.Shell(t.TempDir(), `
key=$(aws kms create-key --query KeyMetadata.KeyId --output text)
aws kms encrypt --key-id $key --plaintext eA== >/dev/null
look() {
	aws cloudtrail lookup-events --lookup-attributes AttributeKey=$1,AttributeValue=$2 --query 'Events[].EventName' --output text | tr '\t\n' '  '
	echo
}
id=$(aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=CreateKey --query 'Events[0].EventId' --output text)
look EventId $id
look EventName Encrypt
look ReadOnly false
look ResourceType AWS::KMS::Key
look ResourceName arn:aws:kms:$AWS_REGION:111122223333:key/$key
look EventSource kms.amazonaws.com
look AccessKeyId AKIAIOSFODNN7EXAMPLE
look Username admin | tr ' ' '\n' | sort -u | tr '\n' ' '
`, "")
	want := "CreateKey \nEncrypt \nCreateKey \nEncrypt CreateKey \nEncrypt CreateKey \nEncrypt CreateKey \n\n CreateKey Encrypt LookupEvents "
	if normal(out) != normal(want) {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

// normal leaves out what differs in spaces only.
func normal(s string) string { return strings.Join(strings.Fields(s), " ") }
