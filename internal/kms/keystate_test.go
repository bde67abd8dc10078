package kms

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"keyward/internal/arn"
	"keyward/internal/fault"
)

func TestTableIsWhatTheCSVSays(t *testing.T) {
	out := filepath.Join(t.TempDir(), "table.go")
	if text, err := exec.Command("go", "run", "./statetable", "key-states.csv", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("keystate_table.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("keystate_table.go is stale: run go generate")
	}
}

func TestPermitByOrigin(t *testing.T) {
	k := &Key{Scope: arn.Scope{Account: "111122223333", Region: "us-east-1"}, ID: "k", Origin: types.OriginTypeAwsCloudhsm}
	err := permit("EnableKeyRotation", k, types.KeyStateDisabled)
	if !fault.Is(err, "UnsupportedOperationException") { // the origin counts before the state
		t.Error(err)
	}
	k.Origin = types.OriginTypeAwsKms
	if err := permit("EnableKeyRotation", k, types.KeyStateDisabled); !fault.Is(err, "DisabledException") {
		t.Error(err)
	}
	if err := permit("Nonsense", k, types.KeyStateEnabled); err == nil {
		t.Error("an operation that the table does not know was permitted")
	}
}
