package command

import (
	"fmt"
	"runtime/debug"
)

// versionCommand is `keyward version`.
type versionCommand struct{}

// Run prints the module's version and the commit it was built from.
func (versionCommand) Run(env Env) error {
	version, commit := "(devel)", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	_, err := fmt.Fprintf(env.Stdout, "keyward %s%s\n", version, commit)
	return err
}
