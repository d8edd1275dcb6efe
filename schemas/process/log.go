package process

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

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
