package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"keyward/internal/demo"
	"keyward/internal/secret"
	"keyward/internal/server"
)

// demoCommand is `keyward demo`.
type demoCommand struct {
	Data string `help:"Play on the \"up\" that runs on this folder, instead of a temporary one." env:"KEYWARD_DATA" placeholder:"DIR"`
}

// Run plays on the installation of --data, or on one of its own that it takes away afterwards.
func (c *demoCommand) Run(ctx context.Context, env Env) error {
	if c.Data != "" {
		return play(ctx, env, c.Data)
	}
	dir, err := os.MkdirTemp("", "keyward-demo-")
	if err != nil {
		return err
	}
	err = playOnOwn(ctx, env, filepath.Join(dir, "data"))
	return errors.Join(err, os.RemoveAll(dir))
}

// playOnOwn starts an installation in this process, plays on it and stops it.
func playOnOwn(ctx context.Context, env Env, data string) error {
	executable, err := hsmExecutable()
	if err != nil {
		return err
	}
	// The scenes are about failures; the log would tell them a second time.
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	_, progress := reporting(env.Stderr)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, ended := make(chan struct{}), make(chan error, 1)
	_, _ = fmt.Fprintln(env.Stdout, "Starting keyward with a cluster of two HSMs and a key store …")
	go func() {
		ended <- server.Run(ctx, server.Config{
			Data: data, Listen: "127.0.0.1:0", Region: server.DefaultRegion, Account: server.DefaultAccount,
			Executable: executable, Log: log, Progress: progress,
		}, func(string) { close(ready) })
	}()
	select {
	case err := <-ended:
		return err
	case <-ready:
	}
	err = play(ctx, env, data)
	cancel()
	return errors.Join(err, <-ended)
}

// play runs the scenes against the installation whose folder is data.
func play(ctx context.Context, env Env, data string) error {
	vars, err := readEnvironment(filepath.Join(data, "env"))
	if err != nil {
		return hinted{err, "keyward up --data " + data}
	}
	password, err := server.ReadExamplePassword(data)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return demo.Play(ctx, demo.Config{
		Endpoint: vars["AWS_ENDPOINT_URL"], Region: vars["AWS_REGION"],
		AccessKeyID: vars["AWS_ACCESS_KEY_ID"], SecretKey: secret.FromString(vars["AWS_SECRET_ACCESS_KEY"]),
		AdminPassword: password,
		StoreName:     server.ExampleStoreName,
		Out:           env.Stdout,
		HSM: func(ctx context.Context, args []string, input string) ([]byte, error) {
			shell := exec.CommandContext(ctx, self, append([]string{"cloudhsm-cli"}, args...)...)
			shell.Stdin = strings.NewReader(input)
			shell.Env = os.Environ()
			for name, value := range vars {
				shell.Env = append(shell.Env, name+"="+value)
			}
			return shell.Output() // prompts, on standard error, are part of an *exec.ExitError
		},
	})
}

// readEnvironment reads the export lines that `up` wrote.
func readEnvironment(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the installation's environment: %w", err)
	}
	vars := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			vars[name] = strings.ReplaceAll(strings.Trim(value, "'"), `'\''`, "'")
		}
	}
	return vars, nil
}
