// Package keys makes the nkeys of the users of a fleet on NATS, and the configuration of a
// NATS server that grants each of them the rights that it needs and no others.
//
// A directory holds a seed for each user and two files for the server: its configuration,
// which users may edit, and the list of users, which the configuration includes and which
// is rewritten from the seeds with each change.
package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ndmon/ndmon/schemas/process"
)

// Names of files in the directory.
const (
	ServerFile = "nats-server.conf"
	UsersFile  = "users.conf"
	seedSuffix = ".nk"
	// contextSuffix is the suffix of contexts of the command nats.
	contextSuffix = ".json"
)

// Server is the configuration of the server besides its users. Its paths are paths on the
// server.
type Server struct {
	// Data is the directory of what the server stores.
	Data string
	// Cert and Key, if set, are files for TLS.
	Cert, Key string
	// CA, if set, is a file with the authorities of client certificates. Clients must have
	// one then.
	CA string
}

// Client is how the fleet's users reach the server.
type Client struct {
	// URL is the server's.
	URL string
	// CA, if set, is a file with the authorities of the server's certificate.
	CA string
}

// Defaults of Client.URL and Server.Data.
const (
	DefaultURL  = "nats://127.0.0.1:4222"
	DefaultData = "/var/lib/nats-server"
)

func (s Server) check() error {
	switch {
	case s.Data == "":
		return errors.New("--data: is empty: use a directory")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("--tls-cert, --tls-key: need each other")
	case s.CA != "" && s.Cert == "":
		return errors.New("--tls-ca: needs --tls-cert and --tls-key; it is for client certificates")
	}
	for _, path := range []string{s.Data, s.Cert, s.Key, s.CA} {
		if !printable(path) {
			return fmt.Errorf("%q is not a path of printable characters", path)
		}
	}
	return nil
}

// maxHost bounds the name of a host, in bytes, because it is part of a file name.
const maxHost = 200

func checkHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("--hosts: needs the names of the hosts with sensors and pingers, such as r1,r2")
	}
	for _, host := range hosts {
		if host == "" || len(host) > maxHost || !printable(host) || strings.Contains(host, "/") {
			return fmt.Errorf("--hosts: %q is not a name of printable characters without /, at most %d bytes", host, maxHost)
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Init makes the directory with the server's configuration and a seed for each role and
// host. If the directory has such files, Init returns an error, or with force replaces
// them: the old seeds no longer work then. Faults of the arguments are a
// process.UsageError.
func Init(dir string, hosts []string, s Server, c Client, force bool) error {
	if err := errors.Join(checkHosts(hosts), s.check(), c.check()); err != nil {
		return process.UsageError{Err: err}
	}
	if err := makeDirectory(dir); err != nil {
		return err
	}
	ours, err := ours(dir)
	if err != nil {
		return err
	}
	if len(ours) > 0 && !force {
		return fmt.Errorf("%s already has keys (%s): ndmon keys add is for more hosts, --force replaces all keys", dir, filepath.Base(ours[0]))
	}
	for _, path := range ours {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("replace the keys: %w", err)
		}
	}
	if err := create(filepath.Join(dir, ServerFile), serverConfig(s)); err != nil {
		return err
	}
	var users []user
	for _, role := range single {
		users = append(users, user{role: role})
	}
	return addUsers(dir, append(users, usersOf(hosts)...), c)
}

// Add makes the seeds of more hosts. A host that has one is an error.
func Add(dir string, hosts []string) error {
	if err := checkHosts(hosts); err != nil {
		return process.UsageError{Err: err}
	}
	if err := checkKeys(dir); err != nil {
		return err
	}
	users := usersOf(hosts)
	for _, u := range users {
		if _, err := os.Lstat(u.seedFile(dir)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s already exists: ndmon keys remove removes the keys of a host", u.seedFile(dir))
		}
	}
	client, err := readClient(dir)
	if err != nil {
		return err
	}
	return addUsers(dir, users, client)
}

// Remove removes the keys of hosts.
func Remove(dir string, hosts []string) error {
	if err := checkHosts(hosts); err != nil {
		return process.UsageError{Err: err}
	}
	if err := checkKeys(dir); err != nil {
		return err
	}
	users := usersOf(hosts)
	for _, u := range users {
		if _, err := os.Lstat(u.seedFile(dir)); err != nil {
			return fmt.Errorf("remove the keys of %s: %w", u.host, err)
		}
	}
	for _, u := range users {
		for _, path := range []string{u.seedFile(dir), u.contextFile(dir)} {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove the keys of %s: %w", u.host, err)
			}
		}
	}
	return writeUsers(dir)
}
