package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"keyward/internal/durable"
	"keyward/internal/secret"
)

// ErrInUse is returned when another process serves the same data folder.
var ErrInUse = errors.New("another keyward is running on this data folder")

// lockFolder takes the installation's folder for this process. The lock ends with the process, however it ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrInUse, dir), f.Close())
	}
	return f, nil
}

// isThere reports whether path exists; any doubt is an error.
func isThere(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// environment is what a shell needs to reach the installation.
type environment struct {
	endpoint    string
	accessKeyID string
	secretKey   secret.Bytes
	region      string
	data        string
	caBundle    string // empty unless the endpoint's certificate is self-signed
}

// write makes DIR/env, the one file in the folder that holds an access key: it is for the operator to source.
func (e environment) write(path string) error {
	lines := []string{
		export("AWS_ENDPOINT_URL", e.endpoint),
		export("AWS_ACCESS_KEY_ID", e.accessKeyID),
		export("AWS_SECRET_ACCESS_KEY", string(e.secretKey.Expose())),
		export("AWS_REGION", e.region),
		export("AWS_DEFAULT_REGION", e.region),
		export("KEYWARD_DATA", e.data),
	}
	if e.caBundle != "" {
		lines = append(lines, export("AWS_CA_BUNDLE", e.caBundle))
	}
	if err := durable.WriteFile(path, []byte(strings.Join(lines, ""))); err != nil {
		return fmt.Errorf("writing the environment: %w", err)
	}
	return nil
}

// export is one line that a POSIX shell reads back to exactly value.
func export(name, value string) string {
	return "export " + name + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'\n"
}
