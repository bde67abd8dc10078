package keystatetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// player plays a table against an API.
type player struct {
	api       API
	principal string // who calls, and to whom grants go
	others    map[string]*fixture
}

// play is one row with one origin.
type play struct {
	row    row
	origin string
	key    *fixture
}

// Play plays every row of the table in the file at path; principal is the ARN of who calls. Rows that cannot be played are
// named in the test's log, with their number.
func Play(t *testing.T, api API, principal, path string) {
	p := &player{api: api, principal: principal, others: map[string]*fixture{}}
	plays := p.plan(t, read(t, path))
	keys := p.prepare(t, plays)
	disconnected := func(f *fixture) bool { return f.state == "Unavailable" }
	p.run(t, slices.DeleteFunc(slices.Clone(plays), func(x play) bool { return disconnected(x.key) }))
	if slices.ContainsFunc(keys, disconnected) {
		api.Disconnect()
		p.run(t, slices.DeleteFunc(slices.Clone(plays), func(x play) bool { return !disconnected(x.key) }))
	}
}

// plan says which rows are played with which origins, and which are not and why.
func (p *player) plan(t *testing.T, rows []row) (plays []play) {
	left := map[string][]string{}
	played := 0
	for _, r := range rows {
		if _, ok := requests[r.operation]; !ok && r.state != "*" {
			t.Errorf("nobody knows how to call %s", r.operation)
			continue
		}
		with, why := r.playable()
		for _, origin := range with {
			plays = append(plays, play{row: r, origin: origin})
		}
		if len(with) > 0 {
			played++
		}
		if why != "" {
			left[why] = append(left[why], r.name())
		}
	}
	t.Logf("%d rows, %d of them played, with %d keys and origins", len(rows), played, len(plays))
	for why, names := range left {
		t.Logf("not played because %s, %d rows:\n\t%s", why, len(names), strings.Join(names, "\n\t"))
	}
	return plays
}

// prepare makes the keys. Those whose call leaves them as they are have one key for all such rows.
func (p *player) prepare(t *testing.T, plays []play) (keys []*fixture) {
	t.Helper()
	shared := map[string]*fixture{}
	for i := range plays {
		x := &plays[i]
		f := &fixture{player: p, t: t, kind: kindOf(x.row.operation), state: x.row.state, origin: x.origin, region: home}
		if f.origin == "AWS_CLOUDHSM" {
			f.kind = symmetric
		}
		of := fmt.Sprint(f.kind, f.state, f.origin)
		if requests[x.row.operation].changes && x.row.result != "fail" && x.row.result != "n/a" {
			of = fmt.Sprint("own of ", i)
		}
		if shared[of] == nil {
			shared[of] = f
			keys = append(keys, f)
		}
		x.key = shared[of]
	}
	for _, region := range []string{home, beside} {
		f := &fixture{player: p, t: t, kind: symmetric, state: "Enabled", origin: "AWS_KMS", region: region}
		p.others[region] = f
		f.begin()
	}
	for _, f := range keys {
		f.begin()
	}
	p.api.Settle()
	for _, f := range keys {
		f.finish()
	}
	return keys
}

// other is an enabled key beside f.
func (f *fixture) other() *fixture { return f.others[f.region] }

func (p *player) run(t *testing.T, plays []play) {
	slices.SortStableFunc(plays, func(a, b play) int { return cmp.Compare(a.row.operation, b.row.operation) })
	for _, x := range plays {
		t.Run(x.row.operation+"/"+x.row.state+"/"+x.origin, func(t *testing.T) {
			x.key.t = t
			if got := x.key.describe().KeyState; string(got) != x.row.state {
				t.Fatalf("the key is %s", got)
			}
			for i, in := range requests[x.row.operation].of(x.key) {
				_, err := p.api.Invoke(x.key.region, x.row.operation, in)
				x.judge(t, i, err)
			}
			if x.row.operation == "RotateKeyOnDemand" && x.row.result == "conditional" {
				x.key.importNext()
				x.key.call(x.key.region, x.row.operation, &kms.RotateKeyOnDemandInput{KeyId: &x.key.id})
			}
		})
	}
}

// judge compares the outcome of the row's i-th request with what the row says.
func (x *play) judge(t *testing.T, i int, err error) {
	t.Helper()
	code, message := x.wanted(i)
	if err == nil {
		if code != "" {
			t.Errorf("request %d succeeded; want %s", i, code)
		}
		return
	}
	got, text := x.key.api.Refusal(err)
	if got == "" {
		t.Errorf("request %d: %v", i, err)
	} else if !slices.Contains(strings.Split(code, " or "), got) || message != "" && text != message {
		t.Errorf("request %d: %s: %q; want %s: %q", i, got, text, code, message)
	}
}

// wanted is the exception, empty for success, and the sentence, empty for any.
func (x *play) wanted(i int) (code, message string) {
	switch r := &x.row; {
	case r.result == "n/a": // a key of another kind than the operation is for
		return "InvalidKeyUsageException or UnsupportedOperationException or IncorrectKeyException", ""
	case r.operation == "UpdateAlias" && i == 1: // the target before counts for nothing
		return "", ""
	case r.operation == "RotateKeyOnDemand" && r.result == "conditional": // no material waits
		return r.code, "No available key material pending rotation for the key: " + x.key.arn + "."
	case strings.HasSuffix(r.operation, "Grant") && x.key.state == string(types.KeyStateCreating) && r.result == "succeed":
		return "NotFoundException or InvalidGrantIdException", "" // the state admits the call, but there is no grant yet
	case r.result == "succeed":
		return "", ""
	default:
		text, _, _ := strings.Cut(r.message, " (")
		return r.code, strings.Replace(text, "<key ARN>", x.key.arn, 1)
	}
}
