package bus

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// An ndmon of one router notes where the key is that gives all rights at its server,
// for the commands that are run on the same host by those who may read it: under the
// port that it serves and its network namespace, in a folder of the run time.
func noteOf(port string) (string, error) {
	dir := os.Getenv("RUNTIME_DIRECTORY") // of systemd
	if dir == "" && os.Geteuid() == 0 {
		dir = "/run/ndmon"
	} else if user := os.Getenv("XDG_RUNTIME_DIR"); dir == "" && filepath.IsAbs(user) {
		dir = filepath.Join(user, "ndmon")
	}
	if dir == "" {
		return "", errors.New("there is no folder of the run time: XDG_RUNTIME_DIR is not set")
	}
	network, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, strings.Trim(network, "net:[]")+"-"+port), nil
}

// NoteLocalKey notes the file of the key for the server on a port until forget is
// called.
func NoteLocalKey(port int, seedFile string) (forget func(), err error) {
	note, err := noteOf(strconv.Itoa(port))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(note), 0o700)
	}
	if err == nil {
		forgetStale(filepath.Dir(note))
		err = os.WriteFile(note, []byte(seedFile), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("note where the key of the NATS server is: %w", err)
	}
	return func() { os.Remove(note) }, nil // a note that stays leads to a key that is refused
}

// forgetStale removes the notes of keys that are not there any more, of processes that
// were killed.
func forgetStale(dir string) {
	notes, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, note := range notes {
		path := filepath.Join(dir, note.Name())
		seedFile, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, err := os.Stat(string(seedFile)); errors.Is(err, os.ErrNotExist) {
			os.Remove(path) // else the next one does
		}
	}
}

// dialLocal connects to a server on this host with the key of its ndmon, if we may read
// that and no other key is set. It reports whether that was the way.
func dialLocal(cfg Config, opts []nats.Option) (nc *nats.Conn, ok bool) {
	if cfg.Creds != "" || cfg.NKey != "" || cfg.User != "" || cfg.Token != "" {
		return nil, false
	}
	port, ok := onThisHost(cfg.URL)
	if !ok {
		return nil, false
	}
	note, err := noteOf(port)
	if err != nil {
		return nil, false
	}
	seedFile, err := os.ReadFile(note)
	if err != nil {
		return nil, false
	}
	cfg.NKey = string(seedFile)
	key, err := cfg.options()
	if err != nil {
		return nil, false
	}
	nc, err = nats.Connect(cfg.URL, append(key, opts...)...)
	return nc, err == nil // else it is another server's key
}

// onThisHost reports whether a server is reached by loopback, and its port.
func onThisHost(server string) (port string, ok bool) {
	u, err := url.Parse(server)
	if err != nil {
		return "", false
	}
	ip := net.ParseIP(u.Hostname())
	return cmp.Or(u.Port(), "4222"), u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
