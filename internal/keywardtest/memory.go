package keywardtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// InMemory reports whether needle stands anywhere in the readable memory of a process: heap, stacks, data and
// mappings. That is more than a heap dump holds. It needs root, since keyward's processes are not dumpable.
func InMemory(t testing.TB, pid int, needle []byte) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mem.Close() }()
	searched := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var access string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &access); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if access[0] != 'r' || to > math.MaxInt64 { // the kernel's own page at the top
			continue
		}
		found, n := inRange(mem, int64(from), int64(to), needle)
		searched += n
		if found {
			return true
		}
	}
	if searched < 1<<20 {
		t.Fatalf("only %d bytes of process %d could be read", searched, pid)
	}
	return false
}

// inRange searches a mapping in overlapping pieces and reports how much of it could be read: parts of a mapping may
// have no pages, and some mappings cannot be read at all.
func inRange(mem *os.File, from, to int64, needle []byte) (found bool, searched int) {
	const piece = 1 << 20
	buf := make([]byte, piece+len(needle))
	for at := from; at < to; at += piece {
		n, _ := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		searched += n
		if bytes.Contains(buf[:n], needle) {
			return true, searched
		}
	}
	return false, searched
}

// InFiles lists the regular files below dir that hold needle.
func InFiles(t testing.TB, dir string, needle []byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // replaced meanwhile
		}
		if bytes.Contains(content, needle) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
