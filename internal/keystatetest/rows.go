package keystatetest

import (
	"encoding/csv"
	"os"
	"strings"
	"testing"
)

// row of the table.
type row struct {
	operation, state, result, code, message, origin string
}

func (r *row) name() string { return r.operation + "/" + r.state + "/" + strings.Trim(r.origin, "*") }

func read(t *testing.T, path string) []row {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]row, 0, len(lines))
	for _, l := range lines[1:] {
		rows = append(rows, row{l[0], l[1], l[2], l[3], l[4], l[5]})
	}
	return rows
}

// origins of keys that are played in a state; where the table says "*", it means all of them. Keys in external key
// stores are not served.
var origins = map[string][]string{
	"Enabled":                {"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM"},
	"Disabled":               {"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM"},
	"PendingDeletion":        {"AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM"},
	"PendingReplicaDeletion": {"AWS_KMS", "EXTERNAL"},
	"PendingImport":          {"EXTERNAL"},
	"Unavailable":            {"AWS_CLOUDHSM"},
	"Creating":               {"AWS_KMS", "EXTERNAL"},
	"Updating":               {"AWS_KMS", "EXTERNAL"},
}

// Why a row cannot be played.
const (
	noKey = "it acts on no existing key"
	noXKS = "keys of origin EXTERNAL_KEY_STORE are not served"
)

// playable are the origins with which the row is played; why says why there are none.
func (r *row) playable() (played []string, why string) {
	switch {
	case r.state == "*":
		return nil, noKey
	case r.origin == "EXTERNAL_KEY_STORE":
		return nil, noXKS
	}
	if r.origin != "*" {
		return []string{r.origin}, ""
	}
	return origins[r.state], ""
}
