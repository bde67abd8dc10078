package keyward

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// storeys places every package under internal/. A package may import packages of lower storeys; those of its own
// storey only where sideways lists them. Adding a package or an arrow means editing this table in the same change.
var storeys = map[string]int{
	"arn": 1, "fault": 1, "secret": 1, "durable": 1, "clock": 1, "hardening": 1,
	"policy": 2, "audit": 2, "operation": 2, "sigv4": 2, "hsm": 2, "hsmproto": 2, "connection": 2, "xaes": 2, "quota": 2,
	"keyspec": 2, "keywrap": 2, "mldsamu": 2,
	"kms": 3, "cloudhsm": 3, "network": 3, "identity": 3, "hsmclient": 3, "cloudtrail": 3,
	"wire": 4, "storage": 4, "keystore": 4, "hsmnode": 4, "fleet": 4, "rootkey": 4, "httpserver": 4, "journal": 4,
	"command": 5, "server": 5, "demo": 5, "cloudhsmcli": 5, "rehearsal": 5,
}

// sideways lists the arrows within a storey, and why they are right.
var sideways = map[string][]string{
	"audit":     {"policy"},              // an event names its caller
	"operation": {"audit", "policy"},     // a call carries its caller and its event
	"keyspec":   {"mldsamu"},             // verifies what its library only signs
	"hsm":       {"hsmproto"},            // the machine answers in the codes and roles of the HSM's language
	"cloudhsm":  {"network"},             // clusters stand in subnets
	"storage":   {"keystore", "journal"}, // keeps the records of key stores, and events in files
	"command":   {"server", "demo", "cloudhsmcli", "rehearsal"},
	"demo":      {"server", "cloudhsmcli"},
	"server":    {"cloudhsmcli"}, // writes the example cluster's client configuration
}

// testKits may be imported by tests only, and may import anything.
var testKits = map[string]bool{"hsmtest": true, "keywardtest": true, "keystatetest": true, "bench": true}

func TestImportsGoDownwards(t *testing.T) {
	const prefix = "keyward/internal/"
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from, ok := room(p.ImportPath, prefix)
		if !ok || testKits[from] {
			continue
		}
		if storeys[from] == 0 {
			t.Errorf("%s has no storey: add it to the table", p.ImportPath)
		}
		for _, imported := range p.Imports {
			to, ok := room(imported, prefix)
			if !ok || to == from {
				continue
			}
			if testKits[to] {
				t.Errorf("%s imports the test kit %s outside tests", p.ImportPath, to)
			} else if storeys[to] > storeys[from] || storeys[to] == storeys[from] && !slices.Contains(sideways[from], to) {
				t.Errorf("%s (storey %d) imports %s (storey %d)", p.ImportPath, storeys[from], imported, storeys[to])
			}
		}
	}
}

// room is the first folder below internal/.
func room(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	name, _, _ := strings.Cut(rest, "/")
	return name, ok
}
