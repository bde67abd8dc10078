package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// appendCanonical appends the canonical request: exactly the headers listed as signed, in the order listed.
func (s *Signature) appendCanonical(b []byte, r *Request, bodyHash []byte) []byte {
	b = append(b, r.Method...)
	b = append(b, '\n')
	b = appendPath(b, r.Path)
	b = append(b, '\n')
	b = appendQuery(b, r.RawQuery)
	b = append(b, '\n')
	for name := range strings.SplitSeq(s.SignedHeaders, ";") {
		b = append(b, name...)
		b = append(b, ':')
		b = appendHeader(b, r, name)
		b = append(b, '\n')
	}
	b = append(b, '\n')
	b = append(b, s.SignedHeaders...)
	b = append(b, '\n')
	return append(b, bodyHash...)
}

// appendPath encodes the already escaped path once more, as every service but S3 does.
func appendPath(b []byte, path string) []byte {
	if path == "" {
		return append(b, '/')
	}
	for i := range len(path) {
		if path[i] == '/' {
			b = append(b, '/')
			continue
		}
		b = appendEscaped(b, path[i])
	}
	return b
}

// appendQuery sorts by encoded name, then by value, and leaves out the signature itself.
func appendQuery(b []byte, raw string) []byte {
	if raw == "" {
		return b
	}
	pairs := make([][2]string, 0, strings.Count(raw, "&")+1)
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if name = reescape(name); name != "X-Amz-Signature" {
			pairs = append(pairs, [2]string{name, reescape(value)})
		}
	}
	slices.SortFunc(pairs, func(x, y [2]string) int {
		if c := strings.Compare(x[0], y[0]); c != 0 {
			return c
		}
		return strings.Compare(x[1], y[1])
	})
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(b, p[0]...)
		b = append(b, '=')
		b = append(b, p[1]...)
	}
	return b
}

// reescape brings any spelling of a query component into the canonical one.
func reescape(s string) string {
	plain, err := url.QueryUnescape(s)
	if err != nil {
		plain = s
	}
	b := make([]byte, 0, len(plain)+16)
	for i := range len(plain) {
		b = appendEscaped(b, plain[i])
	}
	return string(b)
}

const upperHex = "0123456789ABCDEF"

func appendEscaped(b []byte, c byte) []byte {
	if unreserved(c) {
		return append(b, c)
	}
	return append(b, '%', upperHex[c>>4], upperHex[c&15])
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// appendHeader joins repeated headers with a comma and squeezes runs of spaces.
func appendHeader(b []byte, r *Request, name string) []byte {
	if name == "host" {
		return appendSqueezed(b, r.Host)
	}
	for i, v := range r.Header[headerKey(name)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSqueezed(b, v)
	}
	return b
}

// headerKey spares the allocations of http.CanonicalHeaderKey for what every AWS client signs.
func headerKey(name string) string {
	switch name {
	case "x-amz-date":
		return "X-Amz-Date"
	case "x-amz-target":
		return "X-Amz-Target"
	case "content-type":
		return "Content-Type"
	case "content-length":
		return "Content-Length"
	default:
		return http.CanonicalHeaderKey(name)
	}
}

func appendSqueezed(b []byte, v string) []byte {
	v = strings.Trim(v, " ")
	if !strings.Contains(v, "  ") {
		return append(b, v...)
	}
	for i := range len(v) {
		if v[i] == ' ' && v[i-1] == ' ' {
			continue
		}
		b = append(b, v[i])
	}
	return b
}
