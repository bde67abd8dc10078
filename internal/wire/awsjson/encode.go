package awsjson

import (
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/smithy-go/middleware"
	"github.com/go-json-experiment/json/jsontext"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	metadataType = reflect.TypeFor[middleware.Metadata]()
)

// Encode returns out, a struct or a pointer to one, as AWS writes it: members in the order of the struct; nil
// pointers, slices and maps and empty strings left out; false, 0, and empty but non-nil lists written; timestamps in
// epoch seconds with at most three decimals; blobs in base64. An error means that out holds a type no SDK shape has.
func Encode(out any) ([]byte, error) { return Append(nil, out) }

// Append is Encode into b.
func Append(b []byte, out any) ([]byte, error) {
	if out == nil {
		return append(b, "{}"...), nil
	}
	v := reflect.ValueOf(out)
	w, err := writerOf(v.Type())
	if err != nil {
		return nil, err
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return append(b, "{}"...), nil
	}
	return w.write(b, v), nil
}

// writer knows how one type is written and when a member of that type is absent.
type writer struct {
	write  func([]byte, reflect.Value) []byte
	absent func(reflect.Value) bool // nil: always present
}

// writers caches by reflect.Type. Types come from the rows of operations, so there are only so many.
var writers sync.Map

func writerOf(t reflect.Type) (writer, error) {
	if w, ok := writers.Load(t); ok {
		return w.(writer), nil
	}
	w, err := compile(t)
	if err != nil {
		return writer{}, err
	}
	writers.Store(t, w)
	return w, nil
}

func isNil(v reflect.Value) bool   { return v.IsNil() }
func isEmpty(v reflect.Value) bool { return v.Len() == 0 }

func compile(t reflect.Type) (writer, error) {
	if t == timeType {
		return writer{write: writeTime}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return writer{writeString, isEmpty}, nil
	case reflect.Bool:
		return writer{write: func(b []byte, v reflect.Value) []byte { return strconv.AppendBool(b, v.Bool()) }}, nil
	case reflect.Int, reflect.Int32, reflect.Int64:
		return writer{write: func(b []byte, v reflect.Value) []byte { return strconv.AppendInt(b, v.Int(), 10) }}, nil
	case reflect.Float32, reflect.Float64:
		return writer{write: writeFloat}, nil
	case reflect.Pointer:
		return compilePointer(t)
	case reflect.Slice:
		return compileSlice(t)
	case reflect.Map:
		return compileMap(t)
	case reflect.Struct:
		return compileStruct(t)
	default:
		return writer{}, fmt.Errorf("awsjson: no way to write a %s", t)
	}
}

func compilePointer(t reflect.Type) (writer, error) {
	w, err := writerOf(t.Elem())
	if err != nil {
		return writer{}, err
	}
	return writer{func(b []byte, v reflect.Value) []byte { return w.write(b, v.Elem()) }, isNil}, nil
}

func compileSlice(t reflect.Type) (writer, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return writer{writeBlob, isNil}, nil
	}
	w, err := writerOf(t.Elem())
	if err != nil {
		return writer{}, err
	}
	return writer{func(b []byte, v reflect.Value) []byte {
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = writeElement(b, w, v.Index(i))
		}
		return append(b, ']')
	}, isNil}, nil
}

// writeElement keeps the place of an element that is nil.
func writeElement(b []byte, w writer, v reflect.Value) []byte {
	if v.Kind() != reflect.String && w.absent != nil && w.absent(v) {
		return append(b, "null"...)
	}
	return w.write(b, v)
}

func compileMap(t reflect.Type) (writer, error) {
	w, err := writerOf(t.Elem())
	if err != nil || t.Key().Kind() != reflect.String {
		return writer{}, fmt.Errorf("awsjson: no way to write a %s", t)
	}
	return writer{func(b []byte, v reflect.Value) []byte {
		keys := v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return compare(x.String(), y.String()) })
		b = append(b, '{')
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(writeString(b, k), ':')
			b = writeElement(b, w, v.MapIndex(k))
		}
		return append(b, '}')
	}, isNil}, nil
}

func compare(x, y string) int {
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

type member struct {
	writer
	index int
	label string // `"Name":`
}

func compileStruct(t reflect.Type) (writer, error) {
	var members []member
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == metadataType {
			continue
		}
		w, err := writerOf(f.Type)
		if err != nil {
			return writer{}, fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		members = append(members, member{w, i, strconv.Quote(f.Name) + ":"})
	}
	return writer{write: func(b []byte, v reflect.Value) []byte { return writeStruct(b, v, members) }}, nil
}

func writeStruct(b []byte, v reflect.Value, members []member) []byte {
	b = append(b, '{')
	first := len(b)
	for i := range members {
		m := &members[i]
		f := v.Field(m.index)
		if m.absent != nil && m.absent(f) {
			continue
		}
		if len(b) > first {
			b = append(b, ',')
		}
		b = m.write(append(b, m.label...), f)
	}
	return append(b, '}')
}

func writeString(b []byte, v reflect.Value) []byte {
	// Invalid UTF-8 is written as replacement characters; the error only says that this happened.
	b, _ = jsontext.AppendQuote(b, v.String())
	return b
}

func writeBlob(b []byte, v reflect.Value) []byte {
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, v.Bytes())
	return append(b, '"')
}

func writeFloat(b []byte, v reflect.Value) []byte {
	f := v.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, v.Type().Bits())
}

func writeTime(b []byte, v reflect.Value) []byte {
	if v.CanAddr() { // spares the copy that Interface makes
		return appendEpoch(b, v.Addr().Interface().(*time.Time).UnixMilli())
	}
	return appendEpoch(b, v.Interface().(time.Time).UnixMilli())
}

// appendEpoch writes milliseconds as seconds without trailing zeros.
func appendEpoch(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	rest := int(ms % 1000)
	if rest == 0 {
		return b
	}
	b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}
