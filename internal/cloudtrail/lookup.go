package cloudtrail

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/quota"
)

// Limits of LookupEvents (CloudTrail API Reference).
const (
	maxResults        = 50
	maxAttributeValue = 2000 // characters; some count twice
)

// The refusals, in the words of the API reference.
var (
	errAttributes = fault.New("InvalidLookupAttributesException", "Occurs when a lookup attribute is specified that is not valid.")
	errTimeRange  = fault.New("InvalidTimeRangeException", "Occurs if the timestamp values are not valid. "+
		"Either the start time occurs after the end time, or the time range is outside the range of possible values.")
	errMaxResults = fault.New("InvalidMaxResultsException", "This exception is thrown if the limit specified is not valid.")
	errCategory   = fault.New("InvalidEventCategoryException",
		"Occurs if an event category that is not valid is specified as a value of EventCategory.")
	errThrottled = fault.New("ThrottlingException", "Rate exceeded")
)

// lookupRate, for each account and Region, is two lookups a second (CloudTrail API Reference, "LookupEvents"), with room
// for the pages of one search after a rest.
var lookupRate = quota.Rate{PerSecond: 2, Burst: 10}

// maxLookups bounds what is remembered of accounts and Regions: callers choose Regions.
const maxLookups = 1000

// query is a lookup that was checked.
type query struct {
	scope      arn.Scope
	attribute  attribute
	start, end time.Time // inclusive, to the millisecond
	limit      int
	after      *position // nil for the first page
}

func (s *Service) lookupEvents(ctx context.Context, call *operation.Call, in *cloudtrail.LookupEventsInput) (*cloudtrail.LookupEventsOutput, error) {
	if !s.lookups.Take(call.Scope, 1, lookupRate, s.config.Now()) {
		return nil, errThrottled
	}
	q, err := newQuery(call.Scope, in, s.config.Now())
	if err != nil {
		return nil, err
	}
	out := &cloudtrail.LookupEventsOutput{Events: []types.Event{}}
	if in.EventCategory == types.EventCategoryInsight {
		return out, nil // nothing here finds unusual activity
	}
	if err := s.CatchUp(ctx); err != nil {
		return nil, err
	}
	found, err := s.find(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) > q.limit {
		found = found[:q.limit]
		out.NextToken = aws.String(writeToken(in, found[q.limit-1].position))
	}
	for i := range found {
		out.Events = append(out.Events, found[i].event())
	}
	return out, nil
}

// newQuery checks the input in the order attributes, times, results, token.
func newQuery(scope arn.Scope, in *cloudtrail.LookupEventsInput, now time.Time) (*query, error) {
	q := &query{scope: scope, limit: maxResults, start: now.Add(-Retention), end: endOfSecond(now)}
	if in.EventCategory != "" && in.EventCategory != types.EventCategoryInsight {
		return nil, errCategory
	}
	var err error
	if q.attribute, err = readAttribute(in.LookupAttributes); err != nil {
		return nil, err
	}
	if in.EndTime != nil {
		q.end = endOfSecond(*in.EndTime)
	}
	if in.StartTime != nil && in.StartTime.After(q.end) {
		return nil, errTimeRange
	}
	if in.StartTime != nil && in.StartTime.After(q.start) {
		q.start = in.StartTime.Truncate(time.Second)
	}
	if in.MaxResults != nil {
		q.limit = int(*in.MaxResults)
	}
	if q.limit < 1 || q.limit > maxResults {
		return nil, errMaxResults
	}
	q.after, err = readToken(in)
	return q, err
}

// endOfSecond is the last instant that a record shows as t: records tell whole seconds.
func endOfSecond(t time.Time) time.Time {
	return t.Truncate(time.Second).Add(time.Second - time.Millisecond)
}

func readAttribute(all []types.LookupAttribute) (attribute, error) {
	if len(all) == 0 {
		return attribute{}, nil
	}
	a := all[0]
	value := aws.ToString(a.AttributeValue)
	if len(all) > 1 || !slices.Contains(a.AttributeKey.Values(), a.AttributeKey) || value == "" || weight(value) > maxAttributeValue {
		return attribute{}, errAttributes
	}
	if a.AttributeKey == types.LookupAttributeKeyReadOnly && value != "true" && value != "false" {
		return attribute{}, errAttributes
	}
	return attribute{a.AttributeKey, value}, nil
}

// weight counts characters, and some of them twice, as the API reference says.
func weight(value string) (n int) {
	for _, c := range value {
		n++
		if strings.ContainsRune("_ ,\n", c) {
			n++
		}
	}
	return n
}

// position is a record's place in the order of all records of a scope.
type position struct {
	ms      int64 // of its time
	segment int64
	index   int
}

// newer orders positions, the newest first.
func newer(a, b position) int {
	switch {
	case a.ms != b.ms:
		return sign(b.ms - a.ms)
	case a.segment != b.segment:
		return sign(b.segment - a.segment)
	default:
		return b.index - a.index
	}
}

func sign(d int64) int {
	if d < 0 {
		return -1
	}
	return 1
}

// hit is a record that was found.
type hit struct {
	position
	facts
	record []byte
}

func (h *hit) event() types.Event {
	e := types.Event{
		EventId: &h.eventID, EventName: &h.eventName, EventSource: &h.eventSource,
		EventTime:       aws.Time(time.UnixMilli(h.ms).UTC().Truncate(time.Second)),
		ReadOnly:        aws.String(strconv.FormatBool(h.readOnly)),
		CloudTrailEvent: aws.String(string(h.record)),
		Resources:       []types.Resource{},
	}
	if h.accessKeyID != "" {
		e.AccessKeyId = &h.accessKeyID
	}
	if h.userName != "" {
		e.Username = &h.userName
	}
	for _, r := range h.resources {
		e.Resources = append(e.Resources, types.Resource{ResourceType: aws.String(r.Type), ResourceName: aws.String(r.ARN)})
	}
	return e
}

// find returns the newest records that q asks for, one more than its limit if there are so many.
func (s *Service) find(ctx context.Context, q *query) ([]hit, error) {
	m := merger{query: q}
	end := q.end
	if q.after != nil && time.UnixMilli(q.after.ms).Before(end) {
		end = time.UnixMilli(q.after.ms)
	}
	search := Search{Term: q.attribute.termKey().term(q.scope), Start: q.start, End: end}
	if q.attribute.key == types.LookupAttributeKeyEventId {
		if search.ID = appendIDPrefix(nil, q.attribute.value); search.ID == nil {
			return nil, nil // not the id of any event
		}
	}
	err := s.config.Store.Search(ctx, search, m.add)
	m.settle(nil)
	return m.settled, err
}

// merger brings the records of segments, whose times may overlap, into one order. Segments come in the order of their
// newest record.
type merger struct {
	query   *query
	waiting []hit // sorted; older than settled ones
	settled []hit
}

// add takes the next segment and reports whether another one is needed.
func (m *merger) add(s *Segment) (bool, error) {
	if m.settle(s); m.full() {
		return false, nil
	}
	entries, err := s.entries()
	if err != nil {
		return false, err
	}
	for i, e := range entries {
		at := position{e.ms, s.Seq, i}
		if !m.query.covers(at) {
			continue
		}
		f, err := readRecord(e.record)
		if err != nil {
			return false, err
		}
		if m.query.attribute.matches(&f) {
			m.waiting = append(m.waiting, hit{at, f, e.record})
		}
	}
	slices.SortFunc(m.waiting, func(a, b hit) int { return newer(a.position, b.position) })
	return true, nil
}

// settle moves the records that are newer than anything in next, and in what comes after it, to where they stay.
func (m *merger) settle(next *Segment) {
	n := 0
	for n < len(m.waiting) && !m.full() && (next == nil || m.waiting[n].ms > next.Last.UnixMilli()) {
		m.settled = append(m.settled, m.waiting[n])
		n++
	}
	m.waiting = m.waiting[n:]
}

// full is true when there is one more than a page holds: then there is another page.
func (m *merger) full() bool { return len(m.settled) > m.query.limit }

func (q *query) covers(at position) bool {
	return at.ms >= q.start.UnixMilli() && at.ms <= q.end.UnixMilli() && (q.after == nil || newer(*q.after, at) < 0)
}
