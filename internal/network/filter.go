package network

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"keyward/internal/fault"
)

// Filter of a Describe operation: a name and alternatives for its value, in which * and ? are wildcards.
type Filter struct {
	Name  string
	Value []string
}

// listing are the members that all Describe operations share.
type listing struct {
	ids        []string
	filters    []Filter
	maxResults int // 0: not given
	nextToken  string
}

// Bounds of MaxResults.
const (
	minPage = 5
	maxPage = 1000
)

// kind is what Describe needs to know of a kind of resource.
type kind[T any] struct {
	id   func(T) string
	tags func(T) []Tag
	// attributes are the filters beside tags: the values of the resource that a filter is compared with.
	attributes map[string]func(T) []string
	// missing is the answer for an explicit id that does not exist.
	missing func(id string) error
}

// selectFrom picks what is asked for: explicit ids must exist; filters are all to hold. All is in the order of ids.
func (k kind[T]) selectFrom(all []T, l listing) (page []T, next string, err error) {
	if err := k.check(l); err != nil {
		return nil, "", err
	}
	for _, id := range l.ids {
		if !slices.ContainsFunc(all, func(one T) bool { return k.id(one) == id }) {
			return nil, "", k.missing(id)
		}
	}
	after, err := openToken(l.nextToken)
	if err != nil {
		return nil, "", err
	}
	limit := l.maxResults
	if limit == 0 {
		limit = maxPage
	}
	for _, one := range all {
		if k.id(one) <= after || (len(l.ids) > 0 && !slices.Contains(l.ids, k.id(one))) || !k.matches(one, l.filters) {
			continue
		}
		if len(page) == limit {
			return page, token(k.id(page[limit-1])), nil
		}
		page = append(page, one)
	}
	return page, "", nil
}

func (k kind[T]) check(l listing) error {
	if l.maxResults != 0 && (l.maxResults < minPage || l.maxResults > maxPage) {
		return fault.New("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", l.maxResults, minPage, maxPage)
	}
	if l.maxResults != 0 && len(l.ids) > 0 {
		return fault.New("InvalidParameterCombination", "The parameter maxResults cannot be used with explicit ids in the request.")
	}
	for _, f := range l.filters {
		if k.attributes[f.Name] == nil && f.Name != "tag-key" && !strings.HasPrefix(f.Name, "tag:") {
			return fault.New("InvalidParameterValue", "The filter '%s' is invalid", f.Name)
		}
	}
	return nil
}

func (k kind[T]) matches(one T, filters []Filter) bool {
	for _, f := range filters {
		values := k.values(one, f.Name)
		if !slices.ContainsFunc(f.Value, func(pattern string) bool {
			return slices.ContainsFunc(values, func(v string) bool { return wildcard(pattern, v) })
		}) {
			return false
		}
	}
	return true
}

func (k kind[T]) values(one T, filter string) []string {
	if attribute := k.attributes[filter]; attribute != nil {
		return attribute(one)
	}
	var values []string
	for _, t := range k.tags(one) {
		switch {
		case filter == "tag-key":
			values = append(values, t.Key)
		case filter == "tag:"+t.Key:
			values = append(values, t.Value)
		}
	}
	return values
}

// wildcard reports whether the whole of s matches the pattern: * stands for any text, ? for one character, and a
// backslash takes the meaning from the next one. It needs time linear in len(pattern)·len(s) at worst.
func wildcard(pattern, s string) bool {
	p, text := []rune(pattern), []rune(s)
	star, resume := -1, 0 // where the last * was, and how far it has eaten
	i, j := 0, 0
	for j < len(text) {
		switch {
		case i < len(p) && p[i] == '*':
			star, resume = i, j
			i++
		case i < len(p) && p[i] == '\\' && i+1 < len(p) && p[i+1] == text[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] != '\\' && (p[i] == '?' || p[i] == text[j]):
			i, j = i+1, j+1
		case star >= 0:
			resume++
			i, j = star+1, resume
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// A token is the id after which the next page begins.
func token(last string) string { return base64.RawURLEncoding.EncodeToString([]byte("v1 " + last)) }

func openToken(t string) (after string, err error) {
	if t == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(t)
	after, ok := strings.CutPrefix(string(raw), "v1 ")
	if err != nil || !ok {
		return "", fault.New("InvalidNextToken", "The specified NextToken is not valid.")
	}
	return after, nil
}

func yesNo(b bool) []string { return []string{strconv.FormatBool(b)} }
