package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
)

// makeDirectory makes the directory, which only its owner may read.
func makeDirectory(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the directory of the keys: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the directory of the keys: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the directory of the keys: %w", err)
	}
	if len(entries) == 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("protect the directory of the keys: %w", err)
		}
	}
	return checkDirectory(dir)
}

// checkDirectory returns an error if other users may read the directory. It does not change
// the mode of a directory that has files, because they may not be ndmon's.
func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("read the directory of the keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is open to others (mode %04o) and is not empty: use a new directory, or chmod 700", dir, info.Mode().Perm())
	}
	return nil
}

// publicKey matches the public key of a user.
var publicKey = regexp.MustCompile(`\bU[A-Z2-7]{55}\b`)

// checkKeys returns an error if the directory cannot be changed: the list of users is
// rewritten from the seeds, and would lose a user whose seed was moved elsewhere.
func checkKeys(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, UsersFile))
	if err != nil {
		return fmt.Errorf("%s has no keys yet, run ndmon keys init: %w", dir, err)
	}
	if !bytes.Contains(list, []byte("\naccounts {")) {
		return fmt.Errorf("%s was made by an older ndmon, with all users in one account: ndmon keys init --force makes new keys and a new %s", filepath.Join(dir, UsersFile), ServerFile)
	}
	if err := checkDirectory(dir); err != nil {
		return err
	}
	users, err := readUsers(dir)
	if err != nil {
		return err
	}
	for _, key := range publicKey.FindAllString(string(list), -1) {
		if !slices.ContainsFunc(users, func(u user) bool { return u.key == key }) {
			return fmt.Errorf("the seed of %s, which %s lists, is not in %s: move it back, or remove that user from the list",
				key, UsersFile, dir)
		}
	}
	return nil
}

// ours returns the files in the directory that Init makes.
func ours(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of the keys: %w", err)
	}
	var paths []string
	for _, e := range entries {
		_, seed := userOf(e.Name(), seedSuffix)
		_, context := userOf(e.Name(), contextSuffix)
		if seed || context || slices.Contains([]string{ServerFile, UsersFile, caFile, caKeyFile}, e.Name()) || isServer(dir, e) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// isServer reports whether an entry of the directory is the directory of a cluster's server.
func isServer(dir string, e fs.DirEntry) bool {
	_, err := os.Lstat(filepath.Join(dir, e.Name(), ServerFile))
	return e.IsDir() && err == nil
}

// ServerFiles returns the configuration of the server, or of each server of a cluster, in a
// directory of keys.
func ServerFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory of the keys: %w", err)
	}
	var files []string
	for _, e := range entries {
		if isServer(dir, e) {
			files = append(files, filepath.Join(dir, e.Name(), ServerFile))
		}
	}
	if len(files) == 0 {
		files = []string{filepath.Join(dir, ServerFile)}
	}
	return files, nil
}

// writeUsers writes the list of users from the seeds in the directory, there and in the
// directory of each server.
func writeUsers(dir string) error {
	users, err := readUsers(dir)
	if err != nil {
		return err
	}
	files, err := ServerFiles(dir)
	if err != nil {
		return err
	}
	list := append([]byte("# ndmon keys makes this file from the seeds of the users: changes are lost.\n"), accountsConfig(users)...)
	for _, file := range files {
		if err := replace(filepath.Join(filepath.Dir(file), UsersFile), list); err != nil {
			return err
		}
	}
	// The list that checkKeys reads comes last: it has no user that a server lacks.
	return replace(filepath.Join(dir, UsersFile), list)
}

// replace writes the list of users to a file, in place of an older one.
func replace(path string, list []byte) error {
	part := path + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the list of users: %w", err)
	}
	if err := create(part, list); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write the list of users: %w", err)
	}
	return nil
}

// Names of files in the directory.
const (
	ServerFile = "nats-server.conf"
	UsersFile  = "users.conf"
	seedSuffix = ".nk"
	// contextSuffix is the suffix of contexts of the command nats.
	contextSuffix = ".json"
)

// usersOf returns the users of hosts.
func usersOf(hosts Hosts) []user {
	var users []user
	for _, host := range slices.Compact(slices.Sorted(slices.Values(hosts.Thin))) {
		users = append(users, user{role: Sensor, host: host}, user{role: Pinger, host: host})
	}
	for _, host := range slices.Compact(slices.Sorted(slices.Values(hosts.Edges))) {
		users = append(users, user{role: Edge, host: host})
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
	case Sensor, Pinger, Edge:
		return u, host != ""
	}
	return u, host == "" && slices.Contains(single, u.role)
}

// makeSeed writes a new seed and returns its public key.
func makeSeed(path string) (key string, err error) {
	pair, key, err := newKey()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	return key, create(path, append(seed, '\n'))
}

// newKey returns a new pair of keys, and its public key.
func newKey() (pair nkeys.KeyPair, public string, err error) {
	if pair, err = nkeys.CreateUser(); err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	return pair, public, nil
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

// natsContext has the fields of a context of the command nats (nats --context FILE) that
// ndmon uses.
type natsContext struct {
	Description string `json:"description"`
	URL         string `json:"url"`
	NKey        string `json:"nkey"`
	CA          string `json:"ca,omitempty"`
	InboxPrefix string `json:"inbox_prefix"`
}

// Client is how the fleet's users reach the server.
type Client struct {
	// URL is the server's, or a comma-separated list of those of a cluster. DefaultURL stands
	// for the servers of the cluster.
	URL string
	// CA, if set, is a file with the authorities of the server's certificate.
	CA string
}

// Defaults of Client.URL and Server.Data.
const (
	DefaultURL  = "nats://127.0.0.1:4222"
	DefaultData = "/var/lib/nats-server"
)

func (c Client) check() error {
	switch {
	case c.URL == "":
		return errors.New("--url: is empty: use the URL of the NATS server, such as " + DefaultURL)
	case !printable(c.URL) || !printable(c.CA):
		return fmt.Errorf("--url, --ca: %q, %q have characters that are not printable", c.URL, c.CA)
	}
	return nil
}

func (u user) contextFile(dir string) string { return filepath.Join(dir, u.name()+contextSuffix) }

// writeContext writes the context of a user whose seed is in the directory.
func writeContext(dir string, u user, c Client) error {
	seed, err := filepath.Abs(u.seedFile(dir))
	if err == nil && c.CA != "" {
		c.CA, err = filepath.Abs(c.CA)
	}
	if err != nil {
		return fmt.Errorf("write a context for nats: %w", err)
	}
	data, err := json.MarshalIndent(natsContext{"ndmon: " + u.name(), c.URL, seed, c.CA, "_INBOX." + u.key}, "", "  ")
	if err != nil {
		return fmt.Errorf("write a context for nats: %w", err)
	}
	return create(u.contextFile(dir), append(data, '\n'))
}

// readClient returns how the users of a directory reach the server.
func readClient(dir string) (Client, error) {
	path := user{role: Viewer}.contextFile(dir)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Client{URL: DefaultURL}, nil
	}
	if err != nil {
		return Client{}, fmt.Errorf("read a context for nats: %w", err)
	}
	var c natsContext
	if err := json.Unmarshal(data, &c); err != nil {
		return Client{}, fmt.Errorf("read %s: %w", path, err)
	}
	return Client{URL: c.URL, CA: c.CA}, nil
}
