package hsmproto

import (
	"encoding/binary"
	"errors"
	"math"
)

// The two messages of cryptography, and only they, are encoded by hand: reflection and copies cost as much as the
// cryptography itself. The bytes are those of the general encoder; a test and a fuzz target hold both together.

// body is a message that writes itself.
type body interface {
	// appendBody appends the message's encoding.
	appendBody(buf []byte) []byte
}

// CBOR's major types in their place in the initial byte, and null, which stands for a nil byte string.
const (
	cborUint  = 0 << 5
	cborBytes = 2 << 5
	cborMap   = 5 << 5
	cborNull  = 0xf6

	maxCryptMembers = 5
)

// ErrMalformed is the whole reason why a message of cryptography was refused.
var ErrMalformed = errors.New("hsmproto: malformed message")

func appendHead(buf []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(buf, major|byte(n))
	case n <= math.MaxUint8:
		return append(buf, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(buf, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(buf, major|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(buf, major|27), n)
	}
}

func appendBytes(buf []byte, key byte, b []byte) []byte {
	buf = append(buf, key)
	if b == nil {
		return append(buf, cborNull)
	}
	return append(appendHead(buf, cborBytes, uint64(len(b))), b...)
}

func (q CryptRequest) appendBody(buf []byte) []byte {
	members := uint64(maxCryptMembers)
	if len(q.ID) == 0 {
		members--
	}
	if q.Reference == 0 {
		members--
	}
	buf = appendHead(buf, cborMap, members)
	if len(q.ID) > 0 {
		buf = appendBytes(buf, 1, q.ID)
	}
	if q.Reference != 0 {
		buf = appendHead(append(buf, 2), cborUint, q.Reference)
	}
	buf = appendHead(append(buf, 3), cborUint, uint64(q.Mechanism))
	buf = appendBytes(buf, 4, q.AAD)
	return appendBytes(buf, 5, q.Data)
}

func (r CryptReply) appendBody(buf []byte) []byte {
	return appendBytes(append(buf, cborMap|1), 1, r.Data)
}

// reader takes a message apart; the first mistake stays.
type reader struct {
	rest []byte
	bad  bool
}

// head reads an initial byte of this major type and its argument, in the shortest form only.
func (r *reader) head(major byte) uint64 {
	if r.bad || len(r.rest) == 0 || r.rest[0]&^31 != major {
		r.bad = true
		return 0
	}
	info := r.rest[0] & 31
	r.rest = r.rest[1:]
	if info < 24 {
		return uint64(info)
	}
	size := 1 << (info - 24) // bytes, for 24 to 27
	if info > 27 || len(r.rest) < size {
		r.bad = true
		return 0
	}
	var n uint64
	for _, b := range r.rest[:size] {
		n = n<<8 | uint64(b)
	}
	r.rest = r.rest[size:]
	shortest := size == 1 && n >= 24 || size > 1 && n>>(size*4) != 0
	r.bad = !shortest
	return n
}

// bytes reads a byte string, which stays part of the message's memory.
func (r *reader) bytes() []byte {
	if !r.bad && len(r.rest) > 0 && r.rest[0] == cborNull {
		r.rest = r.rest[1:]
		return nil
	}
	n := r.head(cborBytes)
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Decode reads a request strictly: the deterministic encoding and no other. Its byte strings are parts of data.
func (q *CryptRequest) Decode(data []byte) error {
	*q = CryptRequest{}
	r := reader{rest: data}
	var last uint64
	for range min(r.head(cborMap), maxCryptMembers+1) {
		key := r.head(cborUint)
		if r.bad || key <= last {
			return ErrMalformed
		}
		switch last = key; key {
		case 1:
			q.ID = r.bytes()
		case 2:
			q.Reference = r.head(cborUint)
		case 3:
			mechanism := r.head(cborUint)
			r.bad = r.bad || mechanism > math.MaxUint8
			q.Mechanism = Mechanism(mechanism)
		case 4:
			q.AAD = r.bytes()
		case 5:
			q.Data = r.bytes()
		default:
			return ErrMalformed
		}
	}
	if r.bad || len(r.rest) > 0 {
		return ErrMalformed
	}
	return nil
}

// Decode reads a reply as CryptRequest.Decode does a request.
func (p *CryptReply) Decode(data []byte) error {
	*p = CryptReply{}
	r := reader{rest: data}
	if r.head(cborMap) != 1 || r.head(cborUint) != 1 {
		return ErrMalformed
	}
	p.Data = r.bytes()
	if r.bad || len(r.rest) > 0 {
		return ErrMalformed
	}
	return nil
}

// AppendMessage appends a frame with the encoding of v.
func AppendMessage(buf []byte, call uint64, op Op, v any) ([]byte, error) {
	b, ok := v.(body)
	if !ok {
		data, err := Marshal(v)
		if err != nil {
			return buf, err
		}
		return AppendFrame(buf, call, op, data)
	}
	start := len(buf)
	framed := b.appendBody(appendHeader(buf, 0, call, op))
	size := len(framed) - start - headerSize
	if size > MaxFrame {
		return buf, ErrFrameTooLarge
	}
	binary.BigEndian.PutUint32(framed[start:], uint32(size))
	return framed, nil
}
