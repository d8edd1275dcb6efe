// Package keys makes the nkeys of a fleet's users on NATS, and the
// configuration of a nats-server that lets each of them do its work and nothing
// else.
//
// A folder holds a seed for each user and two files for the server: its
// configuration, which is its owner's once it is made, and the list of users
// that this includes, which is made anew from the seeds with each change.
package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nkeys"
	"github.com/ndmon/ndmon/schemas/process"
)

// Names in the folder.
const (
	ServerFile = "nats-server.conf"
	UsersFile  = "users.conf"
	seedSuffix = ".nk"
	// contextSuffix is that of the contexts of the command nats.
	contextSuffix = ".json"
)

// Server is what the server's configuration says beside its users. Its paths are
// such as the server opens.
type Server struct {
	// Data is the folder of what it stores.
	Data string
	// Cert and Key, if set, are for TLS.
	Cert, Key string
	// CA, if set, is of those that sign the certificates of clients, which then
	// have to show one.
	CA string
}

// Client is how the fleet's users reach the server.
type Client struct {
	// URL is the server's.
	URL string
	// CA, if set, is a file of those that sign the server's certificate.
	CA string
}

// DefaultURL is a Client's unless it is told otherwise.
const DefaultURL = "nats://127.0.0.1:4222"

// DefaultData is where the server stores what it does, unless it is told
// otherwise.
const DefaultData = "/var/lib/nats-server"

func (s Server) check() error {
	switch {
	case s.Data == "":
		return errors.New("--data: is empty, takes a folder")
	case (s.Cert == "") != (s.Key == ""):
		return errors.New("--tls-cert, --tls-key: need each other")
	case s.CA != "" && s.Cert == "":
		return errors.New("--tls-ca: needs --tls-cert and --tls-key; it is for the certificates of clients")
	}
	for _, path := range []string{s.Data, s.Cert, s.Key, s.CA} {
		if !printable(path) {
			return fmt.Errorf("%q is no path of printable characters", path)
		}
	}
	return nil
}

// maxHost leaves room in the name of a seed file.
const maxHost = 200

func checkHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("--hosts: names the hosts of the sensors and pingers, such as r1,r2")
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

// Init makes the folder with the server's configuration and a seed for each role
// and host. It refuses a folder that has something of it already unless force
// says that all of it is to be made anew: then the seeds that are there are
// worth nothing any more.
func Init(dir string, hosts []string, s Server, c Client, force bool) error {
	if err := errors.Join(checkHosts(hosts), s.check(), c.check()); err != nil {
		return process.UsageError{Err: err}
	}
	if err := makeFolder(dir); err != nil {
		return err
	}
	ours, err := ours(dir)
	if err != nil {
		return err
	}
	if len(ours) > 0 && !force {
		return fmt.Errorf("%s has keys already (%s): ndmon keys add is for more hosts, --force makes all keys anew", dir, filepath.Base(ours[0]))
	}
	for _, path := range ours {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("make the keys anew: %w", err)
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

// Add makes the seeds of more hosts. It refuses a host that has one.
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
			return fmt.Errorf("%s is there already: ndmon keys remove takes a host's keys back", u.seedFile(dir))
		}
	}
	client, err := readClient(dir)
	if err != nil {
		return err
	}
	return addUsers(dir, users, client)
}

// Remove takes the keys of hosts back.
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

// makeFolder makes the folder, which nobody else may look into.
func makeFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make the folder of the keys: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of the keys: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the folder of the keys: %w", err)
	}
	if len(entries) == 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close the folder of the keys: %w", err)
		}
	}
	return checkFolder(dir)
}

// checkFolder refuses a folder that others may look into. One with something in
// it is not ours to close.
func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look into the folder of the keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is open to others (mode %04o) and is not empty: take a new folder, or chmod 700 it", dir, info.Mode().Perm())
	}
	return nil
}

// publicKey is what a user's public key looks like.
var publicKey = regexp.MustCompile(`\bU[A-Z2-7]{55}\b`)

// checkKeys refuses a folder that cannot be added to: the list of users is made
// anew from the seeds, and must lose nobody whose seed was put elsewhere.
func checkKeys(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, UsersFile))
	if err != nil {
		return fmt.Errorf("%s has no keys yet, ndmon keys init makes them: %w", dir, err)
	}
	if !bytes.Contains(list, []byte("\naccounts {")) {
		return fmt.Errorf("%s is of an older ndmon, with all users in one account: ndmon keys init --force makes new keys and a new %s", filepath.Join(dir, UsersFile), ServerFile)
	}
	if err := checkFolder(dir); err != nil {
		return err
	}
	users, err := readUsers(dir)
	if err != nil {
		return err
	}
	for _, key := range publicKey.FindAllString(string(list), -1) {
		if !slices.ContainsFunc(users, func(u user) bool { return u.key == key }) {
			return fmt.Errorf("the seed of %s, which %s lists, is not in %s: put it back there, or take that user out of the list",
				key, UsersFile, dir)
		}
	}
	return nil
}

// ours returns the files in the folder that Init makes.
func ours(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the folder of the keys: %w", err)
	}
	var paths []string
	for _, e := range entries {
		_, seed := userOf(e.Name(), seedSuffix)
		_, context := userOf(e.Name(), contextSuffix)
		if seed || context || e.Name() == ServerFile || e.Name() == UsersFile {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// usersOf returns the users that belong to the hosts.
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

// HasHost reports whether there are keys of a host in the folder.
func HasHost(dir, host string) bool {
	_, err := os.Stat(user{role: Sensor, host: host}.seedFile(dir))
	return !errors.Is(err, fs.ErrNotExist)
}

// userOf returns the user of a file with a suffix.
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

// addUsers makes seeds and contexts and has the server know them.
func addUsers(dir string, users []user, c Client) error {
	for _, u := range users {
		key, err := makeSeed(u.seedFile(dir))
		if err != nil {
			return err
		}
		u.key = key
		if err := writeContext(dir, u, c); err != nil {
			return err
		}
	}
	return writeUsers(dir)
}

// makeSeed writes a new seed of a user and returns the public key.
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

// create writes a new file that nobody else can read.
func create(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make a file of the keys: %w", err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write a file of the keys: %w", err)
	}
	return nil
}

// writeUsers writes the list of users, those whose seeds are there.
func writeUsers(dir string) error {
	users, err := readUsers(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, UsersFile)
	part := path + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write the list of users: %w", err)
	}
	if err := create(part, usersConfig(users)); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write the list of users: %w", err)
	}
	return nil
}

// readUsers returns the users whose seeds are in the folder, in the order of
// their names.
func readUsers(dir string) ([]user, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the folder of the keys: %w", err)
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

// readKey returns the public key of a user's seed.
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
		return "", errors.Join(fmt.Errorf("%s is no seed of a user", path), err)
	}
	return key, nil
}
