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

// The folders of the nats-server's data and of the keys in their containers.
const (
	serverData = "/data"
	keysFolder = "/keys"
)

// distributeKeys makes the missing keys of the hosts, and copies the file of each
// FILE:UID:FOLDER to the folder, readable only by the user. A service mounts one such
// folder, so it has no other seed than its own.
func distributeKeys(hosts, copies []string) error {
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
	for _, text := range copies {
		if err := distribute(text); err != nil {
			return err
		}
	}
	return nil
}

// addHosts makes the keys of hosts that have none.
func addHosts(hosts []string) error {
	more := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return keys.HasHost(keysFolder, host) })
	if len(more) == 0 {
		return nil
	}
	return keys.Add(keysFolder, more)
}

func distribute(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return usageError("keys: %q is not FILE:UID:FOLDER", text)
	}
	uid, err := strconv.Atoi(parts[1])
	if err != nil {
		return usageError("keys: %q: %q is not a user ID", text, parts[1])
	}
	data, err := os.ReadFile(filepath.Join(keysFolder, parts[0]))
	if err != nil {
		return fmt.Errorf("distribute a key: %w", err)
	}
	// The old file belongs to the service, so a new file replaces it.
	to := filepath.Join(parts[2], parts[0])
	part := to + ".new"
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("distribute a key: %w", err)
	}
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return fmt.Errorf("distribute a key: %w", err)
	}
	if err := os.Chown(part, uid, uid); err != nil {
		return fmt.Errorf("distribute a key: %w", err)
	}
	if err := os.Rename(part, to); err != nil {
		return fmt.Errorf("distribute a key: %w", err)
	}
	return nil
}
