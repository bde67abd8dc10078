package cloudtrail_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"keyward/internal/arn"
	"keyward/internal/audit"
	"keyward/internal/fault"
	"keyward/internal/policy"
)

func attribute(key types.LookupAttributeKey, value string) cloudtrail.LookupEventsInput {
	return cloudtrail.LookupEventsInput{LookupAttributes: []types.LookupAttribute{{AttributeKey: key, AttributeValue: aws.String(value)}}}
}

func TestLookupFindsByEachAttribute(t *testing.T) {
	w := newWorld(t)
	key := home.Key("1234abcd-12ab-34cd-56ef-1234567890ab")
	encrypt := w.keep("Encrypt", func(e *audit.Event) { e.Resources = []audit.Resource{{Type: "AWS::KMS::Key", ARN: key}} }).ID
	create := w.keep("CreateKey", func(e *audit.Event) { e.ReadOnly = false }).ID
	who := w.keep("GetCallerIdentity", func(e *audit.Event) {
		e.Source, e.Caller = "sts.amazonaws.com", policy.Caller{Type: "Root", PrincipalID: home.Account, ARN: arn.Root(home.Account), Account: home.Account, AccessKeyID: "AKIAROOT"}
	}).ID
	w.keep("Encrypt", func(e *audit.Event) { e.Region = "eu-west-1" }) // another Region's
	w.keep("Encrypt", func(e *audit.Event) { e.Caller.Account = "999999999999" })
	for _, c := range []struct {
		key   types.LookupAttributeKey
		value string
		want  []string
	}{
		{"EventId", create, []string{create}},
		{"EventId", strings.ToUpper(create), nil},
		{"EventId", "no id", nil},
		{"EventName", "Encrypt", []string{encrypt}},
		{"EventName", "encrypt", nil},
		{"ReadOnly", "true", []string{who, encrypt}},
		{"ReadOnly", "false", []string{create}},
		{"Username", "Alice", []string{create, encrypt}},
		{"Username", "root", []string{who}},
		{"ResourceType", "AWS::KMS::Key", []string{encrypt}},
		{"ResourceName", key, []string{encrypt}},
		{"ResourceName", "1234abcd-12ab-34cd-56ef-1234567890ab", []string{encrypt}},
		{"EventSource", "sts.amazonaws.com", []string{who}},
		{"EventSource", "kms.amazonaws.com", []string{create, encrypt}},
		{"AccessKeyId", "AKIAROOT", []string{who}},
	} {
		if diff := cmp.Diff(c.want, w.all(attribute(c.key, c.value))); diff != "" {
			t.Errorf("%s %s: %s", c.key, c.value, diff)
		}
	}
	if got := w.all(cloudtrail.LookupEventsInput{}); !slices.Equal(got, []string{who, create, encrypt}) {
		t.Errorf("all: %v", got)
	}
}

func TestLookupShowsTheRecord(t *testing.T) {
	w := newWorld(t)
	e := w.keep("Encrypt", func(e *audit.Event) {
		e.Time = w.now.Add(123 * time.Millisecond)
		e.Resources = []audit.Resource{{Type: "AWS::KMS::Key", ARN: home.Key("k")}}
	})
	got := w.lookup(&cloudtrail.LookupEventsInput{}).Events[0]
	var record struct {
		EventID, RequestID, EventTime string
		Resources                     []struct{ AccountID, Type, ARN string }
	}
	if err := json.Unmarshal([]byte(*got.CloudTrailEvent), &record); err != nil {
		t.Fatal(err)
	}
	if record.EventID != e.ID || record.RequestID != e.RequestID || record.EventTime != "2026-03-04T05:06:07Z" || record.Resources[0].AccountID != home.Account {
		t.Errorf("record %+v", record)
	}
	if !got.EventTime.Equal(e.Time.Truncate(time.Second)) || *got.ReadOnly != "true" || *got.Username != "Alice" || *got.AccessKeyId != "AKIAEXAMPLE" ||
		*got.Resources[0].ResourceName != home.Key("k") || *got.Resources[0].ResourceType != "AWS::KMS::Key" {
		t.Errorf("event %+v", got)
	}
}

func TestLookupRefuses(t *testing.T) {
	w := newWorld(t)
	name := attribute("EventName", "X")
	two := name
	two.LookupAttributes = append(two.LookupAttributes, two.LookupAttributes[0])
	token := attribute("EventName", "X")
	for range 2 {
		w.keep("X", nil)
	}
	token.MaxResults = aws.Int32(1)
	token.NextToken = w.lookup(&token).NextToken
	if token.NextToken == nil {
		t.Fatal("no token")
	}
	other := attribute("EventName", "Y")
	other.NextToken = token.NextToken
	for text, c := range map[string]struct {
		in   cloudtrail.LookupEventsInput
		want string
	}{
		"two attributes":      {two, "InvalidLookupAttributesException"},
		"unknown attribute":   {attribute("Colour", "X"), "InvalidLookupAttributesException"},
		"empty value":         {attribute("EventName", ""), "InvalidLookupAttributesException"},
		"neither true or not": {attribute("ReadOnly", "yes"), "InvalidLookupAttributesException"},
		"long value":          {attribute("EventName", strings.Repeat("_", 1001)), "InvalidLookupAttributesException"},
		"times reversed": {cloudtrail.LookupEventsInput{StartTime: aws.Time(w.now), EndTime: aws.Time(w.now.Add(-time.Hour))},
			"InvalidTimeRangeException"},
		"no results":       {cloudtrail.LookupEventsInput{MaxResults: aws.Int32(0)}, "InvalidMaxResultsException"},
		"too many results": {cloudtrail.LookupEventsInput{MaxResults: aws.Int32(51)}, "InvalidMaxResultsException"},
		"category":         {cloudtrail.LookupEventsInput{EventCategory: "management"}, "InvalidEventCategoryException"},
		"no token":         {cloudtrail.LookupEventsInput{NextToken: aws.String("x")}, "InvalidNextTokenException"},
		"another's token":  {other, "InvalidNextTokenException"},
	} {
		w.now = w.now.Add(time.Second)
		if _, err := w.call("LookupEvents", &c.in); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", text, err, c.want)
		}
	}
	if got := w.lookup(&cloudtrail.LookupEventsInput{EventCategory: types.EventCategoryInsight}); len(got.Events) != 0 {
		t.Errorf("insights: %v", got.Events)
	}
}

func TestLookupIsThrottled(t *testing.T) {
	w := newWorld(t)
	admitted := 0
	for range 100 {
		_, err := w.call("LookupEvents", &cloudtrail.LookupEventsInput{})
		if err == nil {
			admitted++
		} else if !fault.Is(err, "ThrottlingException") {
			t.Fatal(err)
		}
	}
	if admitted != 10 {
		t.Errorf("%d lookups at one instant", admitted)
	}
	w.now = w.now.Add(time.Second)
	for i := range 3 {
		if _, err := w.call("LookupEvents", &cloudtrail.LookupEventsInput{}); (err == nil) != (i < 2) {
			t.Errorf("lookup %d a second later: %v", i, err)
		}
	}
}

func TestLookupWithinTimes(t *testing.T) {
	w := newWorld(t)
	start := w.now
	var ids []string
	for i := range 5 {
		ids = append(ids, w.keep("X", func(e *audit.Event) { e.Time = start.Add(time.Duration(i)*time.Second + 700*time.Millisecond) }).ID)
	}
	w.now = start.Add(10 * time.Second)
	got := w.all(cloudtrail.LookupEventsInput{StartTime: aws.Time(start.Add(time.Second)), EndTime: aws.Time(start.Add(3 * time.Second))})
	if want := []string{ids[3], ids[2], ids[1]}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: both ends count, to the second", got, want)
	}
	w.now = start.Add(90*24*time.Hour + time.Second)
	if got := w.all(cloudtrail.LookupEventsInput{}); !slices.Equal(got, []string{ids[4], ids[3], ids[2]}) {
		t.Errorf("after 90 days: %v", got)
	}
}

// TestLookupOrder mixes times, packing and pages: what comes out is always everything, newest first.
func TestLookupOrder(t *testing.T) {
	w := newWorld(t)
	type kept struct {
		id string
		at time.Time
	}
	rapid.Check(t, func(r *rapid.T) {
		wanted, others := uuid.NewString(), uuid.NewString() // one world serves all examples: opening it is slow
		var all []kept
		for range rapid.IntRange(1, 40).Draw(r, "events") {
			at := w.now.Add(-time.Duration(rapid.IntRange(0, 5000).Draw(r, "age")) * time.Millisecond)
			e := w.keep(rapid.SampledFrom([]string{wanted, others}).Draw(r, "name"), func(e *audit.Event) { e.Time = at })
			if e.Name == wanted {
				all = append(all, kept{e.ID, at})
			}
			if rapid.IntRange(0, 9).Draw(r, "pack") == 0 {
				if err := w.CatchUp(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		slices.Reverse(all)
		slices.SortStableFunc(all, func(a, b kept) int { return b.at.Compare(a.at) })
		in := attribute("EventName", wanted)
		in.MaxResults = aws.Int32(int32(rapid.IntRange(4, 40).Draw(r, "page")))
		var want []string
		for _, k := range all {
			want = append(want, k.id)
		}
		if diff := cmp.Diff(want, w.all(in)); diff != "" {
			r.Fatal(diff)
		}
	})
}

func TestEventsAreKeptOnceAcrossAKill(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		w.keep(fmt.Sprint("X", i%3), nil)
		if i%20 == 10 {
			if err := w.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.open(false) // a new process finds what the killed one left
		}
	}
	got := w.all(cloudtrail.LookupEventsInput{})
	slices.Reverse(got)
	if !slices.Equal(got, w.kept) {
		t.Errorf("%d events kept, %d found", len(w.kept), len(got))
	}
}

func TestPruneLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.keep("X", func(e *audit.Event) { e.Resources = []audit.Resource{{Type: "AWS::KMS::Key", ARN: home.Key("k")}} })
	}
	w.deliver()
	w.now = w.now.Add(91 * 24 * time.Hour)
	kept := w.keep("Y", nil)
	w.prune()
	if got := w.all(cloudtrail.LookupEventsInput{}); !slices.Equal(got, []string{kept.ID}) {
		t.Errorf("found %v", got)
	}
	if n := w.count(`SELECT count(*) FROM trail_term WHERE segment NOT IN (SELECT seq FROM trail_segment)`); n != 0 {
		t.Errorf("%d terms of removed segments", n)
	}
	if n := w.count(`SELECT count(*) FROM trail_segment`); n != 1 {
		t.Errorf("%d segments", n)
	}
	if r := w.verify(true); len(r.Findings) != 0 {
		t.Errorf("after pruning: %+v", r.Findings)
	}
}
