package bus

import (
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// Config is the address of the NATS server and the credentials there. Its
// variables have no prefix: all processes of a host share them.
type Config struct {
	URL      string `envconfig:"NATS_URL" default:"nats://127.0.0.1:4222" desc:"NATS servers, a comma-separated list of URLs"`
	Creds    string `envconfig:"NATS_CREDS" desc:"file of credentials (JWT and seed)"`
	NKey     string `envconfig:"NATS_NKEY" desc:"file of an nkey seed"`
	User     string `envconfig:"NATS_USER" desc:"user name"`
	Password string `envconfig:"NATS_PASSWORD" desc:"password of that user"`
	Token    string `envconfig:"NATS_TOKEN" desc:"authentication token"`
	CA       string `envconfig:"NATS_CA" desc:"PEM file of the certificate authorities that may sign the server's certificate (default: the system's)"`
	Cert     string `envconfig:"NATS_CERT" desc:"PEM file of the TLS certificate of this client"`
	Key      string `envconfig:"NATS_KEY" desc:"PEM file of that certificate's key"`
}

// Validate returns an error for settings that contradict each other.
func (c Config) Validate() error {
	methods := 0
	for _, v := range []string{c.Creds, c.NKey, c.User, c.Token} {
		if v != "" {
			methods++
		}
	}
	switch {
	case c.URL == "":
		return errors.New("NATS_URL: is empty, must be a URL such as nats://127.0.0.1:4222")
	case methods > 1:
		return errors.New("NATS_CREDS, NATS_NKEY, NATS_USER, NATS_TOKEN: only one of them can be set")
	case c.Password != "" && c.User == "":
		return errors.New("NATS_PASSWORD: needs NATS_USER")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("NATS_CERT, NATS_KEY: need each other")
	}
	return nil
}

func (c Config) options() ([]nats.Option, error) {
	for _, file := range []struct{ setting, path string }{
		{"NATS_CREDS", c.Creds}, {"NATS_NKEY", c.NKey}, {"NATS_CA", c.CA}, {"NATS_CERT", c.Cert}, {"NATS_KEY", c.Key},
	} {
		// They are read at each attempt to connect. A pipe would block that, and a
		// device may have no end. A file that is missing may be created later.
		if info, err := os.Stat(file.path); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: %s is not a regular file", file.setting, file.path)
		}
	}
	var opts []nats.Option
	add := func(setting string, opt ...nats.Option) {
		if setting != "" {
			opts = append(opts, opt...)
		}
	}
	if c.NKey != "" {
		opt, err := nats.NkeyOptionFromSeed(c.NKey)
		var found nats.Options
		if err == nil {
			err = opt(&found)
		}
		if err != nil {
			return nil, fmt.Errorf("NATS_NKEY: read seed from %s: %w", c.NKey, err)
		}
		// Each user with an nkey has inboxes of its own, so that a server can forbid
		// users to read the replies to others. A server that allows "_INBOX.>" allows
		// these too.
		add(c.NKey, opt, nats.CustomInboxPrefix(nats.InboxPrefix+found.Nkey))
	}
	add(c.Creds, nats.UserCredentials(c.Creds))
	add(c.User, nats.UserInfo(c.User, c.Password))
	add(c.Token, nats.Token(c.Token))
	add(c.CA, nats.RootCAs(c.CA))
	add(c.Cert, nats.ClientCert(c.Cert, c.Key))
	return opts, nil
}
