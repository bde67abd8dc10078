package policy

import (
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// comparison says whether a value of the request fits a value of the policy.
type comparison func(value string) bool

// operator is a condition operator of the IAM guide.
type operator struct {
	// compile prepares a value of the policy; nil if it is not of the operator's type, then nothing fits it.
	compile func(text string) comparison
	// negated operators hold where the comparison fails, also for want of the key.
	negated bool
	// variables may stand in the policy's values.
	variables bool
	// wildcards of the policy's values are marked.
	wildcards bool
	// null: the operator asks only whether the key is there, and IfExists may not follow.
	null bool
}

// operators are those of the IAM guide's "Condition operators".
var operators = map[string]operator{
	"StringEquals":              {compile: equal, variables: true},
	"StringNotEquals":           {compile: equal, variables: true, negated: true},
	"StringEqualsIgnoreCase":    {compile: equalFold, variables: true},
	"StringNotEqualsIgnoreCase": {compile: equalFold, variables: true, negated: true},
	"StringLike":                {compile: like, variables: true, wildcards: true},
	"StringNotLike":             {compile: like, variables: true, wildcards: true, negated: true},

	"NumericEquals":            {compile: numeric(func(order int) bool { return order == 0 })},
	"NumericNotEquals":         {compile: numeric(func(order int) bool { return order == 0 }), negated: true},
	"NumericLessThan":          {compile: numeric(func(order int) bool { return order < 0 })},
	"NumericLessThanEquals":    {compile: numeric(func(order int) bool { return order <= 0 })},
	"NumericGreaterThan":       {compile: numeric(func(order int) bool { return order > 0 })},
	"NumericGreaterThanEquals": {compile: numeric(func(order int) bool { return order >= 0 })},

	"DateEquals":            {compile: date(func(order int) bool { return order == 0 })},
	"DateNotEquals":         {compile: date(func(order int) bool { return order == 0 }), negated: true},
	"DateLessThan":          {compile: date(func(order int) bool { return order < 0 })},
	"DateLessThanEquals":    {compile: date(func(order int) bool { return order <= 0 })},
	"DateGreaterThan":       {compile: date(func(order int) bool { return order > 0 })},
	"DateGreaterThanEquals": {compile: date(func(order int) bool { return order >= 0 })},

	"Bool":         {compile: boolean},
	"BinaryEquals": {compile: binary},
	"IpAddress":    {compile: address},
	"NotIpAddress": {compile: address, negated: true},

	"ArnEquals":    {compile: likeARN, variables: true, wildcards: true},
	"ArnLike":      {compile: likeARN, variables: true, wildcards: true},
	"ArnNotEquals": {compile: likeARN, variables: true, wildcards: true, negated: true},
	"ArnNotLike":   {compile: likeARN, variables: true, wildcards: true, negated: true},

	"Null": {compile: boolean, null: true},
}

func equal(text string) comparison { return func(v string) bool { return v == text } }

func equalFold(text string) comparison {
	return func(v string) bool { return strings.EqualFold(v, text) }
}

func like(p string) comparison {
	if !wild(p) {
		return equal(p)
	}
	return func(v string) bool { return matches(p, v) }
}

func likeARN(p string) comparison { return func(v string) bool { return arnMatches(p, v) } }

func boolean(text string) comparison {
	if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
		return nil
	}
	return equalFold(text)
}

// binary holds base64 in the policy; the request's value is the bytes themselves.
func binary(text string) comparison {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return equal(string(b))
}

func numeric(holds func(order int) bool) func(string) comparison {
	return func(text string) comparison {
		limit, ok := number(text)
		if !ok {
			return nil
		}
		return func(v string) bool {
			n, ok := number(v)
			return ok && holds(order(n, limit))
		}
	}
}

func order(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// maxNumber is more than numbers and dates have characters; longer texts are none.
const maxNumber = 64

// number reads an integer or a decimal fraction, but none of Go's other forms.
func number(s string) (float64, bool) {
	if s == "" || len(s) > maxNumber || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

func date(holds func(order int) bool) func(string) comparison {
	return func(text string) comparison {
		limit, ok := instant(text)
		if !ok {
			return nil
		}
		return func(v string) bool {
			t, ok := instant(v)
			return ok && holds(t.Compare(limit))
		}
	}
}

// dates are the W3C's profile of ISO 8601.
var dates = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"}

// instant reads a date as IAM takes it: in one of the W3C's forms, or in seconds since 1970. Four digits are a year.
func instant(s string) (time.Time, bool) {
	if len(s) > maxNumber {
		return time.Time{}, false
	}
	for _, layout := range dates {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	if n, ok := number(s); ok && n >= -maxEpoch && n <= maxEpoch {
		whole := int64(n)
		return time.Unix(whole, int64((n-float64(whole))*1e9)), true
	}
	return time.Time{}, false
}

// maxEpoch is the end of the year 9999, after which no date can be written.
const maxEpoch = 253402300799

// address takes a CIDR range or one address.
func address(text string) comparison {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		one, err := netip.ParseAddr(text)
		if err != nil {
			return nil
		}
		prefix = netip.PrefixFrom(one, one.BitLen())
	}
	return func(v string) bool {
		a, err := netip.ParseAddr(v)
		return err == nil && prefix.Contains(a.Unmap())
	}
}
