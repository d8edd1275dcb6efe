package keys

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

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
