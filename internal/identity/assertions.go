package identity

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"keyward/internal/operation"
)

// The claims by which a provider gives a session more than its holder's name: tags, as one object or each by itself, and
// the source identity (IAM User Guide, "Pass session tags in AWS STS" and "Monitor and control actions taken with assumed
// roles").
const (
	tagsClaim           = "https://aws.amazon.com/tags"
	principalTagClaim   = tagsClaim + "/principal_tags/"
	transitiveClaim     = tagsClaim + "/transitive_tag_keys"
	sourceIdentityClaim = "https://aws.amazon.com/source_identity"
)

// Limits of session tags in characters (IAM User Guide, "Pass session tags in AWS STS").
const (
	maxSessionTags = 50
	maxTagKey      = 128
	maxTagValue    = 256
)

var (
	tagText        = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
	sourceIdentity = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// assertions are what a token gives the session that it opens. They mean nothing before the token is proven.
type assertions struct {
	tags           []types.Tag
	transitive     []string
	sourceIdentity string
}

// texts is one string, or several.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// UnmarshalJSON reads the claims among all others of a token.
func (a *assertions) UnmarshalJSON(b []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	var tags struct {
		Principal  map[string]texts `json:"principal_tags"`
		Transitive []string         `json:"transitive_tag_keys"`
	}
	read := func(name string, into any) error {
		if all[name] == nil {
			return nil
		}
		return json.Unmarshal(all[name], into)
	}
	for name := range all {
		key, ok := strings.CutPrefix(name, principalTagClaim)
		if !ok {
			continue
		}
		var value texts
		if err := read(name, &value); err != nil {
			return err
		}
		a.tag(key, value)
	}
	for name, into := range map[string]any{tagsClaim: &tags, transitiveClaim: &a.transitive, sourceIdentityClaim: &a.sourceIdentity} {
		if err := read(name, into); err != nil {
			return err
		}
	}
	for key, value := range tags.Principal {
		a.tag(key, value)
	}
	a.transitive = append(a.transitive, tags.Transitive...)
	slices.SortFunc(a.tags, func(x, y types.Tag) int { return strings.Compare(*x.Key, *y.Key) })
	return nil
}

// tag adds a tag; what is not one value is refused by fill.
func (a *assertions) tag(key string, value texts) {
	t := types.Tag{Key: &key}
	if len(value) == 1 {
		t.Value = &value[0]
	}
	a.tags = append(a.tags, t)
}

// fill checks what a proven token asserts and puts it into the facts of the session.
func (a *assertions) fill(facts *SessionFacts) error {
	if len(a.tags) > maxSessionTags {
		return invalidToken("The token has more than %d session tags.", maxSessionTags)
	}
	for _, t := range a.tags {
		if t.Value == nil {
			return invalidToken("A session tag of the token does not have exactly one value.")
		}
		if *t.Key == "" || utf8.RuneCountInString(*t.Key) > maxTagKey || utf8.RuneCountInString(*t.Value) > maxTagValue ||
			!tagText.MatchString(*t.Key) || !tagText.MatchString(*t.Value) {
			return invalidToken("A session tag of the token is too long or holds a character that tags may not hold.")
		}
	}
	var err error
	if facts.Tags, err = sessionTags(a.tags, a.transitive); err != nil {
		return err
	}
	if a.sourceIdentity != "" && !sourceIdentity.MatchString(a.sourceIdentity) {
		return invalidToken("The source identity of the token is not valid.")
	}
	facts.Transitive, facts.SourceIdentity = a.transitive, a.sourceIdentity
	return nil
}

// log tells the call's event what the token asserted; the call itself has no such parameters.
func (a *assertions) log(c *operation.Call) {
	if len(a.tags) > 0 {
		tags := make(map[string]string, len(a.tags))
		for _, t := range a.tags {
			tags[*t.Key] = *t.Value
		}
		c.Event.Request.Add("principalTags", tags)
	}
	if len(a.transitive) > 0 {
		c.Event.Request.Add("transitiveTagKeys", a.transitive)
	}
	if a.sourceIdentity != "" {
		c.Event.Request.Add("sourceIdentity", a.sourceIdentity)
	}
}
