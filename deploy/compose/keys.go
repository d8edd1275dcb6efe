//go:build linux

package compose

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ndmon/ndmon/deploy/keys"
)

// Where the lab's nats-server has its data, and ndlab the keys, in their
// containers.
const (
	serverData = "/data"
	keysFolder = "/keys"
)

// dealKeys makes the keys of the hosts unless they are there, and deals them out:
// each FILE:UID:FOLDER has a file of them put into a folder, for that user alone.
// A service mounts one such folder, and so has no seed but its own.
func dealKeys(hosts, deals []string) error {
	_, err := os.Stat(filepath.Join(keysFolder, keys.UsersFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = keys.Init(keysFolder, hosts, keys.Server{Data: serverData}, keys.Client{URL: keys.DefaultURL}, false)
	case err == nil:
		err = addHosts(hosts)
	}
	if err != nil {
		return err
	}
	for _, text := range deals {
		if err := deal(text); err != nil {
			return err
		}
	}
	return nil
}

// addHosts makes keys for those hosts that have none.
func addHosts(hosts []string) error {
	more := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return keys.HasHost(keysFolder, host) })
	if len(more) == 0 {
		return nil
	}
	return keys.Add(keysFolder, more)
}

func deal(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return usageError("keys: %q is not FILE:UID:FOLDER", text)
	}
	uid, err := strconv.Atoi(parts[1])
	if err != nil {
		return usageError("keys: %q: %q is not the number of a user", text, parts[1])
	}
	data, err := os.ReadFile(filepath.Join(keysFolder, parts[0]))
	if err != nil {
		return fmt.Errorf("deal out a key: %w", err)
	}
	// A new file takes the place of the old one: it is not ours any more.
	to := filepath.Join(parts[2], parts[0])
	part := to + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deal out a key: %w", err)
	}
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return fmt.Errorf("deal out a key: %w", err)
	}
	if err := os.Chown(part, uid, uid); err != nil {
		return fmt.Errorf("deal out a key: %w", err)
	}
	if err := os.Rename(part, to); err != nil {
		return fmt.Errorf("deal out a key: %w", err)
	}
	return nil
}
