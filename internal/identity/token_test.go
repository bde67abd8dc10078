package identity

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.")
	f.Add("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4IiwiYXVkIjpbImEiXX0.AAAA")
	f.Add("eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOjF9.AAAA")
	f.Add(`{"payload":"e30","signatures":[{"protected":"eyJhbGciOiJSUzI1NiJ9","signature":"AA"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		c, signed, err := parseToken(text)
		if err != nil {
			return
		}
		if c == nil || len(signed.Headers) != 1 || len(text) > maxToken {
			t.Errorf("%d bytes are a token of %d headers", len(text), len(signed.Headers))
		}
		if alg := signed.Headers[0].Algorithm; !strings.HasPrefix(alg, "RS") && !strings.HasPrefix(alg, "ES") {
			t.Errorf("an algorithm %q", alg)
		}
	})
}

// FuzzAssertions: whatever a token asserts is refused, or is tags and a source identity as sessions may have them.
func FuzzAssertions(f *testing.F) {
	f.Add(`{"https://aws.amazon.com/tags":{"principal_tags":{"a":["b"],"c":"d"},"transitive_tag_keys":["a"]}}`)
	f.Add(`{"https://aws.amazon.com/tags/principal_tags/a":"b","https://aws.amazon.com/source_identity":"me"}`)
	f.Add(`{"https://aws.amazon.com/tags/principal_tags/a":[],"https://aws.amazon.com/tags":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var a assertions
		var facts SessionFacts
		if json.Unmarshal([]byte(text), &a) != nil || a.fill(&facts) != nil {
			return
		}
		for _, tag := range facts.Tags {
			if tag.Key == "" || len([]rune(tag.Key)) > maxTagKey || len([]rune(tag.Value)) > maxTagValue {
				t.Errorf("a tag %q=%q", tag.Key, tag.Value)
			}
		}
		if len(facts.Tags) > maxSessionTags || len(facts.Transitive) > 0 && len(facts.Tags) == 0 || len(facts.SourceIdentity) > 64 {
			t.Errorf("%+v", facts)
		}
	})
}
