package httpserver_test

import (
	"strings"
	"testing"
)

const authorization = "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/eu-west-1/kms/aws4_request, " +
	"SignedHeaders=amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;host;x-amz-date;x-amz-target, " +
	"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"

// TestSDKs: requests as the SDKs of AWS send them are ordinary.
func TestSDKs(t *testing.T) {
	for name, head := range map[string][]string{
		"Go": {
			"Host: 127.0.0.1:8080",
			"User-Agent: aws-sdk-go-v2/1.40.0 ua/2.1 os/linux lang/go#1.26.8 md/GOOS#linux md/GOARCH#amd64 api/kms#1.48.0 m/E,g",
			"Content-Length: 2",
			"Amz-Sdk-Invocation-Id: 3a55ff27-6c04-4fbd-87bc-6a2c9f8b7a6f",
			"Amz-Sdk-Request: attempt=1; max=3",
			authorization,
			"Content-Type: application/x-amz-json-1.1",
			"X-Amz-Date: 20261124T114742Z",
			"X-Amz-Security-Token: " + strings.Repeat("IQoJb3JpZ2luX2VjEJr/", 60) + "==",
			"X-Amz-Target: TrentService.Encrypt",
			"Accept-Encoding: identity",
		},
		"JavaScript": {
			"content-type: application/x-amz-json-1.1",
			"x-amz-target: TrentService.Encrypt",
			"content-length: 2",
			"host: localhost:8080",
			"x-amz-user-agent: aws-sdk-js/3.900.0",
			"user-agent: aws-sdk-js/3.900.0 ua/2.1 os/linux#6.8 lang/js md/nodejs#22.1.0 api/kms#3.900.0 m/E,N",
			"amz-sdk-invocation-id: 3a55ff27-6c04-4fbd-87bc-6a2c9f8b7a6f",
			"amz-sdk-request: attempt=1; max=3",
			"x-amz-date: 20261124T114742Z",
			"x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			authorization,
			"Connection: keep-alive",
		},
		"Java": {
			"Host: kms.eu-west-1.amazonaws.com",
			"amz-sdk-invocation-id: 3a55ff27-6c04-4fbd-87bc-6a2c9f8b7a6f",
			"amz-sdk-request: attempt=1; max=3",
			authorization,
			"Content-Type: application/x-amz-json-1.1",
			"User-Agent: aws-sdk-java/2.37.0 md/io#sync md/http#Apache ua/2.1 api/KMS#2.37.x os/Linux#6.8.0 lang/java#21.0.1",
			"X-Amz-Date: 20261124T114742Z",
			"X-Amz-Target: TrentService.Encrypt",
			"Content-Length: 2",
			"Connection: Keep-Alive",
		},
		"botocore": {
			"Host: [::1]:8080",
			"Accept-Encoding: identity",
			"X-Amz-Target: TrentService.Encrypt",
			"Content-Type: application/x-amz-json-1.1",
			"User-Agent: aws-cli/2.31.0 md/awscrt#0.27.6 ua/2.1 os/linux#6.8 md/arch#x86_64 lang/python#3.13.7 md/command#kms.encrypt",
			"X-Amz-Date: 20261124T114742Z",
			authorization,
			"amz-sdk-invocation-id: 3a55ff27-6c04-4fbd-87bc-6a2c9f8b7a6f",
			"amz-sdk-request: attempt=1",
			"Content-Length: 2",
		},
		"PHP, and curl": {
			"Host: localhost:8080",
			"Accept-Encoding: gzip, deflate",
			"Accept: */*",
			"aws-sdk-retry: 0/0",
			"Content-Length: 2",
			"Content-Type: application/x-www-form-urlencoded; charset=utf-8",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, echo).dial(t)
			text := "POST / HTTP/1.1\r\n" + strings.Join(head, "\r\n") + "\r\n\r\n{}"
			for range 2 {
				c.send(text)
				if r := c.read(); r.Header.Get("X-By") != "calls" || !strings.HasSuffix(r.body, `"{}" <nil> map[]`) {
					t.Errorf("answered by %s: %q", r.Header.Get("X-By"), r.body)
				}
			}
		})
	}
}

// cases are requests by the path they take: calls, other, or none if they are refused before that.
var cases = []struct{ name, text, by string }{
	{"ordinary", post("{}"), "calls"},
	{"the longest body", post(strings.Repeat("x", 64<<10)), "calls"},
	{"a longer body", post(strings.Repeat("x", 64<<10+1)), "other"},
	{"a long head", post("{}", "X-A: "+strings.Repeat("a", 4<<10)), "other"},
	{"no body", post(""), "other"},
	{"another method", strings.Replace(post("{}"), "POST", "PUT", 1), "other"},
	{"GET", "GET / HTTP/1.1\r\nHost: kms.test\r\n\r\n", "other"},
	{"HEAD", "HEAD / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 2\r\n\r\n{}", "other"},
	{"OPTIONS of all", "OPTIONS * HTTP/1.1\r\nHost: kms.test\r\n\r\n", ""},
	{"a path", strings.Replace(post("{}"), "/", "/path", 1), "other"},
	{"a query", strings.Replace(post("{}"), "/", "/?Action=GetUser", 1), "other"},
	{"a whole URL", strings.Replace(post("{}"), "/", "http://kms.test/", 1), "other"},
	{"HTTP/1.0", strings.Replace(post("{}"), "1.1", "1.0", 1), "other"},
	{"HTTP/1.0 kept alive", strings.Replace(post("{}", "Connection: keep-alive"), "1.1", "1.0", 1), "other"},
	{"HTTP/3.0", strings.Replace(post("{}"), "1.1", "3.0", 1), ""},
	{"no version", "POST /\r\n\r\n", ""},
	{"no request", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1", ""},
	{"HTTP/2 foretold", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "other"},
	{"closed", post("{}", "Connection: close"), "other"},
	{"more of a connection", post("{}", "Connection: keep-alive, X-A"), "other"},
	{"an upgrade", post("{}", "Connection: Upgrade", "Upgrade: h2c"), "other"},
	{"no host", "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", ""},
	{"an empty host", "POST / HTTP/1.1\r\nHost:\r\nContent-Length: 2\r\n\r\n{}", "other"},
	{"two hosts", post("{}", "Host: kms.test"), ""},
	{"a bad host", "POST / HTTP/1.1\r\nHost: kms/test\x00\r\nContent-Length: 2\r\n\r\n{}", ""},
	{"a strange host", "POST / HTTP/1.1\r\nHost: kms,test\r\nContent-Length: 2\r\n\r\n{}", "other"},
	{"two equal lengths", post("{}", "Content-Length: 2"), "other"},
	{"two lengths", post("{}", "Content-Length: 3"), ""},
	{"a list of lengths", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 2, 2\r\n\r\n{}", ""},
	{"a signed length", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: +2\r\n\r\n{}", ""},
	{"zeros before a length", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 002\r\n\r\n{}", "calls"},
	{"a hexadecimal length", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 0x2\r\n\r\n{}", ""},
	{"a huge length", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length: 99999999999999999999\r\n\r\n{}", ""},
	{"an empty length", "POST / HTTP/1.1\r\nHost: kms.test\r\nContent-Length:\r\n\r\n", ""},
	{"chunked", "POST / HTTP/1.1\r\nHost: kms.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "other"},
	{"chunked with a length", post("2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), "other"},
	{"a trailer", "POST / HTTP/1.1\r\nHost: kms.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n2\r\n{}\r\n0\r\nX-A: b\r\n\r\n", "other"},
	{"another encoding", post("{}", "Transfer-Encoding: gzip"), ""},
	{"a space after a name that matters", post("0\r\n\r\n", "Transfer-Encoding : chunked"), ""},
	{"a space after a name", post("{}", "X-A : b"), ""},
	{"a space in a name", post("{}", "X A: b"), ""},
	{"no name", post("{}", ": b"), ""},
	{"a name that is none", post("{}", "X(A): b"), ""},
	{"no colon", post("{}", "X-A"), ""},
	{"a value of spaces", post("{}", "X-A:    "), "calls"},
	{"a tab", post("{}", "X-A: \tb"), "other"},
	{"a continuation", post("{}", "X-A: b\r\n c"), "other"},
	{"a continuation at first", "POST / HTTP/1.1\r\n Host: kms.test\r\n\r\n", ""},
	{"a control character", post("{}", "X-A: \x01"), ""},
	{"a NUL", post("{}", "X-A: \x00"), ""},
	{"a bare CR", post("{}", "X-A: b\rX-B: c"), ""},
	{"bare LF", strings.ReplaceAll(post("{}"), "\r", ""), "other"},
	{"one bare LF", strings.Replace(post("{}", "X-A: b"), "\r", "", 1), "other"},
	{"a bare LF at the end", strings.Replace(post("{}"), "\r\n\r\n", "\n\r\n", 1), "other"},
	{"UTF-8", post("{}", "X-A: ä"), "other"},
	{"expecting", post("{}", "Expect: 100-continue"), "other"},
	{"expecting too much", post("{}", "Expect: tea"), ""},
	{"Pragma", post("{}", "Pragma: no-cache"), "other"},
	{"a repeated field", post("{}", "X-A: b", "x-a: c"), "calls"},
	{"a cut head", "POST / HTTP/1.1\r\nHost: kms", ""},
	{"a cut method", "PO", ""},
	{"a cut body", strings.TrimSuffix(post("{}"), "}"), "calls"},
	{"nothing", "", ""},
}

func TestPaths(t *testing.T) {
	s := serve(t, echo)
	for _, one := range cases {
		t.Run(one.name, func(t *testing.T) {
			c := s.dial(t)
			c.send(one.text)
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if r, err := readReply(c.reader, strings.SplitN(one.text, " ", 2)[0]); err == nil {
				for err == nil && r.StatusCode == 100 {
					r, err = readReply(c.reader, "")
				}
				if by := r.Header.Get("X-By"); by != one.by {
					t.Errorf("answered by %q: %s", by, r.Status)
				}
			} else if one.by != "" {
				t.Error(err)
			}
		})
	}
}
