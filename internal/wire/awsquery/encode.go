package awsquery

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/middleware"

	"keyward/internal/fault"
)

// Dialect is one of the two families of the protocol.
type Dialect struct {
	// Namespace is the xmlns of responses.
	Namespace string
	// Version is the API version that requests name.
	Version string
	// EC2 selects EC2's envelopes and its <item> lists.
	EC2 bool
}

// STS is the dialect of the security token service.
var STS = Dialect{Namespace: "https://sts.amazonaws.com/doc/2011-06-15/", Version: "2011-06-15"}

// IAM is the dialect of IAM.
var IAM = Dialect{Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Version: "2010-05-08"}

// EC2 is the dialect of EC2.
var EC2 = Dialect{Namespace: "http://ec2.amazonaws.com/doc/2016-11-15/", Version: "2016-11-15", EC2: true}

const header = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// Encode writes the success answer of action. out is a pointer to a struct, or nil for an action that returns nothing.
func (d Dialect) Encode(action, requestID string, out any) ([]byte, error) {
	w := &writer{item: "member"}
	w.WriteString(header + "<" + action + `Response xmlns="` + d.Namespace + `">`)
	if d.EC2 {
		w.item = "item"
		w.text("requestId", requestID)
		if err := w.body(out, "<return>true</return>"); err != nil {
			return nil, err
		}
	} else {
		if out != nil {
			w.WriteString("<" + action + "Result>")
			if err := w.body(out, ""); err != nil {
				return nil, err
			}
			w.WriteString("</" + action + "Result>")
		}
		w.WriteString("<ResponseMetadata>")
		w.text("RequestId", requestID)
		w.WriteString("</ResponseMetadata>")
	}
	w.WriteString("</" + action + "Response>")
	return w.Bytes(), nil
}

// Error writes a refusal.
func (d Dialect) Error(requestID string, f *fault.Error) []byte {
	w := &writer{}
	w.WriteString(header)
	if d.EC2 {
		w.WriteString("<Response><Errors><Error>")
		w.text("Code", f.Code)
		w.text("Message", f.Message)
		w.WriteString("</Error></Errors>")
		w.text("RequestID", requestID)
		w.WriteString("</Response>")
		return w.Bytes()
	}
	side := "Sender"
	if f.HTTPStatus() >= 500 {
		side = "Receiver"
	}
	w.WriteString(`<ErrorResponse xmlns="` + d.Namespace + `"><Error>`)
	w.text("Type", side)
	w.text("Code", f.Code)
	w.text("Message", f.Message)
	w.WriteString("</Error>")
	w.text("RequestId", requestID)
	w.WriteString("</ErrorResponse>")
	return w.Bytes()
}

type writer struct {
	bytes.Buffer
	item string // name of a list's elements
}

func (w *writer) text(name, value string) {
	w.WriteString("<" + name + ">")
	w.escape(value)
	w.WriteString("</" + name + ">")
}

// escape replaces what XML cannot hold; writing to a buffer does not fail.
func (w *writer) escape(s string) { _ = xml.EscapeText(&w.Buffer, []byte(s)) }

func (w *writer) body(out any, void string) error {
	v := reflect.ValueOf(out)
	if out == nil || v.IsNil() {
		w.WriteString(void)
		return nil
	}
	return w.structure(v.Elem())
}

// metadataType is what the SDK adds to every output: it never travels.
var metadataType = reflect.TypeFor[middleware.Metadata]()

func (w *writer) structure(v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == metadataType {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		if err := w.element(name, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) element(name string, v reflect.Value) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice && v.IsNil() {
		return nil
	}
	w.WriteString("<" + name + ">")
	if err := w.content(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.WriteString("</" + name + ">")
	return nil
}

func (w *writer) content(v reflect.Value) error {
	switch {
	case v.Type() == timeType:
		w.WriteString(v.Interface().(time.Time).UTC().Format("2006-01-02T15:04:05.000Z"))
	case v.Kind() == reflect.Struct:
		return w.structure(v)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		w.WriteString(base64.StdEncoding.EncodeToString(v.Bytes()))
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if err := w.element(w.item, v.Index(i)); err != nil {
				return err
			}
		}
	case v.Kind() == reflect.String:
		w.escape(v.String())
	case v.Kind() == reflect.Bool:
		w.WriteString(strconv.FormatBool(v.Bool()))
	case v.CanInt():
		w.WriteString(strconv.FormatInt(v.Int(), 10))
	default:
		return fmt.Errorf("awsquery: no way to write a %s", v.Type())
	}
	return nil
}
