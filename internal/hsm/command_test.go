package hsm

import (
	"bytes"
	"testing"
)

// every is one command of each type.
func every() []Command {
	return []Command{
		&Activate{}, &LoginFailed{}, &OpenSession{Session: Session{ID: "a", Client: make([]byte, ClientSize)}}, &CloseSession{},
		&CloseSessionsOf{}, &ForgetHsm{}, &CreateUser{}, &DeleteUser{}, &ChangePassword{},
		&GenerateKey{Set: map[string]bool{"encrypt": true}}, &DeleteKey{}, &Initialize{},
		&FollowMembership{Epoch: 1},
	}
}

func TestCommandsSurviveEncoding(t *testing.T) {
	for _, c := range every() {
		data, err := EncodeCommand(c)
		if err != nil {
			t.Fatalf("%T: %v", c, err)
		}
		back, err := DecodeCommand(data)
		if err != nil {
			t.Fatalf("%T: %v", c, err)
		}
		again, err := EncodeCommand(back)
		if err != nil || !bytes.Equal(data, again) {
			t.Errorf("%T became %T, %v", c, back, err)
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range every() {
		data, err := EncodeCommand(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeCommand(data)
		if err != nil {
			return
		}
		m := New()
		m.Apply(&Activate{})
		m.Apply(c) // whatever decodes must not break the machine
		snapshot, err := m.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(snapshot); err != nil {
			t.Fatalf("after %T: %v", c, err)
		}
	})
}
