package wire_test

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"keyward/internal/fault"
	"keyward/internal/operation"
	"keyward/internal/wire"
)

// TestAdmissionComesBeforeValidation sends requests that are not valid either, and that leave an event all the same.
func TestAdmissionComesBeforeValidation(t *testing.T) {
	w := newWorld(t)
	service := toyKMS()
	service.Admit = func(c *operation.Call, name string) error {
		if name == "Encrypt" && c.Scope.Account == account {
			return fault.New("ThrottlingException", "Too often.")
		}
		return nil
	}
	handler, err := wire.New(wire.Config{
		Services: []operation.Service{service}, Authenticator: w.identity, Recorder: &w.journal, Now: w.now.Load().Local,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	config := w.config()
	config.BaseEndpoint = &server.URL
	client := kms.NewFromConfig(config)
	var api smithy.APIError
	_, err = client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: aws.String(""), Plaintext: []byte("x")})
	if !errors.As(err, &api) || api.ErrorCode() != "ThrottlingException" {
		t.Errorf("%v", err)
	}
	if events := w.events(); len(events) != 1 || !strings.Contains(events[0], `"errorCode":"ThrottlingException","errorMessage":"Too often."`) {
		t.Errorf("events %v", events)
	}
	if _, err := client.ListKeys(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
