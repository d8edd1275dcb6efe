package process

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// reserve is the most that is left of a limit for memory outside the Go runtime, such as
// the pages of the program, in bytes. It is also at most a quarter of the limit.
const reserve = 32 << 20

// LimitMemory makes the garbage collector keep the process within the memory limit of its
// cgroup, unless GOMEMLIMIT sets another limit. It returns the limit in bytes, 0 for none.
func LimitMemory() int64 {
	// An error means that there is no cgroup or no limit.
	memlimit.SetGoMemLimitWithOpts(memlimit.WithRatio(1), memlimit.WithProvider(func() (uint64, error) {
		limit, err := memlimit.FromCgroup()
		return limit - min(limit/4, reserve), err
	}))
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// WithinMemory returns the value of the setting of a variable. If the variable is not set,
// the value is at most share, which is a part of the result of LimitMemory (0: no limit),
// but not below least.
func WithinMemory(variable string, value, share, least int) int {
	if _, given := os.LookupEnv(variable); given || share == 0 {
		return value
	}
	return min(value, max(share, least))
}

// LevelTrace is below slog's levels: everything, including what happens to each frame.
const LevelTrace = slog.LevelDebug - 4

// LogLevels are the names of the log levels, which are those of NS-Monitor.
func LogLevels() []string { return []string{"error", "warn", "info", "debug", "trace"} }

// ParseLevel reads the name of a log level.
func ParseLevel(s string) (slog.Level, error) {
	levels := []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, LevelTrace}
	if i := slices.Index(LogLevels(), strings.ToLower(s)); i >= 0 {
		return levels[i], nil
	}
	return 0, fmt.Errorf("%q is not a level: use error, warn, info, debug or trace", s)
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

// versionLine describes the build of the program with this name: its version, Git
// commit, Go release and platform.
func versionLine(name string) string {
	v, commit := build()
	return fmt.Sprintf("%s %s, commit %s, %s %s/%s", name, v, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
