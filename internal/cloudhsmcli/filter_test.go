package cloudhsmcli

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/hsmproto"
)

func TestParseFilter(t *testing.T) {
	tests := map[string]struct {
		terms []string
		want  hsmproto.FindKeysRequest
	}{
		"nothing":                  {nil, hsmproto.FindKeysRequest{}},
		"label":                    {[]string{"attr.label=a=b"}, hsmproto.FindKeysRequest{Label: new("a=b")}},
		"reference, hexadecimal":   {[]string{"key-reference=0x1F"}, hsmproto.FindKeysRequest{Reference: new(uint64(31))}},
		"reference, decimal":       {[]string{"key-reference=31"}, hsmproto.FindKeysRequest{Reference: new(uint64(31))}},
		"19: digits in any case":   {[]string{"attr.id=0xAB01"}, hsmproto.FindKeysRequest{ID: new([]byte{0xab, 1})}},
		"20: odd number of digits": {[]string{"attr.id=0xa2b3c"}, hsmproto.FindKeysRequest{ID: new([]byte{0x0a, 0x2b, 0x3c})}},
		"empty id":                 {[]string{"attr.id=0x"}, hsmproto.FindKeysRequest{ID: new([]byte{})}},
		"several": {[]string{"attr.class=secret-key", "attr.key-type=aes", "attr.key-length-bytes=32", "attr.check-value=0x9b94bd", "attr.sign=true", "attr.wrap=false"},
			hsmproto.FindKeysRequest{Class: new("secret-key"), Type: new("aes"), Length: new(32),
				CheckValue: new([]byte{0x9b, 0x94, 0xbd}), Attributes: map[string]bool{"sign": true, "wrap": false}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := parseFilter(test.terms)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, f.request); diff != "" || f.none {
				t.Errorf("none: %v; %s", f.none, diff)
			}
		})
	}
}

func TestFilterThatNothingMatches(t *testing.T) {
	for _, terms := range [][]string{
		{"attr.label=a", "attr.label=b"},
		{"attr.id=0x01", "attr.id=0x02"},
		{"attr.sign=true", "attr.sign=false"},
		{"key-reference=1", "key-reference=0x2"},
		{"attr.curve=secp256r1"},
	} {
		f, err := parseFilter(terms)
		if err != nil || !f.none {
			t.Errorf("%q: %+v, %v", terms, f, err)
		}
	}
	f, err := parseFilter([]string{"attr.label=a", "attr.label=a", "attr.sign=true", "attr.sign=true"})
	if err != nil || f.none {
		t.Errorf("a repeated term: %+v, %v", f, err)
	}
}

// Statement 21 and its kin.
func TestBadFilter(t *testing.T) {
	for _, term := range []string{
		"attr.id=ab01", "attr.id=Oxab", "attr.id=0xgg", "attr.id", "id=0xab", "attr.sign=yes", "attr.nonsense=1",
		"key-reference=x", "key-reference=-1", "key-reference=0x10000000000000000", "attr.key-length-bytes=many", "", "=",
	} {
		_, err := parseFilter([]string{term})
		if err == nil || text(err) != "Invalid key filter: "+term {
			t.Errorf("%q: %v", term, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("attr.id=0xab", "key-reference=7")
	f.Fuzz(func(t *testing.T, a, b string) {
		parsed, err := parseFilter([]string{a, b})
		if err == nil && parsed.none {
			return
		}
		if err == nil {
			if _, err := hsmproto.Marshal(&parsed.request); err != nil {
				t.Error(err)
			}
		}
	})
}
