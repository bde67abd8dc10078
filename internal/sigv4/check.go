package sigv4

import (
	"net/http"
	"strings"
	"time"
)

// CheckScope holds the credential scope against the service that was called and the date of the request, and asks that
// everything which steers the request is signed: host, the date, and every X-Amz- header that is present.
func (s *Signature) CheckScope(r *Request, service string) error {
	switch {
	case !ValidRegion(s.Region):
		return refuse(Scope, "Credential should be scoped to a valid region.")
	case s.Service != service:
		return refuse(Scope, "Credential should be scoped to correct service: '%s'.", service)
	case s.Terminator != terminator:
		return refuse(Scope, "Credential should be scoped with a valid terminator: '%s'.", terminator)
	case s.Day != s.stamp[:dayLength]:
		return refuse(Scope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.",
			s.Day, s.stamp[:dayLength], s.stamp)
	}
	return s.checkSigned(r.Header)
}

func (s *Signature) checkSigned(h http.Header) error {
	if !ascending(s.SignedHeaders) {
		return refuse(Scope, "SignedHeaders must be at most %d names in ascending order.", maxSigned)
	}
	if !s.signs("host") {
		return refuse(Scope, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	// X-Amz-Date is caught by the loop below; what is left is a date that came in the Date header.
	if !s.Presigned && first(h, "X-Amz-Date") == "" && !s.signs("date") {
		return refuse(Scope, "'Date' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range h {
		if len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") && !s.signs(name) {
			return refuse(Scope, "'%s' must be a 'SignedHeader' in the AWS Authorization.", strings.ToLower(name))
		}
	}
	return nil
}

// ascending reports whether list is in order, without repetitions, and no longer than maxSigned.
func ascending(list string) bool {
	last, n := "", 0
	for name := range strings.SplitSeq(list, ";") {
		if n++; name <= last || n > maxSigned {
			return false
		}
		last = name
	}
	return true
}

// signs reports whether the header, in any case, is among the signed ones. There are a handful of them.
func (s *Signature) signs(header string) bool {
	for name := range strings.SplitSeq(s.SignedHeaders, ";") {
		if len(name) == len(header) && strings.EqualFold(name, header) {
			return true
		}
	}
	return false
}

// CheckTime holds the date of the request against now: within MaxSkew, or for a presigned request not yet past its
// expiry.
func (s *Signature) CheckTime(now time.Time) error {
	now = now.UTC()
	age, window := MaxSkew, "5 min."
	if s.Expires > 0 {
		age, window = s.Expires, s.Expires.String()
	}
	if limit := now.Add(-age).Truncate(time.Second); s.Time.Before(limit) {
		return refuse(Expired, "Signature expired: %s is now earlier than %s (%s - %s)",
			s.stamp, limit.Format(isoBasic), now.Format(isoBasic), window)
	}
	if limit := now.Add(MaxSkew); s.Time.After(limit) {
		return refuse(Expired, "Signature not yet current: %s is still later than %s (%s + 5 min.)",
			s.stamp, limit.Format(isoBasic), now.Format(isoBasic))
	}
	return nil
}

// ValidRegion reports whether name has the form of an AWS Region: two or three words of letters, then a number.
func ValidRegion(name string) bool {
	if len(name) > 32 {
		return false
	}
	words := 0
	for {
		word, rest, found := strings.Cut(name, "-")
		if !found {
			return (words == 2 || words == 3) && all(word, '0', '9')
		}
		if !all(word, 'a', 'z') {
			return false
		}
		words++
		name = rest
	}
}

func all(s string, low, high byte) bool {
	for i := range len(s) {
		if s[i] < low || s[i] > high {
			return false
		}
	}
	return s != ""
}
