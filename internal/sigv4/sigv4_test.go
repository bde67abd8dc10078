package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"keyward/internal/secret"
)

const (
	accessKeyID = "AKIAAAAAAAAAAAAAAAAA"
	secretKey   = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

var signedAt = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

func credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: secretKey}
}

// sign lets the SDK sign r.
func sign(t testing.TB, r *http.Request, body string) {
	t.Helper()
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials(), r, hashOf(body), "kms", "us-east-1", signedAt); err != nil {
		t.Fatal(err)
	}
}

// request builds what the SDK would send; received is what a server makes of it.
func request(t testing.TB, method, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://kms.us-east-1.amazonaws.com"+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func received(r *http.Request, body string) *Request {
	if r.ContentLength > 0 {
		r.Header.Set("Content-Length", strconv.Itoa(int(r.ContentLength)))
	}
	return &Request{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: []byte(body)}
}

// verify runs all checks in their order.
func verify(r *Request, now time.Time) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	if err := s.CheckScope(r, "kms"); err != nil {
		return err
	}
	if err := s.CheckTime(now); err != nil {
		return err
	}
	return s.Verify(r, DeriveKey(secret.FromString(secretKey), s.Credential))
}

func kind(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func TestAgreesWithTheSDK(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		segment := rapid.StringMatching(`[a-zA-Z0-9 ~!$&'()*+,;=:@é%_.-]{0,8}`)
		u := url.URL{Scheme: "http", Host: "kms.us-east-1.amazonaws.com:4566", Path: "/" + strings.Join(rapid.SliceOfN(segment, 0, 3).Draw(rt, "path"), "/")}
		q := url.Values{}
		for _, name := range rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9_.~-]{1,6}`), 0, 4).Draw(rt, "names") {
			q[name] = rapid.SliceOfN(rapid.StringMatching(`[ -~é]{0,8}`), 1, 3).Draw(rt, "values")
		}
		u.RawQuery = q.Encode()
		body := rapid.StringMatching(`[ -~]{0,64}`).Draw(rt, "body")
		r, err := http.NewRequestWithContext(t.Context(), rapid.SampledFrom([]string{"POST", "GET"}).Draw(rt, "method"), u.String(), strings.NewReader(body))
		if err != nil {
			rt.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
		for _, v := range rapid.SliceOfN(rapid.StringMatching(`[ -~]{0,20}`), 0, 3).Draw(rt, "repeated") {
			r.Header.Add("X-Amz-Meta-Odd", v)
		}
		sign(t, r, body)
		if err := verify(received(r, body), signedAt); err != nil {
			rt.Fatalf("%s %s: %v", r.Method, u.String(), err)
		}
	})
}

func TestAgreesWithTheSDKOnTheWire(t *testing.T) {
	verdict := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verify(&Request{Method: r.Method, Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Host: r.Host, Header: r.Header, Body: body}, signedAt)
		}
		verdict <- err
	}))
	defer server.Close()
	for _, target := range []string{"/", "/a%2Fb//c%20d/../e", "/?b=2&a=1&a=0&c", "/?x=%20+y&%C3%A9=1"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+target, strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-amz-json-1.1")
		r.Header["X-Amz-Meta-Odd"] = []string{"a   b", " c "}
		sign(t, r, `{"a":1}`)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err := <-verdict; err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// presigned is a GET or POST whose signature stands in the query.
func presigned(t testing.TB, method, query, body string) *Request {
	t.Helper()
	r := request(t, method, "/?"+query, body)
	signed, _, err := v4.NewSigner().PresignHTTP(t.Context(), credentials(), r, hashOf(body), "kms", "us-east-1", signedAt)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	return &Request{Method: method, Path: u.EscapedPath(), RawQuery: u.RawQuery, Host: u.Host,
		Header: http.Header{"Content-Length": {strconv.Itoa(len(body))}}, Body: []byte(body)}
}

func TestPresigned(t *testing.T) {
	for _, c := range []struct {
		query string
		at    time.Duration
		want  Kind
	}{
		{"X-Amz-Expires=3600", 0, 0},
		{"X-Amz-Expires=3600", 59 * time.Minute, 0},
		{"X-Amz-Expires=3600", 61 * time.Minute, Expired},
		{"X-Amz-Expires=604800", 6 * 24 * time.Hour, 0},
		{"X-Amz-Expires=604801", 0, Incomplete},
		{"X-Amz-Expires=0", 0, Incomplete},
		{"X-Amz-Expires=-1", 0, Incomplete},
		{"Action=GetCallerIdentity", 4 * time.Minute, 0},
		{"Action=GetCallerIdentity", 6 * time.Minute, Expired},
		{"X-Amz-Expires=60", -6 * time.Minute, Expired},
	} {
		if got := kind(verify(presigned(t, "GET", c.query, ""), signedAt.Add(c.at))); got != c.want {
			t.Errorf("%s after %v: kind %d, want %d", c.query, c.at, got, c.want)
		}
	}
}

func TestPresignedBodyIsCovered(t *testing.T) {
	r := presigned(t, "POST", "X-Amz-Expires=60", "body")
	if err := verify(r, signedAt); err != nil {
		t.Fatal(err)
	}
	r.Body = []byte("other")
	if kind(verify(r, signedAt)) != Mismatch {
		t.Error("another body passed")
	}
}

func signedRequest(t testing.TB) *Request {
	t.Helper()
	body := `{"KeyId":"alias/a"}`
	r := request(t, http.MethodPost, "/", body)
	r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sign(t, r, body)
	return received(r, body)
}

func TestRefusals(t *testing.T) {
	edit := func(old, replacement string) func(*Request) {
		return func(r *Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				t.Fatalf("%q does not hold %q", h, old)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, replacement, 1))
		}
	}
	for name, c := range map[string]struct {
		change  func(*Request)
		kind    Kind
		message string
	}{
		"none":             {func(r *Request) { r.Header.Del("Authorization") }, Missing, "Missing Authentication Token"},
		"algorithm":        {edit("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), Incomplete, "requires the algorithm 'AWS4-HMAC-SHA256'"},
		"no credential":    {edit("Credential=", "Cred="), Incomplete, "Authorization header requires 'Credential' parameter. Authorization=AWS4"},
		"no signature":     {edit("Signature=", "Sig="), Incomplete, "Authorization header requires 'Signature' parameter. Authorization=AWS4"},
		"no list":          {edit("SignedHeaders=", "Signed="), Incomplete, "Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4"},
		"no date":          {func(r *Request) { r.Header.Del("X-Amz-Date") }, Incomplete, "requires existence of either a 'X-Amz-Date' or a 'Date' header."},
		"bad date":         {func(r *Request) { r.Header.Set("X-Amz-Date", "yesterday") }, Incomplete, "Date must be in ISO-8601 'basic format'. Got 'yesterday'."},
		"short credential": {edit("/us-east-1", ""), Incomplete, "Credential must have exactly 5 slash-delimited elements"},
		"short signature":  {edit("Signature=", "Signature=0"), Incomplete, "64 hexadecimal"},
		"region":           {edit("us-east-1", "useast1"), Scope, "Credential should be scoped to a valid region."},
		"service":          {edit("/kms/", "/s3/"), Scope, "Credential should be scoped to correct service: 'kms'."},
		"terminator":       {edit("aws4_request", "aws5_request"), Scope, "Credential should be scoped with a valid terminator: 'aws4_request'."},
		"day":              {edit("20261121", "20261120"), Scope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261120' != '20261121', from '20261121T120000Z'."},
		"host unsigned":    {edit("host;", ""), Scope, "'Host' or ':authority' must be a 'SignedHeader'"},
		"target unsigned":  {edit(";x-amz-target", ""), Scope, "'x-amz-target' must be a 'SignedHeader'"},
		"header added":     {func(r *Request) { r.Header.Set("X-Amz-Extra", "1") }, Scope, "'x-amz-extra' must be a 'SignedHeader'"},
		"unsorted":         {edit("host;x-amz-date", "x-amz-date;host"), Scope, "ascending order"},
		"method":           {func(r *Request) { r.Method = "PUT" }, Mismatch, mismatchText},
		"path":             {func(r *Request) { r.Path = "/x" }, Mismatch, mismatchText},
		"query":            {func(r *Request) { r.RawQuery = "a=b" }, Mismatch, mismatchText},
		"host":             {func(r *Request) { r.Host = "evil" }, Mismatch, mismatchText},
		"target":           {func(r *Request) { r.Header.Set("X-Amz-Target", "TrentService.Decrypt") }, Mismatch, mismatchText},
		"body":             {func(r *Request) { r.Body[0] ^= 1 }, Mismatch, mismatchText},
		"other region":     {edit("us-east-1", "us-east-2"), Mismatch, mismatchText},
		"unsigned payload": {func(r *Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") }, Scope, "'x-amz-content-sha256'"},
	} {
		t.Run(name, func(t *testing.T) {
			r := signedRequest(t)
			c.change(r)
			err := verify(r, signedAt)
			if kind(err) != c.kind || !strings.Contains(err.Error(), c.message) {
				t.Errorf("got kind %d: %v", kind(err), err)
			}
		})
	}
}

func TestUnsignedPayloadIsRefusedEvenWhenSigned(t *testing.T) {
	for _, payload := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"} {
		r := request(t, http.MethodPost, "/", "body")
		r.Header.Set("X-Amz-Content-Sha256", payload)
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials(), r, payload, "kms", "us-east-1", signedAt); err != nil {
			t.Fatal(err)
		}
		if kind(verify(received(r, "body"), signedAt)) != Mismatch {
			t.Errorf("%s passed", payload)
		}
	}
}

func TestDateHeader(t *testing.T) {
	r := signedRequest(t)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	// The SDK always sends X-Amz-Date; sign with a Date header by hand.
	s.SignedHeaders, s.stamp = "date;host", signedAt.Format(isoBasic)
	r.Header = http.Header{"Date": {signedAt.Format(http.TimeFormat)}}
	key := DeriveKey(secret.FromString(secretKey), s.Credential)
	bodyHash := hexHash(r.Body)
	signature := key.appendMAC(nil, s.appendStringToSign(nil, hexHash(s.appendCanonical(nil, r, bodyHash[:]))))
	authorization := Algorithm + " Credential=" + accessKeyID + "/20261121/us-east-1/kms/aws4_request, SignedHeaders=date;host, Signature=" + hex.EncodeToString(signature)
	r.Header.Set("Authorization", authorization)
	if err := verify(r, signedAt); err != nil {
		t.Error(err)
	}
	r.Header.Set("Authorization", strings.Replace(authorization, "date;", "", 1))
	if kind(verify(r, signedAt)) != Scope {
		t.Error("an unsigned date passed")
	}
}

func TestSkew(t *testing.T) {
	for offset, want := range map[time.Duration]string{
		-MaxSkew: "", MaxSkew: "", 0: "",
		MaxSkew + time.Second:  "Signature expired: 20261121T120000Z is now earlier than 20261121T120001Z (20261121T120501Z - 5 min.)",
		-MaxSkew - time.Second: "Signature not yet current: 20261121T120000Z is still later than 20261121T115959Z (20261121T115459Z + 5 min.)",
	} {
		err := verify(signedRequest(t), signedAt.Add(offset))
		if want == "" && err != nil || want != "" && (kind(err) != Expired || err.Error() != "sigv4: "+want) {
			t.Errorf("%v: %v", offset, err)
		}
	}
}

func TestDatesAreReadAsByTheStandardLibrary(t *testing.T) {
	check := func(s string) bool {
		want, wantErr := time.Parse(isoBasic, s)
		got, err := parseDate(s)
		return (err == nil) == (wantErr == nil) && (err != nil || got.Equal(want))
	}
	for _, s := range []string{"20260229T000000Z", "20240229T235959Z", "20261301T000000Z", "20260100T000000Z", "20260101T240000Z", "20260101T000060Z", "2026010aT000000Z", "20260101 000000Z"} {
		if !check(s) {
			t.Errorf("%s is read differently", s)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if s := rapid.StringMatching(`[0-9]{4}[01][0-9][0-3][0-9]T[0-2][0-9][0-6][0-9][0-6][0-9]Z`).Draw(t, "date"); !check(s) {
			t.Fatalf("%s is read differently", s)
		}
	})
}

func TestValidRegion(t *testing.T) {
	for name, want := range map[string]bool{
		"us-east-1": true, "us-gov-west-1": true, "ap-southeast-12": true, "us-iso-b-east-1": false, "": false, "us": false, "us-east": false,
		"us-east-": false, "-east-1": false, "us--1": false, "US-east-1": false, "us-east-1a": false, strings.Repeat("a", 30) + "-b-1": false,
	} {
		if ValidRegion(name) != want {
			t.Errorf("ValidRegion(%q) = %v", name, !want)
		}
	}
}

func TestKeyCacheIsBoundedAndRight(t *testing.T) {
	cache := NewKeyCache(10)
	s := secret.FromString(secretKey)
	rapid.Check(t, func(t *rapid.T) {
		c := Credential{AccessKeyID: accessKeyID, Day: "20261121", Region: rapid.StringMatching(`[a-f]-b-[1-9]`).Draw(t, "region"), Service: "kms"}
		if string(cache.Key(s, c).appendMAC(nil, nil)) != string(DeriveKey(s, c).appendMAC(nil, nil)) {
			t.Fatal("a cached key is not the derived one")
		}
		if cache.Len() > 10 {
			t.Fatalf("%d keys", cache.Len())
		}
	})
}

func TestServiceOf(t *testing.T) {
	if got := ServiceOf(signedRequest(t)); got != "kms" {
		t.Errorf("header: %q", got)
	}
	if got := ServiceOf(presigned(t, "GET", "a=b", "")); got != "kms" {
		t.Errorf("query: %q", got)
	}
	if got := ServiceOf(&Request{}); got != "" {
		t.Errorf("none: %q", got)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIA/20261121/us-east-1/kms/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64), "", "20261121T120000Z", "/")
	f.Add("", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261121%2Fus-east-1%2Fkms%2Faws4_request&X-Amz-Date=20261121T120000Z&X-Amz-SignedHeaders=host&X-Amz-Signature="+strings.Repeat("0", 64), "", "/%2f")
	key := DeriveKey(secret.FromString("not the client's"), Credential{})
	f.Fuzz(func(t *testing.T, authorization, query, date, path string) {
		r := &Request{Method: "POST", Path: path, RawQuery: query, Host: "h", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		ServiceOf(r)
		if err := verify(r, signedAt); err == nil {
			t.Fatal("a forged signature passed")
		}
		// Also exercise what lies behind the scope checks.
		if s, err := Parse(r); err == nil && s.Verify(r, key) == nil {
			t.Fatal("a forged signature passed")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	r := signedRequest(b)
	cache := NewKeyCache(16)
	s := secret.FromString(secretKey)
	b.ReportAllocs()
	for b.Loop() {
		sig, err := Parse(r)
		if err != nil {
			b.Fatal(err)
		}
		if err := sig.CheckScope(r, "kms"); err != nil {
			b.Fatal(err)
		}
		if err := sig.CheckTime(signedAt); err != nil {
			b.Fatal(err)
		}
		if err := sig.Verify(r, cache.Key(s, sig.Credential)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSDKSigner is the yardstick for BenchmarkVerify: what verification by signing again would cost at least.
func BenchmarkSDKSigner(b *testing.B) {
	body := `{"KeyId":"alias/a"}`
	r := request(b, http.MethodPost, "/", body)
	r.Header.Set("X-Amz-Target", "TrentService.Encrypt")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	signer, c := v4.NewSigner(), credentials()
	b.ReportAllocs()
	for b.Loop() {
		r.Header.Del("Authorization")
		if err := signer.SignHTTP(b.Context(), c, r, hashOf(body), "kms", "us-east-1", signedAt); err != nil {
			b.Fatal(err)
		}
	}
}
