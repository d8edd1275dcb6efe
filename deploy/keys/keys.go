// Package keys makes the nkeys of the users of a fleet on NATS, and the configuration of a
// NATS server that grants each of them the rights that it needs and no others.
//
// A directory holds a seed for each user and two files for the server: its configuration,
// which users may edit, and the list of users, which the configuration includes and which
// is rewritten from the seeds with each change. For a cluster, each server has a directory
// in it with these two files, and certificates.
package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ndmon/ndmon/schemas/process"
)

// maxHost bounds the name of a host, in bytes, because it is part of a file name.
const maxHost = 200

// Hosts are hosts of a fleet.
type Hosts struct {
	// Thin have a sensor and a pinger, Edges an ndmon that reports to a hub.
	Thin, Edges []string
}

func (h Hosts) check() error {
	if len(h.Thin)+len(h.Edges) == 0 {
		return errors.New("--hosts, --edges: one of them is needed, with the names of hosts, such as r1,r2")
	}
	check := func(option string, hosts []string) error {
		for _, host := range hosts {
			if host == "" || len(host) > maxHost || !printable(host) || strings.Contains(host, "/") {
				return fmt.Errorf("%s: %q is not a name of printable characters without /, at most %d bytes", option, host, maxHost)
			}
		}
		return nil
	}
	return errors.Join(check("--hosts", h.Thin), check("--edges", h.Edges))
}

// Init makes the directory with the configuration of the server, or of each server of a
// cluster, and a seed for each role and host. If the directory has such files, Init returns an
// error, or with force replaces them: the old seeds no longer work then. Faults of the
// arguments are a process.UsageError.
func Init(dir string, hosts Hosts, s Server, c Client, force bool) error {
	if err := errors.Join(hosts.check(), s.check(), c.check()); err != nil {
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
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("replace the keys: %w", err)
		}
	}
	if err := s.write(dir); err != nil {
		return err
	}
	if len(s.Cluster) > 0 && c.URL == DefaultURL {
		c.URL = strings.Join(s.urls(clientPort), ",")
	}
	if len(s.Cluster) > 0 && c.CA == "" && s.Cert == "" {
		c.CA = filepath.Join(dir, caFile)
	}
	var users []user
	for _, role := range single {
		users = append(users, user{role: role})
	}
	return addUsers(dir, append(users, usersOf(hosts)...), c)
}

// Add makes the seeds of more hosts. A host that has one is an error. It also makes the seeds of roles that are newer than the
// directory.
func Add(dir string, hosts Hosts) error {
	if err := hosts.check(); err != nil {
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
	for _, role := range single {
		u := user{role: role}
		if _, err := os.Lstat(u.seedFile(dir)); errors.Is(err, fs.ErrNotExist) {
			users = append(users, u)
		}
	}
	client, err := readClient(dir)
	if err != nil {
		return err
	}
	return addUsers(dir, users, client)
}

// Remove removes the keys of hosts.
func Remove(dir string, hosts Hosts) error {
	if err := hosts.check(); err != nil {
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

// addUsers makes the seeds and contexts of users and adds them to the list of users.
func addUsers(dir string, users []user, c Client) error {
	for _, u := range users {
		key, err := makeSeed(u.seedFile(dir))
		if err != nil {
			return err
		}
		u.key = key
		if u.role == Edge {
			continue // nats cannot use its key, which is for leaf nodes
		}
		if err := writeContext(dir, u, c); err != nil {
			return err
		}
	}
	return writeUsers(dir)
}
