package wire

import (
	"maps"
	"slices"
	"testing"

	"keyward/internal/wire/awsjson"
	"keyward/internal/wire/validation"
)

func TestLost(t *testing.T) {
	type losses = map[string]validation.Loss
	for body, want := range map[string]losses{
		``:                           nil,
		`null`:                       nil,
		`{"KeyId":"k"}`:              nil,
		`{"KeyId":null}`:             nil,
		`{"KeySpec":""}`:             {"keySpec": validation.Empty},
		`{"KeySpec" : "" , "A":"x"}`: {"keySpec": validation.Empty},
		`{"A":"\"\"","B":{"":1}}`:    nil,
		`{"":""}`:                    {"": validation.Empty},
		`{"L":["a",null],"M":{"a":null},"N":[[null]],"O":{"null":"null"},"P":[""]}`: {
			"l": validation.NullWithin, "m": validation.NullWithin,
		},
		`{"L":[],"M":{},"E":""}`: {"e": validation.Empty},
	} {
		if got := lost([]byte(body)); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", body, got, want)
		}
	}
}

// FuzzLost: every null that decoding turned into an empty string is noticed.
func FuzzLost(f *testing.F) {
	f.Add([]byte(`{"KeyId":"","GrantTokens":["a",null]}`))
	f.Add([]byte(`{"GrantTokens":["",{}],"Plaintext":"AA=="}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var strings struct{ GrantTokens []string }
		found := lost(body)
		if awsjson.Decode(body, &strings) != nil {
			return
		}
		var pointers struct{ GrantTokens []*string }
		if err := awsjson.Decode(body, &pointers); err != nil {
			t.Fatal(err)
		}
		if got, want := found["grantTokens"] == validation.NullWithin, slices.Contains(pointers.GrantTokens, nil); got != want {
			t.Errorf("%q: null noticed: %v, there: %v", body, got, want)
		}
	})
}
