package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// members of a request.
type members map[string]string

// answer is a response's body as it came.
type answer []byte

func (a answer) into(v any) error {
	if err := json.Unmarshal(a, v); err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	return nil
}

// refusal is an error answer of the API.
type refusal struct{ code, operation, message string }

// Error is what the AWS CLI prints.
func (r *refusal) Error() string {
	return fmt.Sprintf("An error occurred (%s) when calling the %s operation: %s", r.code, r.operation, r.message)
}

// expect is nil when err is a refusal with this code.
func expect(err error, code string) error {
	var r *refusal
	switch {
	case errors.As(err, &r) && r.code == code:
		return nil
	case err == nil:
		return fmt.Errorf("the call succeeded where %s was to be seen", code)
	default:
		return err
	}
}

// api sends signed AWS JSON requests, as the AWS CLI does, and keeps the bytes of the answer: an SDK would turn them
// into something else.
type api struct {
	cfg         Config
	credentials aws.Credentials
	signer      *v4.Signer
	http        *http.Client
}

func newAPI(cfg Config) *api {
	return &api{
		cfg:         cfg,
		credentials: aws.Credentials{AccessKeyID: cfg.AccessKeyID, SecretAccessKey: string(cfg.SecretKey.Expose())},
		signer:      v4.NewSigner(),
		http:        &http.Client{Timeout: time.Minute},
	}
}

func (a *api) do(ctx context.Context, target string, in members) (answer, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.cfg.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", target)
	hash := sha256.Sum256(body)
	if err := a.signer.SignHTTP(ctx, a.credentials, request, hex.EncodeToString(hash[:]), "kms", a.cfg.Region, time.Now()); err != nil {
		return nil, err
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, readRefusal(target, text)
	}
	return text, nil
}

func readRefusal(target string, text []byte) error {
	var body struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("an error answer that is not JSON: %w", err)
	}
	_, operation, _ := strings.Cut(target, ".")
	return &refusal{body.Type, operation, body.Message}
}
