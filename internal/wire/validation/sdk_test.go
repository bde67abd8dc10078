package validation

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// free are the shapes that the model bounds in no way: any value of their type is valid. What is in the lists may have
// rules. Of SourceArnType no bounds are published.
var free = []string{
	"BooleanType", "DateType", "DryRunModifierList", "EncryptionContextType", "GrantOperationList", "NullableBooleanType",
	"SourceArnType", "TagKeyList", "TagList",
}

// sdkMembers lists the paths of all members of an input of the SDK, as the tables write them: of structures what is in
// them, of lists themselves and what is in them.
func sdkMembers(t reflect.Type, prefix string) (paths []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		path, inner := prefix+f.Name, f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice && inner != reflect.TypeFor[[]byte]() {
			paths = append(paths, path)
			path, inner = path+".N.member", inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() {
			paths = append(paths, sdkMembers(inner, path+".")...)
			continue
		}
		paths = append(paths, path)
	}
	return paths
}

// TestEveryMemberOfTheSDKIsInTheTables keeps a new version of the SDK from bringing members that nothing checks.
func TestEveryMemberOfTheSDKIsInTheTables(t *testing.T) {
	kmsTable := services["kms"]
	inputs(&kms.Client{}, func(operation string, in any) {
		known := map[string]string{}
		for _, m := range kmsTable.inputs[operation] {
			known[m.path] = m.shape
		}
		for _, path := range sdkMembers(reflect.TypeOf(in).Elem(), "") {
			shape, ok := known[path]
			if !ok {
				t.Errorf("%s: no row for %s", operation, path)
			} else if s := kmsTable.shapes[shape]; s == nil && !slices.Contains(free, shape) {
				t.Errorf("%s: %s is a %s, which has no rule and is not free", operation, path, shape)
			}
		}
	})
}

// offline fails the test's assumption that nothing is sent.
type offline struct{}

func (offline) Do(*http.Request) (*http.Response, error) {
	return nil, errors.New("a request was sent")
}

// TestRequiredMembersAreTheSDKs has the SDK refuse empty inputs by itself and compares what it misses.
func TestRequiredMembersAreTheSDKs(t *testing.T) {
	client := reflect.ValueOf(kms.New(kms.Options{
		Region: "us-east-1", HTTPClient: offline{}, RetryMaxAttempts: 1, Credentials: aws.AnonymousCredentials{},
	}))
	inputs(&kms.Client{}, func(operation string, in any) {
		answers := client.MethodByName(operation).Call([]reflect.Value{reflect.ValueOf(context.Background()), reflect.ValueOf(in)})
		var missing smithy.InvalidParamsError
		var want []string
		if err, _ := answers[1].Interface().(error); errors.As(err, &missing) {
			for _, e := range missing.Errs() {
				field := e.(interface{ Field() string }).Field()
				want = append(want, field[strings.LastIndexByte(field, '.')+1:])
			}
		}
		var got []string
		for _, m := range services["kms"].inputs[operation] {
			if m.required && !strings.Contains(m.path, ".") {
				got = append(got, m.path)
			}
		}
		sort.Strings(want)
		sort.Strings(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the SDK requires other members (-), the tables (+):\n%s", operation, diff)
		}
	})
}

// TestEnumsAreTheSDKs compares the values of every enumeration in an input.
func TestEnumsAreTheSDKs(t *testing.T) {
	inputs(&kms.Client{}, func(operation string, in any) {
		for _, m := range services["kms"].inputs[operation] {
			name, inList := strings.CutSuffix(m.path, ".N.member")
			f, ok := reflect.TypeOf(in).Elem().FieldByName(name)
			if !ok {
				continue // in a structure
			}
			enum := f.Type
			if inList {
				enum = enum.Elem()
			}
			values := reflect.Zero(enum).MethodByName("Values")
			if !values.IsValid() {
				continue
			}
			var want []string
			for list, i := values.Call(nil)[0], 0; i < list.Len(); i++ {
				want = append(want, list.Index(i).String())
			}
			var got []string
			if s := services["kms"].shapes[m.shape]; s != nil {
				got = slices.Clone(s.enum)
			}
			sort.Strings(want)
			sort.Strings(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s (%s) has other values in the SDK (-) than in the tables (+):\n%s", operation, m.path, m.shape, diff)
			}
		}
	})
}
