package hsmproto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var wire []byte
		var sent []Frame
		for range rapid.IntRange(0, 5).Draw(t, "frames") {
			f := Frame{
				Call: rapid.Uint64().Draw(t, "call"), Op: Op(rapid.Uint8().Draw(t, "op")),
				Body: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "body"),
			}
			var err error
			if wire, err = AppendFrame(wire, f.Call, f.Op, f.Body); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, f)
		}
		in := bytes.NewReader(wire)
		var buf []byte
		for _, want := range sent {
			got, err := ReadFrameInto(in, buf)
			buf = got.Body
			if err != nil || got.Call != want.Call || got.Op != want.Op || !bytes.Equal(got.Body, want.Body) {
				t.Fatalf("read %+v, %v; sent %+v", got, err, want)
			}
		}
		if _, err := ReadFrame(in); err != io.EOF {
			t.Fatalf("after the last frame: %v", err)
		}
	})
}

func TestFrameLimits(t *testing.T) {
	if _, err := AppendFrame(nil, 1, OpInfo, make([]byte, MaxFrame+1)); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("sending too much: %v", err)
	}
	full, err := AppendFrame(nil, 1, OpInfo, make([]byte, MaxFrame))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFrame(bytes.NewReader(full)); err != nil {
		t.Errorf("the largest frame: %v", err)
	}
	if _, err := ReadFrame(strings.NewReader("\xff\xff\xff\xff12345678\x01")); !errors.Is(err, ErrFrameTooLarge) {
		t.Errorf("reading too much: %v", err)
	}
	for cut := 1; cut < headerSize+3; cut++ {
		if _, err := ReadFrame(bytes.NewReader(full[:cut])); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestStrictDecoding(t *testing.T) {
	tests := map[string]string{
		"unknown member":    "\xa1\x09\x01",
		"duplicate member":  "\xa2\x01\x01\x01\x02",
		"indefinite length": "\xbf\x01\x01\xff",
		"trailing bytes":    "\xa1\x01\x01\x00",
		"tag":               "\xc1\xa1\x01\x01",
		"cut short":         "\xa1\x01",
		"nothing":           "",
	}
	for name, data := range tests {
		if err := Unmarshal([]byte(data), new(RandomRequest)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	q := new(RandomRequest)
	if err := Unmarshal([]byte("\xa1\x01\x05"), q); err != nil || q.Length != 5 {
		t.Errorf("a good request: %+v, %v", q, err)
	}
}

func FuzzReadFrame(f *testing.F) {
	seed, err := AppendFrame(nil, 7, OpEncrypt, []byte("\xa1\x01\x05"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := ReadFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		again, err := AppendFrame(nil, frame.Call, frame.Op, frame.Body)
		if err != nil || !bytes.HasPrefix(data, again) {
			t.Fatalf("%x became %x, %v", data, again, err)
		}
		for _, message := range []any{new(LoginRequest), new(CryptRequest), new(GenerateKeyRequest), new(SetMembersRequest)} {
			_ = Unmarshal(frame.Body, message) // must not panic
		}
	})
}

// serveOnce answers the requests it reads in reverse order, then closes.
func serveOnce(t *testing.T, c net.Conn, requests int) {
	var frames []Frame
	for range requests {
		f, err := ReadFrame(c)
		if err != nil {
			t.Error(err)
			return
		}
		frames = append([]Frame{f}, frames...)
	}
	var out []byte
	for _, f := range frames {
		kind, reply := KindOK, any(RandomReply{Data: f.Body})
		if f.Op == OpLogin {
			kind, reply = KindError, &Error{Code: CodeLocked}
		}
		body, err := Marshal(reply)
		if err != nil {
			t.Error(err)
			return
		}
		if out, err = AppendFrame(out, f.Call, kind, body); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Write(out); err != nil {
		t.Error(err)
	}
	_ = c.Close()
}

func TestConn(t *testing.T) {
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() { defer close(served); serveOnce(t, far, 3) }()
	conn := NewConn(near)
	defer conn.Close()
	type answer struct {
		length int
		reply  RandomReply
		err    error
	}
	answers := make(chan answer)
	for length := 1; length <= 2; length++ {
		go func() {
			a := answer{length: length}
			a.err = conn.Call(context.Background(), OpRandom, RandomRequest{Length: length}, &a.reply)
			answers <- a
		}()
	}
	if err := conn.Call(context.Background(), OpLogin, Empty{}, nil); !errors.Is(err, &Error{Code: CodeLocked}) {
		t.Errorf("a refusal: %v", err)
	}
	for range 2 {
		a := <-answers
		var echoed RandomRequest
		if err := Unmarshal(a.reply.Data, &echoed); a.err != nil || err != nil || echoed.Length != a.length {
			t.Errorf("call %d was answered with %+v, %v, %v", a.length, echoed, a.err, err)
		}
	}
	<-served
	<-conn.Done()
	var lost *LostError
	if err := conn.Call(context.Background(), OpInfo, Empty{}, nil); !errors.As(err, &lost) {
		t.Errorf("after the end: %v", err)
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	conn := NewConn(near)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := conn.Call(ctx, OpInfo, Empty{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Call = %v", err)
	}
	conn.Close()
	if err := conn.Call(context.Background(), OpInfo, Empty{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
