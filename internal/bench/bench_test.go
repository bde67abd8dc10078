package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/bench/bare"
	"keyward/internal/keywardtest"
	"keyward/internal/secret"
)

// bareVariable makes this test binary the bare server, in a process of its own like what it is compared with.
const bareVariable = "KEYWARD_BENCH_BARE"

func TestMain(m *testing.M) {
	if credentials := os.Getenv(bareVariable); credentials != "" {
		serveBare(credentials)
		return
	}
	code := m.Run()
	keywardtest.Cleanup()
	os.Exit(code)
}

// serveBare serves until it is killed, and says where on standard output.
func serveBare(credentials string) {
	id, secretKey, _ := strings.Cut(credentials, ":")
	handler, err := bare.New(id, secret.FromString(secretKey), time.Now)
	if err != nil {
		panic(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, handler))
}

func startBare(b *testing.B, credentials aws.Credentials) (address string) {
	b.Helper()
	server := exec.Command(os.Args[0])
	server.Env = append(os.Environ(), bareVariable+"="+credentials.AccessKeyID+":"+credentials.SecretAccessKey)
	server.Stderr = os.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill() // it has no other way to end
		_ = server.Wait()
	})
	if _, err := fmt.Fscanln(out, &address); err != nil {
		b.Fatal(err)
	}
	return address
}

// budgets of the design: the share of the bare server's requests a second.
var budgets = []struct {
	name   string
	args   []string
	store  bool
	ruled  bool // by a long key policy and grants
	target float64
}{
	{"default-store/audit=durable", nil, false, false, 0.60},
	{"default-store/audit=relaxed", []string{"--audit", "relaxed"}, false, false, 0.75},
	{"default-store/20-statements-10-grants/audit=durable", nil, false, true, 0.60},
	{"default-store/20-statements-10-grants/audit=relaxed", []string{"--audit", "relaxed"}, false, true, 0.75},
	{"two-HSM-store/audit=durable", nil, true, false, 0.35},
}

const (
	connections = 64
	// slice is how long each of the two servers is measured in turn; slices alternate, so that what else the machine
	// does hits both.
	slice = time.Second
)

// BenchmarkEncrypt replays one signed Encrypt of 64 bytes, everything on (TLS off). An iteration is one slice of each
// server.
func BenchmarkEncrypt(b *testing.B) {
	for _, budget := range budgets {
		b.Run(budget.name, func(b *testing.B) {
			i := keywardtest.Start(b, keywardtest.Options{Args: budget.args})
			key := createKey(b, i, budget.store)
			if budget.ruled {
				rule(b, i, key)
			}
			credentials, err := i.Config().Credentials.Retrieve(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			yardstick := startBare(b, credentials)
			address := strings.TrimPrefix(i.Endpoint, "http://")
			measure(b, yardstick, signed(b, credentials, yardstick, key)) // both once, to warm up
			measure(b, address, signed(b, credentials, address, key))
			var ours, bares float64
			pids := []int{i.PID()}
			for _, h := range i.HSMs() {
				pids = append(pids, h.PID)
			}
			began, rounds := processorTime(b, pids), 0
			for b.Loop() {
				bares += measure(b, yardstick, signed(b, credentials, yardstick, key))
				ours += measure(b, address, signed(b, credentials, address, key))
				rounds++
			}
			used := processorTime(b, pids) - began
			b.ReportMetric(0, "ns/op") // an iteration's time says nothing
			b.ReportMetric(ours/float64(rounds), "req/s")
			b.ReportMetric(bares/float64(rounds), "bare-req/s")
			b.ReportMetric(float64(used.Microseconds())/(ours*slice.Seconds()), "cpu-µs/req")
			b.ReportMetric(ours/bares, "ratio")
			b.ReportMetric(budget.target, "budget")
			b.ReportMetric(ours/bares/budget.target, "of-budget") // below 1 it is missed
		})
	}
}

// processorTime is what the processes have used, all of an installation's together; it tells something even where
// others use the machine too.
func processorTime(b *testing.B, pids []int) time.Duration {
	b.Helper()
	const ticksPerSecond = 100 // USER_HZ, on every Linux
	var all time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			b.Fatal(err)
		}
		var user, system int64
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if _, err := fmt.Sscan(fields[11], &user); err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Sscan(fields[12], &system); err != nil {
			b.Fatal(err)
		}
		all += time.Duration(user+system) * time.Second / ticksPerSecond
	}
	return all
}

func measure(b *testing.B, address string, request []byte) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), slice)
	defer cancel()
	perSecond, err := Load(ctx, address, request, connections)
	if err != nil {
		b.Fatal(err)
	}
	return perSecond
}

func createKey(b *testing.B, i *keywardtest.Installation, inStore bool) string {
	b.Helper()
	in := &kms.CreateKeyInput{}
	if inStore {
		page, err := i.KMS().DescribeCustomKeyStores(b.Context(), &kms.DescribeCustomKeyStoresInput{})
		if err != nil {
			b.Fatal(err)
		}
		in.Origin, in.CustomKeyStoreId = types.OriginTypeAwsCloudhsm, page.CustomKeyStores[0].CustomKeyStoreId
	}
	made, err := i.KMS().CreateKey(b.Context(), in)
	if err != nil {
		b.Fatal(err)
	}
	return aws.ToString(made.KeyMetadata.KeyId)
}

// statements of a key policy beside the one that lets the account's policies decide: each is looked at for every request
// and none applies.
const statements = 19

// rule gives a key a policy of twenty statements and ten grants to the caller, none of which decides.
func rule(b *testing.B, i *keywardtest.Installation, key string) {
	b.Helper()
	var policy strings.Builder
	policy.WriteString(`{"Version":"2012-10-17","Statement":[`)
	for n := range statements {
		fmt.Fprintf(&policy, `{"Sid":"S%d","Effect":"Deny","Principal":"*","Action":["kms:Encrypt","kms:Decrypt","kms:GenerateDataKey*"],`+
			`"Resource":"*","Condition":{"StringEquals":{"kms:EncryptionContext:tenant":["t%d","u%d"]},`+
			`"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/*"}}},`, n, n, n)
	}
	policy.WriteString(`{"Sid":"account","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"kms:*","Resource":"*"}]}`)
	if _, err := i.KMS().PutKeyPolicy(b.Context(), &kms.PutKeyPolicyInput{KeyId: &key, Policy: aws.String(policy.String())}); err != nil {
		b.Fatal(err)
	}
	for n := range 10 {
		_, err := i.KMS().CreateGrant(b.Context(), &kms.CreateGrantInput{
			KeyId: &key, GranteePrincipal: aws.String("arn:aws:iam::111122223333:user/admin"), Operations: []types.GrantOperation{"Encrypt"},
			Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"tenant": fmt.Sprint("t", n)}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// signed is one Encrypt of 64 bytes as it stands on the wire.
func signed(b *testing.B, credentials aws.Credentials, address, key string) []byte {
	b.Helper()
	body, err := json.Marshal(map[string]string{
		"KeyId": key, "Plaintext": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("keyward!"), 8)),
	})
	if err != nil {
		b.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(b.Context(), credentials, r, hex.EncodeToString(hash[:]), "kms", "us-east-1", time.Now()); err != nil {
		b.Fatal(err)
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		b.Fatal(err)
	}
	return wire.Bytes()
}
