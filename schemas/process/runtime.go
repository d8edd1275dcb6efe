package process

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// levelOff is above slog's levels: nothing is logged.
const levelOff = slog.LevelError + 4

// LevelTrace is below slog's levels: everything, including what happens to each frame.
const LevelTrace = slog.LevelDebug - 4

// LogLevels are the names of the log levels, which are those of NS-Monitor.
func LogLevels() []string { return []string{"off", "error", "warn", "info", "debug", "trace"} }

// ParseLevel reads the name of a log level.
func ParseLevel(s string) (slog.Level, error) {
	levels := []slog.Level{levelOff, slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, LevelTrace}
	if i := slices.Index(LogLevels(), strings.ToLower(s)); i >= 0 {
		return levels[i], nil
	}
	return 0, fmt.Errorf("%q is not a level: use off, error, warn, info, debug or trace", s)
}

// NewLogger returns a logger that writes lines of text.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.LevelKey && a.Value.Any() == slog.Level(LevelTrace) {
				a.Value = slog.StringValue("TRACE")
			}
			return a
		},
	}))
}

// next is the version that the next release will have.
const next = "0.1.0"

// version and revision are set by the linker where the build has no Git checkout, such as
// in a container, and for a release:
//
//	-ldflags "-X github.com/ndmon/ndmon/schemas/process.version=v1.2.3"
var version, revision string

// build returns the version and the Git commit of this binary. Without the linker's
// values the commit is that of the checkout that the Go toolchain builds in, and the
// version is the next one: the toolchain knows no version where a workspace is built.
func build() (v, commit string) {
	v, commit = cmp.Or(version, next+"-dev"), revision
	info, ok := debug.ReadBuildInfo()
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
	return v, cmp.Or(commit, "unknown")
}

// Version returns the version of this binary.
func Version() string {
	v, _ := build()
	return v
}

// versionLine describes the build of the program with this name: its version, Git
// commit, Go release and platform.
func versionLine(name string) string {
	v, commit := build()
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", name, v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
