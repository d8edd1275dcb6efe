package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// Names of files in the directory.
const (
	ServerFile = "nats-server.conf"
	UsersFile  = "users.conf"
	seedSuffix = ".nk"
	// contextSuffix is the suffix of contexts of the command nats.
	contextSuffix = ".json"
)

// usersOf returns the users of hosts.
func usersOf(hosts []string) []user {
	hosts = slices.Compact(slices.Sorted(slices.Values(hosts)))
	var users []user
	for _, host := range hosts {
		users = append(users, user{role: Sensor, host: host}, user{role: Pinger, host: host})
	}
	return users
}

func (u user) name() string {
	if u.host == "" {
		return string(u.role)
	}
	return string(u.role) + "-" + u.host
}

func (u user) seedFile(dir string) string { return filepath.Join(dir, u.name()+seedSuffix) }

// HasHost reports whether the directory has the keys of a host.
func HasHost(dir, host string) bool {
	_, err := os.Stat(user{role: Sensor, host: host}.seedFile(dir))
	return !errors.Is(err, fs.ErrNotExist)
}

// userOf returns the user whose file with this suffix it is.
func userOf(file, suffix string) (u user, ok bool) {
	name, ok := strings.CutSuffix(file, suffix)
	if !ok || strings.HasSuffix(name, "-") {
		return u, false
	}
	role, host, _ := strings.Cut(name, "-")
	u = user{role: Role(role), host: host}
	switch u.role {
	case Sensor, Pinger:
		return u, host != ""
	}
	return u, host == "" && slices.Contains(single, u.role)
}

// makeSeed writes a new seed and returns its public key.
func makeSeed(path string) (key string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	if key, err = pair.PublicKey(); err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return key, create(path, append(seed, '\n'))
}

// create writes a new file that only its owner can read.
func create(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create a file of the keys: %w", err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write a file of the keys: %w", err)
	}
	return nil
}

// readUsers returns the users whose seeds are in the directory, sorted by name.
func readUsers(dir string) ([]user, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of the keys: %w", err)
	}
	var users []user
	for _, e := range entries {
		u, ok := userOf(e.Name(), seedSuffix)
		if !ok {
			continue
		}
		if u.key, err = readKey(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// readKey returns the public key of the seed in a file.
func readKey(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read seed: %w", err)
	}
	var key string
	pair, err := nkeys.FromSeed(bytes.TrimSpace(data))
	if err == nil {
		key, err = pair.PublicKey()
		pair.Wipe()
	}
	if err != nil || !nkeys.IsValidPublicUserKey(key) {
		return "", errors.Join(fmt.Errorf("%s is not the seed of a user", path), err)
	}
	return key, nil
}
