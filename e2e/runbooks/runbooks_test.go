// Package runbooks executes docs/runbooks as it stands. It is apart from package e2e only because it takes minutes, and
// packages are tested side by side.
package runbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keyward/internal/keywardtest"
)

const folder = "../../docs/runbooks"

func TestMain(m *testing.M) {
	code := m.Run()
	keywardtest.Cleanup()
	os.Exit(code)
}

// page is a runbook: shell blocks, each with what it prints where the page shows that.
type page struct {
	name  string
	fresh bool // wants an installation whose store has no keys
	steps []step
}

type step struct {
	script string
	shown  string // empty: the page does not say
}

// TestRunbooks executes the rehearsals, page after page on one installation; each leaves it repaired. Pages that want
// a store without keys get an installation of their own.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	keywardtest.NeedTools(t)
	var shared *keywardtest.Installation
	dir := t.TempDir()
	for _, p := range pages(t) {
		if p.fresh {
			t.Run(p.name, func(t *testing.T) {
				p.play(t, keywardtest.Start(t, keywardtest.Options{Args: []string{"--dev"}}), t.TempDir(), "NO_KEY=1 ")
			})
			continue
		}
		if shared == nil {
			shared = keywardtest.Start(t, keywardtest.Options{Args: []string{"--dev"}})
		}
		if !t.Run(p.name, func(t *testing.T) { p.play(t, shared, dir, "") }) {
			break // the next page would start from a broken store
		}
	}
}

// pages reads the runbooks in the order of the table in their README.
func pages(t *testing.T) (all []page) {
	t.Helper()
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"README.md": true}
	for _, link := range regexp.MustCompile(`\]\(([a-z-]+\.md)\) \|`).FindAllStringSubmatch(string(index), -1) {
		listed[link[1]] = true
		all = append(all, readPage(t, link[1]))
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !listed[filepath.Base(f)] {
			t.Errorf("the index does not list %s", f)
		}
	}
	return all
}

func readPage(t *testing.T, name string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	p := page{name: name, fresh: strings.Contains(string(text), "\n<!-- installation: fresh -->\n")}
	fences := regexp.MustCompile("(?ms)^```(sh|)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	for _, f := range fences {
		switch {
		case f[1] == "sh":
			p.steps = append(p.steps, step{script: f[2]})
		case len(p.steps) > 0:
			p.steps[len(p.steps)-1].shown = f[2]
		}
	}
	if len(p.steps) == 0 {
		t.Fatalf("%s has nothing to execute", name)
	}
	return p
}

// play runs the page's blocks in one shell and compares what each printed.
func (p page) play(t *testing.T, i *keywardtest.Installation, dir, with string) {
	t.Helper()
	prelude, err := filepath.Abs(filepath.Join(folder, "prelude.sh"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	fmt.Fprintf(&script, "%ssource %s\n", with, prelude)
	for n, s := range p.steps {
		fmt.Fprintf(&script, "echo '@@ step %d'\n%s", n, s.script)
	}
	mine := *i
	mine.T = t // whose failure it is
	out := mine.Shell(dir, script.String(), "")
	for n, s := range p.steps {
		_, rest, _ := strings.Cut(out, fmt.Sprintf("@@ step %d\n", n))
		printed, _, _ := strings.Cut(rest, "@@ step")
		if s.shown != "" && !matches(s.shown, printed) {
			t.Errorf("step %d printed something else than the page shows (-page +printed):\n%s\nof\n%s", n+1, cmp.Diff(s.shown, printed), s.script)
		}
	}
}

// matches compares with "…" standing for anything within a line.
func matches(shown, printed string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(shown), "…", "[^\n]*")
	return regexp.MustCompile("^" + pattern + "$").MatchString(printed)
}
