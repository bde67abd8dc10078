// Package awsjson is the codec of the AWS JSON 1.1 protocol on the server's side: it fills the SDK's input structs and
// writes its output structs. It knows JSON and the SDK's shapes (pointers for optional members, time.Time for
// timestamps, []byte for blobs) and nothing of HTTP or of any one service.
package awsjson

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyward/internal/fault"
)

const serialization = "SerializationException"

// maxEpoch keeps timestamps where time.Time and int64 milliseconds are exact: the year 9999.
const maxEpoch = 253402300799

// reading is how requests are read: names are case-sensitive, unknown members ignored, duplicate names and invalid
// UTF-8 refused (the defaults of the library), timestamps are numbers of seconds.
var reading = json.WithUnmarshalers(json.UnmarshalFromFunc(readTime))

// Decode fills in, a pointer to a struct, from a request's body. null counts as absent, an empty body as {}. The error
// is a *fault.Error with code SerializationException.
func Decode(body []byte, in any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, in, reading); err != nil {
		return fault.New(serialization, "%s", reason(err)).Because(shape(err))
	}
	return nil
}

func readTime(d *jsontext.Decoder, t *time.Time) error {
	tok, err := d.ReadToken()
	if err != nil {
		return err
	}
	switch tok.Kind() {
	case 'n':
		*t = time.Time{}
		return nil
	case '0':
		return setEpoch(t, tok)
	default:
		return misfit(valueName(tok.Kind()) + " cannot be converted to Timestamp")
	}
}

func setEpoch(t *time.Time, tok jsontext.Token) error {
	seconds, err := tok.Float()
	if err != nil || math.Abs(seconds) > maxEpoch {
		return misfit("NUMBER_VALUE cannot be converted to Timestamp")
	}
	*t = time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()
	return nil
}

// misfit is an error of our own readers whose text is meant for the client.
type misfit string

func (m misfit) Error() string { return string(m) }

// reason is what the client reads. Malformed JSON gets no sentence, as from AWS; a wrong type is named.
func reason(err error) string {
	var own misfit
	if errors.As(err, &own) {
		return string(own)
	}
	var s *json.SemanticError
	if !errors.As(err, &s) || s.GoType == nil {
		return ""
	}
	switch s.JSONKind {
	case '{':
		return "Start of structure or map found where not expected."
	case '[':
		return "Start of list found where not expected."
	case '"', '0', 't', 'f':
		return valueName(s.JSONKind) + " cannot be converted to " + kindName(s.GoType)
	}
	return ""
}

func valueName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "STRING_VALUE"
	case '0':
		return "NUMBER_VALUE"
	case 't':
		return "TRUE_VALUE"
	case 'f':
		return "FALSE_VALUE"
	default:
		return "Structure or list"
	}
}

func kindName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		return "Timestamp"
	}
	switch t.Kind() {
	case reflect.Int32, reflect.Int64, reflect.Int:
		return "Integer"
	case reflect.Bool:
		return "Boolean"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "Blob"
		}
		return "List"
	case reflect.Map, reflect.Struct:
		return "Structure"
	default:
		return "String"
	}
}

// shape reduces err to what may be logged: where it went wrong, never the value, which may be a secret.
func shape(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		return fmt.Errorf("json: unfit value of kind %v at offset %d", semantic.JSONKind, semantic.ByteOffset)
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return fmt.Errorf("json: malformed at offset %d", syntactic.ByteOffset)
	}
	return errors.New("json: malformed")
}
