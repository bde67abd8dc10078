package hsmproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// Reply kinds stand where a request has its Op.
const (
	KindOK    Op = 0x80 // the body is the operation's reply
	KindError Op = 0x81 // the body is an Error
)

// A frame is, in order: the body's length (4 bytes, big endian), the call's number chosen by the caller (8 bytes), the
// operation or reply kind (1 byte), the body. Replies may come in any order.
const headerSize = 4 + 8 + 1

// ErrFrameTooLarge is returned for a body over MaxFrame; the connection cannot be used any further.
var ErrFrameTooLarge = errors.New("hsmproto: frame too large")

// Frame is one message in its envelope.
type Frame struct {
	Call uint64
	Op   Op
	Body []byte
}

// AppendFrame appends the frame to buf.
func AppendFrame(buf []byte, call uint64, op Op, body []byte) ([]byte, error) {
	if len(body) > MaxFrame {
		return buf, ErrFrameTooLarge
	}
	return append(appendHeader(buf, len(body), call, op), body...), nil
}

func appendHeader(buf []byte, size int, call uint64, op Op) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(size))
	buf = binary.BigEndian.AppendUint64(buf, call)
	return append(buf, byte(op))
}

// ReadFrame reads one frame; its body is freshly allocated. io.EOF means that the other side closed between frames.
func ReadFrame(r io.Reader) (Frame, error) { return ReadFrameInto(r, nil) }

// ReadFrameInto is ReadFrame with the body in buf's memory where that is large enough.
func ReadFrameInto(r io.Reader, buf []byte) (Frame, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return Frame{}, err
	}
	size := binary.BigEndian.Uint32(header[:])
	if size > MaxFrame {
		return Frame{}, ErrFrameTooLarge
	}
	if uint32(cap(buf)) < size {
		buf = make([]byte, size)
	}
	f := Frame{Call: binary.BigEndian.Uint64(header[4:]), Op: Op(header[12]), Body: buf[:size]}
	if _, err := io.ReadFull(r, f.Body); err != nil {
		return Frame{}, fmt.Errorf("hsmproto: frame cut short: %w", err)
	}
	return f, nil
}

var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())
	decoder = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   8,
		MaxArrayElements:  4096,
		MaxMapPairs:       4096,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: this is a mistake in this file
	}
	return v
}

// Marshal encodes a message.
func Marshal(v any) ([]byte, error) { return encoder.Marshal(v) }

// Unmarshal decodes a message strictly.
func Unmarshal(data []byte, v any) error { return decoder.Unmarshal(data, v) }
