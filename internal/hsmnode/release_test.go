//go:build !testdoor

package hsmnode

import "testing"

// Release builds have no operation beyond the protocol's.
func TestNoDoors(t *testing.T) {
	t.Parallel()
	if len(doors) != 0 {
		t.Errorf("%d hidden operations", len(doors))
	}
}
