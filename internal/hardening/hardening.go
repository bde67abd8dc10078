// Package hardening makes a process that holds keys hard to look into: no core dumps, no attaching debuggers of other
// processes, no files for others to read. It acts on the whole process and knows nothing else.
package hardening

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Process hardens the calling process: RLIMIT_CORE 0 (no core file), PR_SET_DUMPABLE 0 (no ptrace or /proc/PID/mem by
// processes of the same user, no core by pipe) and a umask of 077, because libraries that write files do not ask for
// 0600 themselves.
func Process() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("hardening: switching core files off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hardening: making the process undumpable: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
