package cloudhsmcli

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// silence stops a terminal from showing what is typed, until restore is called. It comes before the prompt: what a
// script types in answer to the prompt may be faster than term.ReadPassword.
func silence(fd int) (restore func(), err error) {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("reading the terminal's state: %w", err)
	}
	quiet := *state
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return nil, fmt.Errorf("switching the terminal's echo off: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, state) }, nil
}
