// Package keywardtest runs whole installations for tests: the real binary, real HSM processes, a temporary folder. It
// is for tests only.
package keywardtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudhsmv2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// startTime bounds a start until the ready line, a first one with its example store included.
const startTime = 2 * time.Minute

// Binary builds keyward once per test process, as users build it, and returns its path.
func Binary(t testing.TB) string { return build(t, false) }

// build makes the binary with build tags ("testdoor" for example), and with the race detector where that is asked for
// and the tests have it. With it, hashing a password takes ten times as long, so few tests ask.
func build(t testing.TB, race bool, tags ...string) string {
	t.Helper()
	race = race && raceEnabled
	key := fmt.Sprint(race, tags)
	builds.Lock()
	defer builds.Unlock()
	if path := builds.made[key]; path != "" {
		return path
	}
	dir, err := os.MkdirTemp("", "keyward-binary-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "keyward")
	args := []string{"build", "-o", path, "-tags", strings.Join(tags, ",")}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/keyward")...)
	build.Dir = moduleRoot(t)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building keyward: %v\n%s", err, out)
	}
	builds.made[key] = path
	return path
}

// moduleRoot is the folder of keyward's go.mod: tests of another module, which may select other versions of libraries, run
// the same binary as all others.
func moduleRoot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "keyward").Output()
	if err != nil {
		t.Fatalf("finding keyward's module: %v", err)
	}
	return strings.TrimSpace(string(out))
}

var builds = struct {
	sync.Mutex
	made map[string]string
}{made: map[string]string{}}

// Cleanup removes what Binary built; call it from TestMain.
func Cleanup() {
	builds.Lock()
	defer builds.Unlock()
	for _, path := range builds.made {
		_ = os.RemoveAll(filepath.Dir(path)) // a leftover in the temporary folder harms nobody
	}
}

// Options of Start.
type Options struct {
	Args []string // further arguments of `keyward up`
	Tags []string // build tags of the binary
	Race bool     // build the binary with the race detector, where the tests have it
	Env  []string // further environment, NAME=value
	Data string   // the data folder; a fresh temporary one if empty
}

// Installation is a running `keyward up`.
type Installation struct {
	T        testing.TB
	Binary   string
	Data     string
	Endpoint string
	options  Options
	process  *exec.Cmd
	exited   chan struct{}
	log      *os.File
	env      map[string]string
}

// Start runs `keyward up` on a fresh temporary folder and waits until it is ready. It is stopped, and its log checked
// for data races, when the test ends.
func Start(t testing.TB, o Options) *Installation {
	t.Helper()
	i := &Installation{T: t, Binary: build(t, o.Race, o.Tags...), Data: filepath.Join(t.TempDir(), "data"), options: o}
	if o.Data != "" {
		i.Data = o.Data
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "up.log"))
	if err != nil {
		t.Fatal(err)
	}
	i.log = log
	t.Cleanup(i.finish)
	i.Up()
	return i
}

// Up starts the process again after Kill or Stop. The endpoint's port may be another one.
func (i *Installation) Up() {
	i.T.Helper()
	args := append([]string{"up", "--data", i.Data, "--listen", "127.0.0.1:0"}, i.options.Args...)
	i.process = exec.Command(i.Binary, args...)
	i.process.Env = append(os.Environ(), i.options.Env...)
	i.process.Stderr = i.log
	i.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdout, err := i.process.StdoutPipe()
	if err != nil {
		i.T.Fatal(err)
	}
	if err := i.process.Start(); err != nil {
		i.T.Fatal(err)
	}
	ready := make(chan string, 1)
	i.exited = make(chan struct{})
	go func(exited chan struct{}, p *exec.Cmd) {
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			if rest, ok := strings.CutPrefix(scanner.Text(), "keyward is ready: "); ok {
				endpoint, _, _ := strings.Cut(rest, " ")
				ready <- endpoint
			}
		}
		_ = p.Wait() // killed processes end with an error; finish looks at the log
		close(exited)
	}(i.exited, i.process)
	select {
	case i.Endpoint = <-ready:
	case <-i.exited:
		i.T.Fatalf("keyward up ended before it was ready:\n%s", i.Log())
	case <-time.After(startTime):
		i.T.Fatalf("keyward up is not ready after %v:\n%s", startTime, i.Log())
	}
	i.readEnv()
}

// Kill ends `keyward up` and all its HSMs with SIGKILL, at once.
func (i *Installation) Kill() {
	i.T.Helper()
	hsms := i.HSMs()
	pids := []int{i.process.Process.Pid}
	for _, h := range hsms {
		pids = append(pids, h.PID)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			i.T.Fatal(err)
		}
	}
	<-i.exited
}

// KillUp ends only the `keyward up` process with SIGKILL.
func (i *Installation) KillUp() {
	i.T.Helper()
	if err := i.process.Process.Kill(); err != nil {
		i.T.Fatal(err)
	}
	<-i.exited
}

// Stop asks the installation to end and fails the test unless it does so with status 0.
func (i *Installation) Stop() {
	i.T.Helper()
	if err := i.process.Process.Signal(syscall.SIGTERM); err != nil {
		i.T.Fatal(err)
	}
	select {
	case <-i.exited:
	case <-time.After(30 * time.Second):
		i.T.Fatal("keyward up does not end after SIGTERM")
	}
	if code := i.process.ProcessState.ExitCode(); code != 0 {
		i.T.Errorf("keyward up ended with status %d:\n%s", code, i.Log())
	}
}

func (i *Installation) finish() {
	select {
	case <-i.exited:
	default:
		i.Stop()
	}
	log := i.Log()
	if strings.Contains(log, "DATA RACE") {
		i.T.Errorf("data race:\n%s", log)
	} else if racy := InFiles(i.T, i.Data, []byte("DATA RACE")); racy != nil {
		i.T.Errorf("data race in an HSM: see %v", racy)
	} else if i.T.Failed() {
		i.T.Logf("log of keyward up:\n%s", tail(log, 8000))
	}
	if err := i.log.Close(); err != nil {
		i.T.Error(err)
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// Log is what `keyward up` wrote to standard error.
func (i *Installation) Log() string {
	text, err := os.ReadFile(i.log.Name())
	if err != nil {
		i.T.Error(err)
	}
	return string(text)
}

// PID of `keyward up`.
func (i *Installation) PID() int { return i.process.Process.Pid }

// HSM is one running HSM process.
type HSM struct {
	ID  string
	PID int
}

// HSMs lists the HSM processes of the installation: its children, each with the HSM's id as its last argument.
func (i *Installation) HSMs() []HSM {
	i.T.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		i.T.Fatal(err)
	}
	var found []HSM
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// "pid (name) state ppid …": the name may hold anything, so count from its end.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || fields[1] != strconv.Itoa(i.PID()) {
			continue
		}
		dir := filepath.Dir(path)
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			i.T.Fatal(err)
		}
		if last := args[len(args)-1]; strings.HasPrefix(last, "hsm-") {
			found = append(found, HSM{last, pid})
		}
	}
	return found
}

func (i *Installation) readEnv() {
	i.T.Helper()
	text, err := os.ReadFile(filepath.Join(i.Data, "env"))
	if err != nil {
		i.T.Fatal(err)
	}
	i.env = map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "export "), "\n"), "=")
		if !ok {
			i.T.Fatalf("env has the line %q", line)
		}
		i.env[name] = strings.Trim(value, "'")
	}
}

// Env is the environment of a shell after `source DIR/env`, the binary's folder first on its PATH.
func (i *Installation) Env() []string {
	env := append(os.Environ(), "PATH="+filepath.Dir(i.Binary)+":"+os.Getenv("PATH"), "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true")
	for name, value := range i.env {
		env = append(env, name+"="+value)
	}
	return env
}

// Config of AWS SDK clients. Retries are off: a test wants to see each answer.
func (i *Installation) Config() aws.Config {
	return aws.Config{
		Region:       i.env["AWS_REGION"],
		BaseEndpoint: aws.String(i.Endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider(i.env["AWS_ACCESS_KEY_ID"], i.env["AWS_SECRET_ACCESS_KEY"], ""),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// KMS is a client for KMS.
func (i *Installation) KMS() *kms.Client { return kms.NewFromConfig(i.Config()) }

// CloudHSM is a client for CloudHSM v2.
func (i *Installation) CloudHSM() *cloudhsmv2.Client { return cloudhsmv2.NewFromConfig(i.Config()) }

// Shell runs a bash script in dir as after `source DIR/env`, with stdin as its input, and returns its standard
// output. It fails the test when the script does.
func (i *Installation) Shell(dir, script, stdin string) string {
	i.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", script)
	bash.Dir, bash.Env, bash.Stdin = dir, i.Env(), strings.NewReader(stdin)
	var stdout, stderr strings.Builder
	bash.Stdout, bash.Stderr = &stdout, io.MultiWriter(&stderr)
	if err := bash.Run(); err != nil {
		i.T.Fatalf("%v\n--- script\n%s\n--- stdout\n%s\n--- stderr\n%s", err, script, &stdout, &stderr)
	}
	return stdout.String()
}

// Await polls the installation, as its users do, until reached says true; it fails the test after a minute.
func (i *Installation) Await(what string, reached func() bool) {
	i.T.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			i.T.Fatal(fmt.Sprint("waited a minute for ", what))
		}
	}
}
