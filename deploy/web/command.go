// Package web serves the page of ndmon: what is wrong now, who is on the links, who had an address, where it is, which rules match and
// why, how the fleet is. What it shows is in web/model, which reads NATS. The page can do nothing that another client of NATS with
// the same key cannot.
package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// Config is the configuration of the page, from variables with the prefix WEB.
type Config struct {
	Listen     string `split_words:"true" default:"127.0.0.1:8080" desc:"address of the page; another one than loopback needs a token or a user header"`
	TokenFile  string `split_words:"true" desc:"file with a token of 16 characters or more: who has it may use the page"`
	UserHeader string `split_words:"true" desc:"header with the name of the user, such as X-Remote-User, from a reverse proxy that cannot be bypassed"`
	// Rules is the rule file of ndmon in this process.
	Rules string `ignored:"true"`
	// Central is the subject of requests for the central rules, empty for central.Newest.
	Central string `ignored:"true"`
}

// minToken is the least length of a token.
const minToken = 16

// loopback reports whether the page listens on loopback only.
func (c Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

// check returns an error that names the option, as the user wrote it, that is wrong. It returns the token, if there is one.
func (c Config) check(listen, token, header string) (secret string, err error) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return "", fmt.Errorf("%s: %q is not an address such as 127.0.0.1:8080", listen, c.Listen)
	}
	switch {
	case c.TokenFile != "" && c.UserHeader != "":
		return "", fmt.Errorf("%s, %s: only one of them can be set", token, header)
	case c.UserHeader != "" && strings.ContainsFunc(c.UserHeader, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}):
		return "", fmt.Errorf("%s: %q is not the name of a header such as X-Remote-User", header, c.UserHeader)
	case c.TokenFile != "":
		data, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return "", fmt.Errorf("%s: %w", token, err)
		}
		if secret = strings.TrimSpace(string(data)); len(secret) < minToken {
			return "", fmt.Errorf("%s: the token in %s has %d characters, it needs %d", token, c.TokenFile, len(secret), minToken)
		}
	case c.UserHeader == "" && !c.loopback():
		return "", fmt.Errorf("%s: other hosts reach %s: that needs %s or %s", listen, c.Listen, token, header)
	}
	return secret, nil
}

// Command returns the command web, a daemon that serves the page of a fleet.
func Command() *cobra.Command {
	var cfg Config
	var nats bus.Config
	var listen, token, header string
	var c *cobra.Command
	c = process.Program{
		Name: "web", Summary: "Serve a page with the alerts, links, neighbours, rules and daemons of a fleet",
		Prefix: "WEB", Config: &cfg, Shared: &nats,
		Run: func(ctx context.Context, env process.Env) error {
			names := [3]string{"WEB_LISTEN", "WEB_TOKEN_FILE", "WEB_USER_HEADER"}
			for i, o := range []struct {
				option, value string
				to            *string
			}{{"listen", listen, &cfg.Listen}, {"token-file", token, &cfg.TokenFile}, {"user-header", header, &cfg.UserHeader}} {
				if c.Flags().Changed(o.option) {
					*o.to, names[i] = o.value, "--"+o.option
				}
			}
			conn, err := bus.Connect(nats, bus.Options{Name: "ndmon-web", Log: env.Log, Registry: env.Registry})
			if err != nil {
				return process.UsageError{Err: err}
			}
			env.Health.Check("NATS", conn.Health)
			err = run(ctx, cfg, names, Deps{Log: env.Log, Conn: conn, Health: env.Health.Part("alerts"), Registry: env.Registry})
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
			defer cancel()
			return errors.Join(err, conn.Drain(drain))
		},
	}.Command()
	c.Long += "\n\nAn option takes precedence over its variable. RULED_VENDORS and RULED_CONSUMER apply too."
	c.Example = "  ndmon web\n  ndmon web --listen [::]:8080 --token-file /etc/ndmon/web.token"
	flags := c.Flags()
	flags.SortFlags = false
	flags.StringVar(&listen, "listen", "", "`ADDRESS` of the page (default: WEB_LISTEN)")
	flags.StringVar(&token, "token-file", "", "`FILE` with the token that users need, of 16 characters or more")
	flags.StringVar(&header, "user-header", "", "`NAME` of the header with the name of the user, such as X-Remote-User, from a reverse proxy that cannot be bypassed")
	return c
}

const drainTimeout = 200 * time.Millisecond

// Run serves the page until the context ends. Option is how the user wrote the address; the other settings are variables.
func Run(ctx context.Context, cfg Config, option string, d Deps) error {
	return run(ctx, cfg, [3]string{option, "WEB_TOKEN_FILE", "WEB_USER_HEADER"}, d)
}

func run(ctx context.Context, cfg Config, names [3]string, d Deps) error {
	cfg.UserHeader = textproto.CanonicalMIMEHeaderKey(cfg.UserHeader)
	secret, err := cfg.check(names[0], names[1], names[2])
	if err != nil {
		return process.UsageError{Err: err}
	}
	ruled, makers, err := command.Settings()
	if err != nil {
		return err
	}
	d.vendor, d.consumer = makers.Lookup, ruled.Consumer
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return process.ListenError(fmt.Errorf("%s: %w", names[0], err))
	}
	return serve(ctx, listener, cfg, secret, d)
}
