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
		if seed || context || e.Name() == ServerFile || e.Name() == UsersFile {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// writeUsers writes the list of users, from the seeds in the directory.
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
