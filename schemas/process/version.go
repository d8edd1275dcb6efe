package process

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and revision are set by the linker where the build has no Git checkout, such as
// in a container, and for a release:
//
//	-ldflags "-X github.com/ndmon/ndmon/schemas/process.version=v1.2.3"
var version, revision string

// build returns the version and the Git commit of this binary. Without the linker's
// values they are those of the Go toolchain, which stamps the commit of the checkout that
// it builds in, unless -buildvcs=false is set.
func build() (v, commit string) {
	v, commit = version, revision
	info, ok := debug.ReadBuildInfo()
	if ok && v == "" {
		v = info.Main.Version
	}
	if ok && commit == "" {
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		commit = settings["vcs.revision"]
		if commit != "" && settings["vcs.modified"] == "true" {
			commit += " (modified)"
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if commit == "" {
		commit = "unknown"
	}
	return v, commit
}

// versionLine describes the build of the program with this name: its version, Git
// commit, Go release and platform.
func versionLine(name string) string {
	v, commit := build()
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", name, v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
