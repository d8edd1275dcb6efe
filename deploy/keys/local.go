package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Account is the account of the server that has the streams and all subjects.
const Account = mainAccount

// Local is the embedded server of ndmon.
type Local struct {
	// Directory holds the seed of the admin, which grants all rights to anyone who may
	// read it, and a context for the command nats. Missing files are made.
	Directory string
	// Keys, if set, is a directory of ndmon keys with the users of a fleet. Without it,
	// clients without a key may read.
	Keys string
	// Cert and Key, if set, are for TLS.
	Cert, Key string
	// NoCopy makes the server keep no copy of the alerts for readers. Clients without a
	// key can then only read stored alerts one by one, without consumers.
	NoCopy bool
}

// Config returns the configuration of the server, except where it listens and stores, and
// the file of the admin's seed.
func (l Local) Config() (config, seedFile string, err error) {
	admin, err := l.admin()
	if err != nil {
		return "", "", err
	}
	users := []user{admin}
	extra := ""
	if l.Keys != "" {
		if err := checkDirectory(l.Keys); err != nil {
			return "", "", err
		}
		fleet, err := readUsers(l.Keys)
		if err != nil {
			return "", "", err
		}
		if len(fleet) == 0 {
			return "", "", fmt.Errorf("%s has no keys, run ndmon keys init", l.Keys)
		}
		users = append(users, fleet...)
	} else {
		_, public, err := newKey()
		if err != nil {
			return "", "", err
		}
		role := guest
		if l.NoCopy {
			role = plainGuest
		}
		users = append(users, user{role: role, key: public})
		extra = "no_auth_user: " + public + "\n"
	}
	if l.Cert != "" {
		extra += fmt.Sprintf("tls { cert_file: %s, key_file: %s }\n", quote(l.Cert), quote(l.Key))
	}
	return string(accountsConfig(users)) + extra, admin.seedFile(l.Directory), nil
}

// admin returns the admin. It makes the seed if it is missing.
func (l Local) admin() (user, error) {
	admin := user{role: Admin}
	path := admin.seedFile(l.Directory)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		admin.key, err = makeSeed(path)
		return admin, err
	}
	var err error
	admin.key, err = readKey(path)
	return admin, err
}

// WriteContext writes the admin's context for the command nats into the directory, for a
// server at a URL.
func (l Local) WriteContext(url string) error {
	admin, err := l.admin()
	if err != nil {
		return err
	}
	if err := os.Remove(admin.contextFile(l.Directory)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write a context for nats: %w", err)
	}
	return writeContext(l.Directory, admin, Client{URL: url})
}
