package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sys/unix"

	"keyward/internal/keywardtest"
)

// TestFullDisk fills the disk under an installation: calls are refused, since their events cannot be kept, and nothing
// that was answered is lost. When there is space again, the same process goes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}, Data: filepath.Join(dir, "data")})
	t.Cleanup(i.Stop) // before the disk goes
	filler := filepath.Join(dir, "filler")
	refusedAndRecovered(t, i, func() {
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		_ = f.Close() // it is full on purpose
	}, func() {
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	})
	if log := i.Log(); !strings.Contains(log, "is full, and calls are refused until there is space: free some") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
}

// TestFileSizeLimit does the same with `ulimit -f`, which any user may set.
func TestFileSizeLimit(t *testing.T) {
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	var before unix.Rlimit
	refusedAndRecovered(t, i, func() {
		if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, nil, &before); err != nil {
			t.Fatal(err)
		}
		if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: before.Max}, nil); err != nil {
			t.Fatal(err)
		}
	}, func() {
		if err := unix.Prlimit(i.PID(), unix.RLIMIT_FSIZE, &before, nil); err != nil {
			t.Fatal(err)
		}
	})
	if log := i.Log(); !strings.Contains(log, "calls are refused until") {
		t.Errorf("the log does not say what to do:\n%s", log)
	}
}

// refusedAndRecovered takes the disk away and gives it back.
func refusedAndRecovered(t *testing.T, i *keywardtest.Installation, take, give func()) {
	t.Helper()
	a := &answers{}
	client := remembering(i, a)
	created, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	key, pid := created.KeyMetadata.KeyId, i.PID()
	take()
	n := 0
	for callSomething(t, client, key, n) == nil { // SQLite's log may have room in it
		if n++; n > 5000 {
			t.Fatal("calls are answered though nothing can be written")
		}
	}
	refused := len(a.ids) - 1
	everythingIsRefused(t, i, key)
	give()
	for n := range 8 {
		if err := callSomething(t, client, key, n); err != nil {
			t.Errorf("call %d after there is space again: %v", n, err)
		}
	}
	if i.PID() != pid {
		t.Error("another process goes on")
	}
	events := map[string]int{}
	for _, e := range lookUp(t, i, cloudtrail.LookupEventsInput{}) {
		events[requestID(t, e)]++
	}
	for n, id := range a.ids {
		if want := map[bool]int{true: 0, false: 1}[n == refused]; events[id] != want {
			t.Errorf("answer %d of %d has %d events, want %d", n, len(a.ids), events[id], want)
		}
	}
}

// everythingIsRefused calls each service: reading and writing, and what would have been refused anyway.
func everythingIsRefused(t *testing.T, i *keywardtest.Installation, key *string) {
	t.Helper()
	client := i.KMS()
	for name, c := range map[string]struct {
		call func() error
		code string
	}{
		"describe": {func() error {
			_, err := client.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: key})
			return err
		}, "KMSInternalException"},
		"create": {func() error {
			_, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
			return err
		}, "KMSInternalException"},
		"decrypt what is none": {func() error {
			_, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: []byte("x")})
			return err
		}, "KMSInternalException"},
		"clusters": {func() error {
			_, err := i.CloudHSM().DescribeClusters(t.Context(), &cloudhsmv2.DescribeClustersInput{})
			return err
		}, "CloudHsmInternalFailureException"},
		"identity": {func() error {
			_, err := sts.NewFromConfig(i.Config()).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			return err
		}, "InternalFailure"},
		"lookup": {func() error {
			_, err := cloudtrail.NewFromConfig(i.Config()).LookupEvents(t.Context(), &cloudtrail.LookupEventsInput{})
			return err
		}, "InternalFailure"},
	} {
		err := c.call()
		var response *smithyhttp.ResponseError
		if !errors.As(err, &response) || response.HTTPStatusCode() != http.StatusInternalServerError || !strings.Contains(fmt.Sprint(err), c.code) {
			t.Errorf("%s: %v, want 500 %s", name, err, c.code)
		}
	}
}
