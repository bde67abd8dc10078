package hsmproto

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawBytes(t *rapid.T, name string) []byte {
	if rapid.IntRange(0, 4).Draw(t, name+" absent") == 0 {
		return nil
	}
	size := rapid.SampledFrom([]int{0, 1, 23, 24, 255, 256, 65535, 65536}).Draw(t, name)
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, name+" byte")}, size)
}

// What is written by hand is what the general encoder writes, and is read back as it was.
func TestCryptCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := CryptRequest{
			ID: drawBytes(t, "id"), AAD: drawBytes(t, "aad"), Data: drawBytes(t, "data"),
			Reference: rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300)).Draw(t, "reference"),
			Mechanism: Mechanism(rapid.Byte().Draw(t, "mechanism")),
		}
		want, err := Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.appendBody(nil); !bytes.Equal(got, want) {
			t.Fatalf("%x is written as %x", want, got)
		}
		var back, general CryptRequest
		if err := back.Decode(want); err != nil {
			t.Fatal(err)
		}
		if err := Unmarshal(want, &general); err != nil || !reflect.DeepEqual(back, general) {
			t.Fatalf("read as %+v, generally as %+v, %v", back, general, err)
		}
		r := CryptReply{q.Data}
		want, err = Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var reply CryptReply
		if err := reply.Decode(want); err != nil || !bytes.Equal(r.appendBody(nil), want) || !reflect.DeepEqual(reply, r) {
			t.Fatalf("reply %+v is read as %+v, %v", r, reply, err)
		}
	})
}

func TestAppendMessage(t *testing.T) {
	for _, v := range []any{CryptRequest{Data: []byte("x")}, &CryptReply{[]byte("y")}, RandomRequest{7}} {
		data, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := AppendFrame([]byte("before"), 9, OpEncrypt, data)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendMessage([]byte("before"), 9, OpEncrypt, v); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%T: %x, %v; want %x", v, got, err, want)
		}
	}
	buf, err := AppendMessage([]byte("before"), 9, OpEncrypt, CryptReply{make([]byte, MaxFrame)})
	if err != ErrFrameTooLarge || string(buf) != "before" {
		t.Errorf("a message that is too large: %d bytes, %v", len(buf), err)
	}
}

// The readers are stricter than the general decoder: what they accept it accepts too, as the same message, and there is
// one way only to write it. A null id and an absent one are the exception: both mean that there is none.
func FuzzCryptCodec(f *testing.F) {
	for _, v := range []any{
		CryptRequest{ID: []byte("id"), Reference: 300, Mechanism: 2, AAD: []byte("aad"), Data: make([]byte, 300)},
		CryptRequest{}, CryptReply{}, CryptReply{make([]byte, 70000)},
	} {
		data, err := Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{0xa1, 0x01, 0x58, 0x01, 0x00})       // a length longer than it need be
	f.Add([]byte{0xa2, 0x04, 0xf6, 0x03, 0x01})       // keys out of order
	f.Add([]byte{0xbf, 0x01, 0x40, 0xff})             // indefinite length
	f.Add([]byte{0xa1, 0x05, 0x5b, 0xff, 0xff, 0xff}) // cut short
	f.Fuzz(func(t *testing.T, data []byte) {
		var q, generalQ CryptRequest
		if q.Decode(data) == nil {
			if err := Unmarshal(data, &generalQ); err != nil || !reflect.DeepEqual(q, generalQ) {
				t.Errorf("request %+v, generally %+v, %v", q, generalQ, err)
			}
		}
		var r, generalR CryptReply
		if r.Decode(data) == nil {
			if err := Unmarshal(data, &generalR); err != nil || !reflect.DeepEqual(r, generalR) || !bytes.Equal(r.appendBody(nil), data) {
				t.Errorf("reply %+v, generally %+v, %v", r, generalR, err)
			}
		}
	})
}
