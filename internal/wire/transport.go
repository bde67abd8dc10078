package wire

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"keyward/internal/fault"
)

// Limits of a request.
const (
	maxBody     = 1 << 20
	readTimeout = 30 * time.Second // for a whole body
	maxPooled   = 64 << 10         // larger buffers are left to the collector
)

// buffers hold bodies while they are verified and decoded, and answers until they are sent.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// release wipes what the buffer holds, which may be plaintext or a password.
func release(buffer *[]byte) {
	clear(*buffer)
	if cap(*buffer) <= maxPooled {
		*buffer = (*buffer)[:0]
		buffers.Put(buffer)
	}
}

var errTooLarge = &fault.Error{
	Code: "RequestEntityTooLargeException", Message: "The request body must not exceed 1048576 bytes.",
	Status: http.StatusRequestEntityTooLarge,
}

// errBrokenBody has no reader, as a rule: the client went away or did not keep to its own Content-Length.
var errBrokenBody = fault.New("SerializationException", "")

// readBody fills buffer with the whole body.
func readBody(w http.ResponseWriter, r *http.Request, buffer *[]byte) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	if r.ContentLength == 0 {
		return nil
	}
	deadline(w, time.Now().Add(readTimeout))
	body := r.Body
	if r.ContentLength < 0 {
		body = http.MaxBytesReader(w, body, maxBody)
	}
	if err := fill(body, r.ContentLength, buffer); err != nil {
		// The deadline stands: what is left of the body may be read once more, to be thrown away.
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return errTooLarge
		}
		return errBrokenBody.Because(err)
	}
	// Left standing, the deadline would cancel an operation that outlasts it.
	deadline(w, time.Time{})
	return nil
}

// deadline bounds reads of the connection. Without one to bound (a test's recorder) there is nothing to wait for.
func deadline(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetReadDeadline(t)
}

// fill reads length bytes, or up to the end if length is negative.
func fill(body io.Reader, length int64, buffer *[]byte) error {
	if length >= 0 {
		if int64(cap(*buffer)) < length {
			*buffer = make([]byte, length)
		}
		*buffer = (*buffer)[:length]
		_, err := io.ReadFull(body, *buffer)
		return err
	}
	for {
		if len(*buffer) == cap(*buffer) {
			grown := make([]byte, len(*buffer), 2*cap(*buffer)+512)
			copy(grown, *buffer)
			clear(*buffer)
			*buffer = grown
		}
		n, err := body.Read((*buffer)[len(*buffer):cap(*buffer)])
		*buffer = (*buffer)[:len(*buffer)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// answer is what stands in the head of a response.
type answer struct {
	status int
	code   string // of a refusal
}

// autoLength is a size up to which net/http writes Content-Length by itself, at no cost; its buffer is 2048 bytes.
const autoLength = 1024

// What KMS sends with every response, so that no cache keeps a plaintext.
var (
	noStore = []string{"no-cache, no-store, must-revalidate, private"}
	expired = []string{"0"}
	noCache = []string{"no-cache"}
)

// send writes the response in one piece. A client that has gone is no concern of the call, which is over.
func send(w http.ResponseWriter, x *exchange, a answer, body []byte) {
	h := w.Header()
	h["x-amzn-RequestId"] = []string{x.requestID} // AWS's spelling, not Go's
	h["Cache-Control"], h["Expires"], h["Pragma"] = noStore, expired, noCache
	h["Content-Type"] = x.manner().contentType()
	if len(body) > autoLength {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	if a.code != "" && x.manner().errorHeader() {
		h["X-Amzn-ErrorType"] = []string{a.code}
	}
	if a.status == http.StatusRequestEntityTooLarge {
		h["Connection"] = []string{"close"} // the rest of the body is not read
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
}

// newIDs makes two random UUIDs (version 4): a request's and its event's.
func newIDs() (request, event string) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails; the program would have ended
	var text [2 * uuidLength]byte
	putUUID(text[:uuidLength], b[:16])
	putUUID(text[uuidLength:], b[16:])
	both := string(text[:])
	return both[:uuidLength], both[uuidLength:]
}

const uuidLength = 36

func putUUID(out, b []byte) {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	hex.Encode(out[:8], b[:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:], b[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
}
