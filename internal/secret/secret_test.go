package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func TestPrintsNothing(t *testing.T) {
	s := FromString("hunter2hunter2")
	holder := struct{ Password Bytes }{s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", &holder)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("login", "password", s, "in", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("login", "password", s, "in", holder)
	for _, form := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprint([]byte("hunter2"))[1:20]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("secret came out as %q:\n%s", form, out.String())
		}
	}
}

func TestIsNotMarshalled(t *testing.T) {
	s := FromString("hunter2hunter2")
	if _, err := json.Marshal(struct{ P Bytes }{s}); !errors.Is(err, ErrNotMarshalled) {
		t.Errorf("json: %v", err)
	}
	if err := gob.NewEncoder(&bytes.Buffer{}).Encode(s); !errors.Is(err, ErrNotMarshalled) {
		t.Errorf("gob: %v", err)
	}
	if _, err := cbor.Marshal(struct{ P Bytes }{s}); !errors.Is(err, ErrNotMarshalled) {
		t.Errorf("cbor: %v", err)
	}
}

func TestEqualAndWipe(t *testing.T) {
	a, b := FromString("abcdefg"), FromString("abcdefg")
	if !a.Equal(b) || a.Equal(FromString("abcdefh")) || a.Equal(FromString("abc")) {
		t.Error("Equal is wrong")
	}
	copied := a
	a.Wipe()
	if copied.Equal(b) {
		t.Error("a copy survived Wipe")
	}
}
