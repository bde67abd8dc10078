package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/keywardtest"
)

// forged is a CreateKey request that something is wrong with.
type forged struct {
	name    string
	keyID   func(string) string
	secret  func(string) string
	at      time.Duration // when it was signed, from now
	spoil   func(*http.Request)
	code    string
	message string
}

// TestForgedRequests sends requests that must not have any effect.
func TestForgedRequests(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{Args: []string{"--empty"}})
	same := func(s string) string { return s }
	before := countKeys(t, i)
	for _, f := range []forged{
		{name: "wrong secret", keyID: same, secret: func(string) string { return strings.Repeat("x", 40) },
			code: "InvalidSignatureException", message: "The request signature we calculated does not match"},
		{name: "changed after signing", keyID: same, secret: same, spoil: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(`{"Description":"b"}`))
		}, code: "InvalidSignatureException", message: "The request signature we calculated does not match"},
		{name: "unknown access key", keyID: func(string) string { return "AKIAIOSFODNN7EXAMPLE" }, secret: same,
			code: "UnrecognizedClientException", message: "The security token included in the request is invalid."},
		{name: "old", keyID: same, secret: same, at: -6 * time.Minute, code: "InvalidSignatureException", message: "Signature expired: "},
		{name: "from the future", keyID: same, secret: same, at: 6 * time.Minute, code: "InvalidSignatureException", message: "Signature not yet current: "},
		{name: "no signature", keyID: same, secret: same, spoil: func(r *http.Request) { r.Header.Del("Authorization") },
			code: "MissingAuthenticationTokenException", message: "Missing Authentication Token"},
	} {
		t.Run(f.name, func(t *testing.T) {
			status, code, message := f.send(t, i)
			if status != http.StatusBadRequest || code != f.code || !strings.HasPrefix(message, f.message) {
				t.Errorf("%d %s: %s; want 400 %s: %s…", status, code, message, f.code, f.message)
			}
		})
	}
	if after := countKeys(t, i); after != before {
		t.Errorf("%d keys came of refused requests", after-before)
	}
}

func countKeys(t *testing.T, i *keywardtest.Installation) int {
	t.Helper()
	page, err := i.KMS().ListKeys(t.Context(), &kms.ListKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	return len(page.Keys)
}

func (f forged) send(t *testing.T, i *keywardtest.Installation) (status int, code, message string) {
	t.Helper()
	body := []byte(`{"Description":"a"}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.Endpoint+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	credentials, err := i.Config().Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	credentials = aws.Credentials{AccessKeyID: f.keyID(credentials.AccessKeyID), SecretAccessKey: f.secret(credentials.SecretAccessKey)}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, request, hex.EncodeToString(hash[:]), "kms", "us-east-1", time.Now().Add(f.at)); err != nil {
		t.Fatal(err)
	}
	if f.spoil != nil {
		f.spoil(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.Header.Get("x-amzn-RequestId") == "" {
		t.Error("the refusal has no request id")
	}
	var refusal struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}
	if err := json.NewDecoder(response.Body).Decode(&refusal); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, refusal.Type, refusal.Message
}

// TestSpoiledCiphertexts flips every bit of a ciphertext of either kind of key.
func TestSpoiledCiphertexts(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	client := i.KMS()
	ordinary, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]string{"default store": aws.ToString(ordinary.KeyMetadata.KeyId), "key store": createStoreKey(t, i)} {
		t.Run(name, func(t *testing.T) {
			context := map[string]string{"purpose": "test"}
			sealed, err := client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte("marker"), EncryptionContext: context})
			if err != nil {
				t.Fatal(err)
			}
			decrypt := func(blob []byte, context map[string]string) error {
				_, err := client.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
				return err
			}
			if err := decrypt(sealed.CiphertextBlob, context); err != nil {
				t.Fatal(err)
			}
			for bit := range 8 * len(sealed.CiphertextBlob) {
				spoiled := bytes.Clone(sealed.CiphertextBlob)
				spoiled[bit/8] ^= 1 << (bit % 8)
				if err := decrypt(spoiled, context); !isInvalidCiphertext(err) {
					t.Errorf("bit %d flipped: %v", bit, err)
				}
			}
			for _, wrong := range []map[string]string{nil, {"purpose": "Test"}, {"Purpose": "test"}, {"purpose": "test", "more": ""}} {
				if err := decrypt(sealed.CiphertextBlob, wrong); !isInvalidCiphertext(err) {
					t.Errorf("context %v: %v", wrong, err)
				}
			}
		})
	}
}

func isInvalidCiphertext(err error) bool {
	var invalid *types.InvalidCiphertextException
	return errors.As(err, &invalid) && aws.ToString(invalid.Message) == ""
}

// TestNothingLeaks uses known plaintexts and passwords, then looks for them in everything the installation wrote.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	client, owner, o := i.KMS(), owner{t, i, exampleStore(t, i).CustomKeyStoreId}, newOperator(t, i)
	markers := map[string]string{
		"plaintext": "marker-plaintext-7f3a", "kmsuser's password": "markerPswd5c1d", "wrong password": "markerWrong9e2b",
	}
	ordinary, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	var dataKeys [][]byte
	for _, key := range []string{aws.ToString(ordinary.KeyMetadata.KeyId), createStoreKey(t, i)} {
		if err := roundTrip(t.Context(), client, key, []byte(markers["plaintext"])); err != nil {
			t.Fatal(err)
		}
		made, err := client.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: &key, KeySpec: types.DataKeySpecAes256})
		if err != nil {
			t.Fatal(err)
		}
		dataKeys = append(dataKeys, made.Plaintext)
	}
	// A refusal must not echo what it refuses.
	_, err = client.Encrypt(t.Context(), &kms.EncryptInput{KeyId: ordinary.KeyMetadata.KeyId, Plaintext: []byte(strings.Repeat(markers["plaintext"], 300))})
	if err == nil || strings.Contains(err.Error(), "marker") {
		t.Errorf("an oversized plaintext: %v", err)
	}
	s := o.open()
	owner.disconnect()
	s.want(adminIn, "login --username admin --role admin", o.admin)
	s.want(kmsuserIs, "user change-password --username kmsuser --role crypto-user", markers["kmsuser's password"], markers["kmsuser's password"])
	s.want(loggedOut, "logout")
	s.want(badLogin, "login --username kmsuser --role crypto-user", markers["wrong password"])
	s.quit()
	owner.update(markers["kmsuser's password"])
	owner.connect(types.ConnectionStateTypeConnected, "")
	i.Stop()

	for n, key := range dataKeys {
		markers["data key "+string(rune('1'+n))] = string(key)
	}
	files := 0
	err = filepath.WalkDir(filepath.Dir(i.Data), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		for what, marker := range markers {
			if bytes.Contains(content, []byte(marker)) || bytes.Contains(content, []byte(hex.EncodeToString([]byte(marker)))) {
				t.Errorf("the %s stands in %s", what, path)
			}
		}
		if info, statErr := d.Info(); statErr == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil || files < 5 {
		t.Fatalf("searched %d files: %v", files, err)
	}
	if strings.Contains(i.Log(), "marker") {
		t.Error("the log shows a marker")
	}
}

// TestCoreDumpsAreOff looks at every process of an installation.
func TestCoreDumpsAreOff(t *testing.T) {
	t.Parallel()
	i := keywardtest.Start(t, keywardtest.Options{})
	pids := map[string]int{"up": i.PID()}
	for _, h := range i.HSMs() {
		pids[h.ID] = h.PID
	}
	if len(pids) != 3 {
		t.Fatalf("processes: %v", pids)
	}
	for name, pid := range pids {
		limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "limits"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && !strings.HasPrefix(strings.TrimSpace(rest), "0 ") {
				t.Errorf("%s may dump core: %s", name, line)
			}
		}
	}
}
