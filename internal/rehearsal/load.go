// Package rehearsal puts load on an installation, the way its users do: through the SDK, signed, every answer checked.
// It is there to be watched while something is broken and repaired.
package rehearsal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
)

// Load says what to do.
type Load struct {
	KeyID   string
	Clients int           // 1 to MaxClients
	For     time.Duration // how long
	Out     io.Writer     // a line each second, and a summary
}

// MaxClients bounds Load.Clients: each is a connection.
const MaxClients = 4096

// ErrWrongAnswer is what Run returns when a ciphertext did not decrypt to what was encrypted.
var ErrWrongAnswer = errors.New("a ciphertext decrypted to something else")

// Run encrypts and decrypts until the time is over or ctx ends. Refusals and lost connections are counted and told;
// only a wrong answer is an error.
func (l Load) Run(ctx context.Context) error {
	if l.Clients < 1 || l.Clients > MaxClients {
		return fmt.Errorf("%d clients; between 1 and %d are possible", l.Clients, MaxClients)
	}
	client, err := l.client(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.For)
	defer cancel()
	seen := newTally()
	var all sync.WaitGroup
	for n := range l.Clients {
		all.Go(func() { l.work(ctx, client, []byte(fmt.Sprint("client ", n)), seen) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	failed := l.tell(seen, done)
	total := seen.total()
	_, err = fmt.Fprintf(l.Out, "all   %s\n", total.line())
	if total.wrong > 0 {
		return ErrWrongAnswer
	}
	return errors.Join(failed, err)
}

// client retries nothing: what an SDK would hide is what is to be seen.
func (l Load) client(ctx context.Context) (*kms.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = l.Clients, l.Clients
		})))
	if err != nil {
		return nil, fmt.Errorf("reading the AWS configuration: %w", err)
	}
	return kms.NewFromConfig(cfg), nil
}

func (l Load) work(ctx context.Context, client *kms.Client, plaintext []byte, seen *tally) {
	for ctx.Err() == nil {
		var sealed *kms.EncryptOutput
		ok := seen.time(ctx, func() (err error) {
			sealed, err = client.Encrypt(ctx, &kms.EncryptInput{KeyId: &l.KeyID, Plaintext: plaintext})
			return err
		})
		if !ok {
			continue
		}
		seen.time(ctx, func() error {
			opened, err := client.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob})
			if err == nil && !bytes.Equal(opened.Plaintext, plaintext) {
				return ErrWrongAnswer
			}
			return err
		})
	}
}

// tell writes a line each second until done.
func (l Load) tell(seen *tally, done <-chan struct{}) (failed error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; ; second++ {
		select {
		case <-done:
			return failed
		case <-tick.C:
			_, err := fmt.Fprintf(l.Out, "%4ds %s\n", second, seen.next().line())
			failed = errors.Join(failed, err)
		}
	}
}

// tally counts outcomes of the current second and of all of them.
type tally struct {
	mu       sync.Mutex // guards what follows
	now, all outcomes
}

// outcomes are counts and latencies of a span of time.
type outcomes struct {
	began   time.Time
	ok      int
	wrong   int
	refused map[string]int // by exception, or kind of failure
	took    []time.Duration
}

func newOutcomes() outcomes { return outcomes{began: time.Now(), refused: map[string]int{}} }

func newTally() *tally { return &tally{now: newOutcomes(), all: newOutcomes()} }

// time runs one call and counts how it ended, unless the load is over.
func (t *tally) time(ctx context.Context, call func() error) (ok bool) {
	began := time.Now()
	err := call()
	took := time.Since(began)
	if ctx.Err() != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range []*outcomes{&t.now, &t.all} {
		o.took = append(o.took, took)
		switch {
		case err == nil:
			o.ok++
		case errors.Is(err, ErrWrongAnswer):
			o.wrong++
		default:
			o.refused[kind(err)]++
		}
	}
	return err == nil
}

// kind is an exception's name, or a word for what kept the answer away.
func kind(err error) string {
	var refusal smithy.APIError
	if errors.As(err, &refusal) {
		return refusal.ErrorCode()
	}
	return "no answer"
}

// next closes the current second.
func (t *tally) next() outcomes {
	t.mu.Lock()
	defer t.mu.Unlock()
	closed := t.now
	t.now = newOutcomes()
	return closed
}

func (t *tally) total() outcomes {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}

// line is "1234 ok/s  p50 1.2ms  p99 8.0ms  max 9.1ms  KMSInvalidStateException 7".
func (o outcomes) line() string {
	slices.Sort(o.took)
	var b strings.Builder
	fmt.Fprintf(&b, "%6.0f ok/s", float64(o.ok)/time.Since(o.began).Seconds())
	if len(o.took) > 0 {
		fmt.Fprintf(&b, "  p50 %s  p99 %s  max %s", short(o.quantile(0.50)), short(o.quantile(0.99)), short(o.quantile(1)))
	}
	for _, name := range slices.Sorted(maps.Keys(o.refused)) {
		fmt.Fprintf(&b, "  %s %d", name, o.refused[name])
	}
	if o.wrong > 0 {
		fmt.Fprintf(&b, "  WRONG %d", o.wrong)
	}
	return b.String()
}

// quantile of the sorted latencies; q is in 0..1.
func (o outcomes) quantile(q float64) time.Duration {
	return o.took[min(int(q*float64(len(o.took))), len(o.took)-1)]
}

func short(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
