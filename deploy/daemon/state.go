package daemon

import (
	"os"
	"path/filepath"
)

// StateDirectory returns the default directory of what ndmon stores: /var/lib/ndmon
// for root, otherwise one of the user (XDG Base Directory Specification,
// XDG_STATE_HOME).
func StateDirectory() string {
	if os.Geteuid() == 0 {
		return "/var/lib/ndmon"
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ndmon")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = os.TempDir()
	}
	return filepath.Join(home, ".local", "state", "ndmon")
}
