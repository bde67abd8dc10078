package sigv4

import (
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Parse finds the signature of r and takes it apart. The error is *Error of kind Missing or Incomplete.
func Parse(r *Request) (*Signature, error) {
	if h := first(r.Header, "Authorization"); h != "" {
		return parseHeader(r, h)
	}
	if strings.Contains(r.RawQuery, "X-Amz-") {
		return parseQuery(r)
	}
	return nil, refuse(Missing, "Missing Authentication Token")
}

func parseHeader(r *Request, header string) (*Signature, error) {
	algorithm, rest, _ := strings.Cut(header, " ")
	if algorithm != Algorithm {
		return nil, refuse(Incomplete, "Authorization header requires the algorithm '%s'. Authorization=%s", Algorithm, header)
	}
	s := &Signature{
		SessionToken: first(r.Header, "X-Amz-Security-Token"),
		payloadHash:  first(r.Header, "X-Amz-Content-Sha256"),
	}
	var credential, signature string
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			credential = value
		case "SignedHeaders":
			s.SignedHeaders = value
		case "Signature":
			signature = value
		}
	}
	s.dateSent = headerDate(r.Header)
	if text := missingParts(credential, signature, s); text != "" {
		return nil, refuse(Incomplete, "%sAuthorization=%s", text, header)
	}
	return s, s.finish(credential, signature)
}

func missingParts(credential, signature string, s *Signature) string {
	var b strings.Builder
	for _, p := range []struct{ name, value string }{
		{"Credential", credential}, {"Signature", signature}, {"SignedHeaders", s.SignedHeaders},
	} {
		if p.value == "" {
			b.WriteString("Authorization header requires '" + p.name + "' parameter. ")
		}
	}
	if s.dateSent == "" {
		b.WriteString("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")
	}
	return b.String()
}

// first is Header.Get for a name that is in canonical form, as net/http leaves them: Get would check that each time.
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func headerDate(h http.Header) string {
	if d := first(h, "X-Amz-Date"); d != "" {
		return d
	}
	return first(h, "Date")
}

// presignParts are the parameters a presigned query cannot do without. X-Amz-Expires is not among them: the STS
// presigners of the SDKs leave it out.
var presignParts = []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"}

func parseQuery(r *Request) (*Signature, error) {
	q, err := url.ParseQuery(r.RawQuery)
	if err != nil {
		return nil, refuse(Incomplete, "AWS query-string parameters cannot be parsed.")
	}
	if !q.Has("X-Amz-Signature") && !q.Has("X-Amz-Credential") {
		return nil, refuse(Missing, "Missing Authentication Token")
	}
	if err := checkPresignParts(q); err != nil {
		return nil, err
	}
	s := &Signature{
		SignedHeaders: q.Get("X-Amz-SignedHeaders"),
		Presigned:     true,
		SessionToken:  q.Get("X-Amz-Security-Token"),
		dateSent:      q.Get("X-Amz-Date"),
		payloadHash:   first(r.Header, "X-Amz-Content-Sha256"),
	}
	if s.Expires, err = parseExpires(q); err != nil {
		return nil, err
	}
	return s, s.finish(q.Get("X-Amz-Credential"), q.Get("X-Amz-Signature"))
}

func checkPresignParts(q url.Values) error {
	for _, name := range presignParts {
		// A repeated parameter would be read once and signed twice.
		if v := q[name]; len(v) != 1 || v[0] == "" {
			return refuse(Incomplete, "AWS query-string parameters must include '%s' exactly once. Re-examine the query-string parameters.", name)
		}
	}
	if a := q.Get("X-Amz-Algorithm"); a != Algorithm {
		return refuse(Incomplete, "Unsupported AWS 'algorithm': '%s'.", a)
	}
	return nil
}

func parseExpires(q url.Values) (time.Duration, error) {
	if !q.Has("X-Amz-Expires") {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.Get("X-Amz-Expires"), 10, 32)
	expires := time.Duration(n) * time.Second
	if err != nil || n == 0 || expires > maxExpiry {
		return 0, refuse(Incomplete, "X-Amz-Expires must be between 1 and %d seconds.", int(maxExpiry/time.Second))
	}
	return expires, nil
}

var errSignatureForm = refuse(Incomplete, "Signature must be 64 hexadecimal characters.")

// finish fills in what both forms share.
func (s *Signature) finish(credential, signature string) error {
	var parts [5]string
	n := 0
	for part := range strings.SplitSeq(credential, "/") {
		if n < len(parts) {
			parts[n] = part
		}
		n++
	}
	if n != len(parts) || parts[0] == "" {
		return refuse(Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '%s'", credential)
	}
	s.Credential = Credential{parts[0], parts[1], parts[2], parts[3], parts[4]}
	if len(signature) != 2*len(s.signature) {
		return errSignatureForm
	}
	if _, err := hex.Decode(s.signature[:], []byte(signature)); err != nil {
		return errSignatureForm
	}
	var err error
	if s.Time, err = parseDate(s.dateSent); err != nil {
		return refuse(Incomplete, "Date must be in ISO-8601 'basic format'. Got '%s'. See http://en.wikipedia.org/wiki/ISO_8601", s.dateSent)
	}
	s.stamp = s.dateSent
	if len(s.stamp) != len(isoBasic) {
		s.stamp = s.Time.Format(isoBasic)
	}
	return nil
}

// parseDate takes X-Amz-Date's format and, for a Date header, that of HTTP.
func parseDate(s string) (time.Time, error) {
	if len(s) == len(isoBasic) && s[8] == 'T' && s[15] == 'Z' {
		return parseBasic(s)
	}
	t, err := http.ParseTime(s)
	return t.UTC(), err
}

var errDate = errors.New("sigv4: not a date")

// parseBasic does for the one format of nearly all requests what time.Parse does in a fifth of the time.
func parseBasic(s string) (time.Time, error) {
	var n [6]int
	for i, at := range [6][2]int{{0, 4}, {4, 6}, {6, 8}, {9, 11}, {11, 13}, {13, 15}} {
		for _, c := range []byte(s[at[0]:at[1]]) {
			if c < '0' || c > '9' {
				return time.Time{}, errDate
			}
			n[i] = 10*n[i] + int(c-'0')
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], 0, time.UTC)
	// time.Date carries what is too large into the next unit: a date that is none comes out as another.
	if t.Month() != time.Month(n[1]) || t.Day() != n[2] || t.Hour() != n[3] || t.Minute() != n[4] || t.Second() != n[5] {
		return time.Time{}, errDate
	}
	return t, nil
}

// ServiceOf reads the service out of the credential scope of r without checking anything else: enough to know in
// whose protocol to answer. It is empty when there is none.
func ServiceOf(r *Request) string {
	credential := ""
	if _, rest, ok := strings.Cut(first(r.Header, "Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(rest, ",")
	} else if q, err := url.ParseQuery(r.RawQuery); err == nil {
		credential = q.Get("X-Amz-Credential")
	}
	if parts := strings.Split(strings.TrimSpace(credential), "/"); len(parts) == 5 {
		return parts[3]
	}
	return ""
}
