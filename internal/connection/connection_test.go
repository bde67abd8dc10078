package connection

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"pgregory.net/rapid"
)

// spec is section 3.2 and the background rows of 3.1, written as in the specification: one line a trigger, columns
// DISCONNECTED CONNECTING CONNECTED FAILED DISCONNECTING. "ok" stays, "-" is a success without effect, "no" is
// CustomKeyStoreInvalidStateException, "key" KMSInvalidStateException, "late" a dropped outcome, other words the state
// afterwards.
const spec = `
Connect    CONNECTING -             -             no            no
Disconnect no         DISCONNECTING DISCONNECTING DISCONNECTING no
Rename     ok         no            ok            no            no
Update     ok         no            no            no            no
Delete     GONE       no            no            no            no
Describe   ok         ok            ok            ok            ok
CreateKey  no         no            ok            no            no
Random     no         no            ok            no            no
Use        key        key           ok            key           key
Manage     ok         ok            ok            ok            ok
Succeeded  late       CONNECTED     late          late          late
Broke      late       FAILED        late          late          late
TornDown   late       late          late          late          DISCONNECTED
`

var names = []string{"Connect", "Disconnect", "Rename", "Update", "Delete", "Describe", "CreateKey", "Random", "Use",
	"Manage", "Succeeded", "Broke", "TornDown"}

var columns = []State{Disconnected, Connecting, Connected, Failed, Disconnecting}

func expected(from State, word string) Step {
	switch word {
	case "ok":
		return Step{Go, from}
	case "-":
		return Step{Nothing, from}
	case "no":
		return Step{Refuse, from}
	case "key":
		return Step{RefuseKey, from}
	case "late":
		return Step{Stale, from}
	case "GONE":
		return Step{Go, Gone}
	}
	return Step{Go, State(word)}
}

func TestTableIsTheSpecification(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(spec), "\n")
	if len(lines) != int(triggers) {
		t.Fatalf("%d lines for %d triggers", len(lines), triggers)
	}
	for trigger, line := range lines {
		words := strings.Fields(line)
		if words[0] != names[trigger] {
			t.Fatalf("line %d is %s", trigger, words[0])
		}
		for i, from := range columns {
			want := expected(from, words[i+1])
			if got := Next(from, Trigger(trigger)); got != want {
				t.Errorf("%s while %s: %+v, want %+v", words[0], from, got, want)
			}
		}
	}
}

func TestEveryStateOfAWSHasARow(t *testing.T) {
	for _, s := range types.ConnectionStateType("").Values() {
		if _, ok := table[s]; !ok {
			t.Errorf("no row for %s", s)
		}
	}
	if got := Next("SLEEPING", Connect); got.Verdict != Refuse {
		t.Errorf("an unknown state: %+v", got)
	}
	if got := Next(Connected, triggers); got.Verdict != Refuse {
		t.Errorf("an unknown trigger: %+v", got)
	}
}

// Whatever happens, a store leaves FAILED only by Disconnect and CONNECTED only by Disconnect, and DISCONNECTED means
// that it was never connected or that somebody disconnected it.
func TestOnlyTheOperatorLeavesFailedAndConnected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state := Initial
		asked := false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			trigger := Trigger(rapid.IntRange(0, int(triggers)-1).Draw(t, "trigger"))
			step := Next(state, trigger)
			if step.Verdict == Go && trigger == Disconnect {
				asked = true
			}
			if step.To != state && (state == Failed || state == Connected) && trigger != Disconnect {
				t.Fatalf("%s left by %s", state, names[trigger])
			}
			if step.To == Disconnected && state != Disconnected && !asked {
				t.Fatalf("DISCONNECTED although nobody disconnected")
			}
			if step.To == Gone {
				return
			}
			if step.To == Connecting {
				asked = false
			}
			state = step.To
		}
	})
}
