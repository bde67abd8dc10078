package e2e

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywardtest"
)

// documented are the answers that AWS documents for the causes of TestCausesUnderLoad.
var documented = map[string]bool{"KMSInvalidStateException": true, "KMSInternalException": true}

// TestCausesUnderLoad lets eight clients work for a minute while an HSM is killed, sessions run out, the network is cut
// and kmsuser is locked and repaired: documented errors while the cause is there, none after it, no wrong answer ever.
func TestCausesUnderLoad(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	if testing.Short() {
		t.Skip("a minute of load")
	}
	i := keywardtest.Start(t, keywardtest.Options{})
	key := createStoreKey(t, i)
	load := exec.Command(i.Binary, "load", "--key-id", key, "--for", "60s")
	load.Env = i.Env()
	var told strings.Builder
	load.Stdout = &told
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- load.Wait() }()
	began := time.Now()
	works := func(within time.Duration) {
		t.Helper()
		deadline := time.Now().Add(within)
		for roundTrip(t.Context(), i.KMS(), key, []byte("recovered")) != nil {
			if time.Now().After(deadline) {
				t.Fatalf("no recovery within %v", within)
			}
		}
	}

	if err := syscall.Kill(i.HSMs()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	works(5 * time.Second)
	i.Await("both HSMs", func() bool { return len(i.HSMs()) == 2 && canCreate(t, i) })
	exhaustSessions(t, i, key)
	works(15 * time.Second)
	t.Logf("HSM loss and exhausted sessions are over after %v", time.Since(began))

	cluster := exampleCluster(t, i)
	rule := " --group-id " + aws.ToString(cluster.SecurityGroup) + " --protocol tcp --port 2223-2225 --source-group " + aws.ToString(cluster.SecurityGroup)
	i.Shell(t.TempDir(), "aws ec2 revoke-security-group-ingress"+rule, "")
	i.Await("the network to be cut", func() bool { return roundTrip(t.Context(), i.KMS(), key, []byte("x")) != nil })
	var guesses strings.Builder
	for range 6 {
		guesses.WriteString("login --username kmsuser --role crypto-user --password notThePassword\n")
	}
	i.Shell(t.TempDir(), "keyward cloudhsm-cli interactive", guesses.String())
	i.Shell(t.TempDir(), "aws ec2 authorize-security-group-ingress"+rule, "")
	t.Logf("network cut and kmsuser locked on an HSM after %v", time.Since(began))

	owner, s := owner{t, i, exampleStore(t, i).CustomKeyStoreId}, newOperator(t, i).open()
	owner.disconnect()
	s.want(adminIn, "login --username admin --role admin", newOperator(t, i).admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", "repaired1", "repaired1")
	s.want(loggedOut, "logout")
	s.quit()
	owner.update("repaired1")
	owner.connect(types.ConnectionStateTypeConnected, "")
	works(5 * time.Second)
	repaired := time.Since(began)
	t.Logf("repaired after %v", repaired)

	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s", err, &told)
	}
	if repaired > 55*time.Second {
		t.Fatalf("the causes took %v of the load's minute: nothing is left to see the recovery in\n%s", repaired, &told)
	}
	checkLoad(t, told.String())
}

// exhaustSessions has more clients wait for HSMs that stand still than the store has sessions.
func exhaustSessions(t *testing.T, i *keywardtest.Installation, key string) {
	t.Helper()
	out := i.Shell(t.TempDir(), `
keyward load --key-id `+key+` --clients 1500 --for 6s > load.txt &
until grep -q ok/s load.txt; do sleep 0.1; done
kill -STOP `+pids(i)+`
sleep 1.5
kill -CONT `+pids(i)+`
wait
cat load.txt`, "")
	if !strings.Contains(out, "KMSInternalException") {
		t.Errorf("no session ran out:\n%s", out)
	}
	if strings.Contains(out, "WRONG") {
		t.Errorf("wrong answers:\n%s", out)
	}
}

func pids(i *keywardtest.Installation) string {
	var list []string
	for _, h := range i.HSMs() {
		list = append(list, strconv.Itoa(h.PID))
	}
	return strings.Join(list, " ")
}

// checkLoad reads what `keyward load` told.
func checkLoad(t *testing.T, told string) {
	t.Helper()
	for _, refused := range regexp.MustCompile(`  ([A-Z]\w+|no answer) \d+`).FindAllStringSubmatch(told, -1) {
		if !documented[refused[1]] {
			t.Errorf("%s is not a documented answer to these causes", refused[1])
		}
	}
	lines := strings.Split(strings.TrimSpace(told), "\n")
	for _, line := range lines[len(lines)-4 : len(lines)-1] {
		if strings.Contains(line, "Exception") || !strings.Contains(line, "p50") {
			t.Errorf("after the repair: %s", line)
		}
	}
	t.Logf("as the clients saw it:\n%s", told)
}
