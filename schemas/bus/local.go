package bus

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
)

// LocalData is the folder of an ndmon of one router unless it is told otherwise:
// /var/lib/ndmon for root, else one of the user's (XDG Base Directory Specification,
// XDG_STATE_HOME).
func LocalData() string {
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

// localSeed is the name of the seed in that folder, which gives all rights at the
// server of that ndmon.
const localSeed = "admin.nk"

// dialLocal connects to a server on this host with the key of its ndmon, if we may read
// that and no other key is set. It reports whether that was the way.
func dialLocal(cfg Config, opts []nats.Option) (nc *nats.Conn, ok bool) {
	if cfg.Creds != "" || cfg.NKey != "" || cfg.User != "" || cfg.Token != "" || !onThisHost(cfg.URL) {
		return nil, false
	}
	cfg.NKey = filepath.Join(LocalData(), localSeed)
	if _, err := os.Stat(cfg.NKey); errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, false
	}
	key, err := cfg.options()
	if err != nil {
		return nil, false
	}
	nc, err = nats.Connect(cfg.URL, append(key, opts...)...)
	return nc, err == nil // else it is another server's key
}

func onThisHost(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
