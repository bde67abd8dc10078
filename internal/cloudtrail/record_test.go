package cloudtrail_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keyward/internal/audit"
	trail "keyward/internal/cloudtrail"
	"keyward/internal/policy"
)

const (
	instant = "2026-03-04T05:06:07Z"
	keyID   = "1234abcd-12ab-34cd-56ef-1234567890ab"
)

var keyARN = home.Key(keyID)

// base is an event without particulars.
func base() audit.Event {
	return audit.Event{
		ID: "e1", RequestID: "r1", Time: time.Date(2026, 3, 4, 5, 6, 7, 999e6, time.UTC), Region: home.Region, Caller: alice,
		SourceIP: "192.0.2.10", UserAgent: "example", Source: "kms.amazonaws.com",
	}
}

// members takes names and values in turn.
func members(pairs ...any) (m audit.Members) {
	for i := 0; i < len(pairs); i += 2 {
		m.Add(pairs[i].(string), pairs[i+1])
	}
	return m
}

// head and tail are what all calls of Alice's have in common.
const (
	head = `{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::111122223333:user/Alice",` +
		`"accountId":"111122223333","accessKeyId":"AKIAEXAMPLE","userName":"Alice"},"eventTime":"` + instant + `",`
	tail = `"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"`
)

func TestRender(t *testing.T) {
	about := []audit.Resource{{Type: "AWS::KMS::Key", ARN: keyARN}}
	resources := `"resources":[{"accountId":"111122223333","type":"AWS::KMS::Key","ARN":"` + keyARN + `"}],`
	for name, c := range map[string]struct {
		change func(*audit.Event)
		want   string
	}{
		"read with a refusal, as the key stores' guide shows it": {func(e *audit.Event) {
			e.Name, e.ReadOnly, e.Resources = "Decrypt", true, about
			e.ErrorCode, e.ErrorMessage = "KMSInvalidStateException", keyARN+" is unavailable."
			e.Request = members("encryptionAlgorithm", "SYMMETRIC_DEFAULT", "keyId", keyARN)
			e.Response = members("keyId", "what was not done")
			e.Additional = members("customKeyStoreId", "cks-1", "backingKey", `{"backingKeyId":"1a2b3c"}`)
		}, head + `"eventSource":"kms.amazonaws.com","eventName":"Decrypt","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"example",` +
			`"errorCode":"KMSInvalidStateException","errorMessage":"` + keyARN + ` is unavailable.",` +
			`"requestParameters":{"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"` + keyARN + `"},"responseElements":null,` +
			`"additionalEventData":{"customKeyStoreId":"cks-1","backingKey":"{\"backingKeyId\":\"1a2b3c\"}"},` +
			`"requestID":"r1","eventID":"e1","readOnly":true,` + resources + tail + `}`},
		"no key": {func(e *audit.Event) { e.Name, e.ReadOnly = "ListKeys", true },
			head + `"eventSource":"kms.amazonaws.com","eventName":"ListKeys","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"example",` +
				`"requestParameters":null,"responseElements":null,"requestID":"r1","eventID":"e1","readOnly":true,"resources":[],` + tail + `}`},
		"key store": {func(e *audit.Event) {
			e.Name = "CreateCustomKeyStore"
			e.Request = members("customKeyStoreName", "x", "clusterId", "cluster-1")
			e.Response = members("customKeyStoreId", "cks-1")
		}, head + `"eventSource":"kms.amazonaws.com","eventName":"CreateCustomKeyStore","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"example",` +
			`"requestParameters":{"customKeyStoreName":"x","clusterId":"cluster-1"},"responseElements":{"customKeyStoreId":"cks-1"},` +
			`"requestID":"r1","eventID":"e1","readOnly":false,` + tail + `}`},
		"times, and TLS": {func(e *audit.Event) {
			e.Name, e.Source = "CreateCluster", "cloudhsm.amazonaws.com"
			e.Response = members("cluster", members("createTimestamp", time.Date(2021, 10, 14, 17, 39, 50, 0, time.UTC)))
			e.TLS = &audit.TLS{Version: "TLSv1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Host: "localhost:4766", KeyExchange: "X25519MLKEM768"}
		}, head + `"eventSource":"cloudhsm.amazonaws.com","eventName":"CreateCluster","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.10","userAgent":"example",` +
			`"requestParameters":null,"responseElements":{"cluster":{"createTimestamp":"Oct 14, 2021, 5:39:50 PM"}},"requestID":"r1","eventID":"e1","readOnly":false,` +
			tail + `,"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"localhost:4766","keyExchange":"X25519MLKEM768"}}`},
		"service event": {func(e *audit.Event) {
			e.Name, e.RequestID, e.SourceIP, e.UserAgent, e.Resources = "RotateKey", "", "AWS Internal", "AWS Internal", about
			e.Caller = policy.Caller{Type: audit.ServiceCaller, Account: home.Account}
			e.Details = members("rotationType", "AUTOMATIC", "keyId", keyID)
		}, `{"eventVersion":"1.11","userIdentity":{"accountId":"111122223333","invokedBy":"AWS Internal"},"eventTime":"` + instant + `",` +
			`"eventSource":"kms.amazonaws.com","eventName":"RotateKey","awsRegion":"us-east-1","sourceIPAddress":"AWS Internal","userAgent":"AWS Internal",` +
			`"requestParameters":null,"responseElements":null,"eventID":"e1","readOnly":false,` + resources +
			`"eventType":"AwsServiceEvent","managementEvent":true,"recipientAccountId":"111122223333",` +
			`"serviceEventDetails":{"rotationType":"AUTOMATIC","keyId":"` + keyID + `"},"eventCategory":"Management"}`},
	} {
		e := base()
		c.change(&e)
		if diff := cmp.Diff(c.want, string(rendered(t, &e))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func rendered(t testing.TB, e *audit.Event) []byte {
	t.Helper()
	line, err := e.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := trail.Render(line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRenderTakesWhateverIsKept: an event that could not be rendered would hold up all that come after it.
func TestRenderTakesWhateverIsKept(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		e := base()
		e.Name = "Encrypt"
		e.UserAgent, e.ErrorMessage = rapid.String().Draw(r, "agent"), rapid.String().Draw(r, "message")
		for range rapid.IntRange(0, 3).Draw(r, "members") {
			e.Request.Add(rapid.SampledFrom([]string{"keyId", "a", "\xff", "\xfe"}).Draw(r, "name"), rapid.MapOf(rapid.String(), rapid.String()).Draw(r, "map"))
		}
		e.Response.Add("x", []string{rapid.String().Draw(r, "bytes"), string(rapid.SliceOf(rapid.Byte()).Draw(r, "raw"))})
		var back struct{ EventID, UserAgent string }
		if err := json.Unmarshal(rendered(t, &e), &back); err != nil || back.EventID != "e1" {
			r.Fatalf("%v %+v", err, back)
		}
		if want := strings.ToValidUTF8(e.UserAgent, "\ufffd"); back.UserAgent != want && strings.ContainsRune(back.UserAgent, '\n') {
			r.Fatalf("%q became %q", e.UserAgent, back.UserAgent)
		}
	})
}

func TestRenderLeavesOutWhatIsTooLong(t *testing.T) {
	e := base()
	e.Request.Add("policy", strings.Repeat("x", 101<<10))
	e.Additional.Add("note", strings.Repeat("x", 29<<10))
	var back struct{ RequestParameters, AdditionalEventData map[string]any }
	if err := json.Unmarshal(rendered(t, &e), &back); err != nil {
		t.Fatal(err)
	}
	if back.RequestParameters["omitted"] != true || back.AdditionalEventData["omitted"] != true {
		t.Errorf("%v", back)
	}
}
