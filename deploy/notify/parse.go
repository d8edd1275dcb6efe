package notify

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/schemas"
)

// Syntax describes the values that Parse reads, for the help of an option.
const Syntax = "alertmanager+http://HOST:9093, https://… (webhook), slack+https://…, teams+https://…, syslog+udp://HOST, syslog+tcp://HOST, syslog+tls://HOST, " +
	"exec:PROGRAM ARGUMENTS, file:PATH, or @FILE with one in each line; parameters follow a #"

// Parse reads receivers, the values of an option. @FILE stands for the lines of a file, which keeps secrets off the
// command line.
func Parse(option string, values []string) ([]*Receiver, error) {
	var list []*Receiver
	add := func(where, value string) error {
		r, err := parseReceiver(value)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", option, where, err)
		}
		if slices.ContainsFunc(list, func(o *Receiver) bool { return o.name == r.name }) {
			return fmt.Errorf("%s: %s: another receiver is named %s: give one of them a name with #name=", option, where, r.name)
		}
		list = append(list, r)
		return nil
	}
	for _, value := range values {
		path, isFile := strings.CutPrefix(value, "@")
		if !isFile {
			if err := add(strconv.Quote(value), value); err != nil {
				return nil, err
			}
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		for n := 1; lines.Scan(); n++ {
			line := strings.TrimSpace(lines.Text())
			if line == "" || line[0] == '#' {
				continue
			}
			if err := add(fmt.Sprintf("%s:%d", path, n), line); err != nil {
				return nil, err
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("%s: read %s: %w", option, path, err)
		}
	}
	return list, nil
}

// parseReceiver reads a receiver: a URL, or exec: or file: with a path. Parameters follow a #, so that they are no part of a URL
// that is requested.
func parseReceiver(value string) (*Receiver, error) {
	target, fragment, _ := strings.Cut(value, "#")
	p, err := parseParameters(fragment)
	if err != nil {
		return nil, err
	}
	scheme, rest, _ := strings.Cut(target, ":")
	r := &Receiver{}
	var u *url.URL
	switch scheme {
	case "exec":
		r.name = "exec:" + strings.SplitN(strings.TrimSpace(rest), " ", 2)[0]
		r.send, err = newExec(strings.Fields(rest))
	case "file":
		r.name = target
		r.send, err = newFile(rest)
	default:
		if u, err = parseURL(target); err == nil {
			r.name = u.Scheme + "://" + u.Host
			r.send, err = newRemote(u, p)
		}
	}
	if err != nil {
		return nil, err
	}
	if name := p.text("name"); name != "" {
		r.name = name
	}
	if r.name != alerts.Printable(r.name) || len(url.PathEscape(r.name)) > 200 {
		return nil, errors.New("its name is too long or has control characters: give it one with #name=")
	}
	r.filter = alerts.Filter{Severity: schemas.Severity(p.text("severity")), Rules: p.list("rule"), Hosts: p.list("host")}
	if err := r.filter.Check(time.Time{}); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "--"))
	}
	return r, p.unknown()
}

// parseURL reads a URL. Its errors do not repeat it, because it may have secrets.
func parseURL(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("is not a URL: %w", err)
	}
	if u.Hostname() == "" {
		return nil, errors.New("is not a receiver: use " + Syntax)
	}
	return u, nil
}

// newRemote returns how to send to a URL.
func newRemote(u *url.URL, p *parameters) (send, error) {
	kind, transport, ok := strings.Cut(u.Scheme, "+")
	if !ok {
		kind, transport = "webhook", u.Scheme
	}
	secure, err := p.tls(u.Hostname(), transport == "https" || transport == "tls")
	if err != nil {
		return nil, err
	}
	isHTTP := transport == "http" || transport == "https"
	target := *u
	target.Scheme = transport
	switch {
	case kind == "alertmanager" && isHTTP:
		return newAlertmanager(&target, secure, p)
	case (kind == "webhook" || kind == "slack" || kind == "teams") && isHTTP:
		return newWebhook(kind, &target, secure, p)
	case kind == "syslog" && (transport == "udp" || transport == "tcp" || transport == "tls"):
		return newSyslog(&target, secure, p)
	}
	return nil, fmt.Errorf("%s is not a kind of receiver: use %s", u.Scheme, Syntax)
}

// parameters are those behind the # of a receiver. Each method notes the name that it is asked for.
type parameters struct {
	values map[string][]string
	names  []string
}

func parseParameters(fragment string) (*parameters, error) {
	p := &parameters{values: map[string][]string{}}
	if fragment == "" {
		return p, nil
	}
	for part := range strings.SplitSeq(fragment, "&") {
		name, value, ok := strings.Cut(part, "=")
		value, err := url.PathUnescape(value) // a + stays, which secrets have
		if !ok || err != nil {
			return nil, fmt.Errorf("parameter %q is not NAME=VALUE, with %%26 for &, %%23 for # and %%25 for %%", name)
		}
		p.values[name] = append(p.values[name], value)
	}
	return p, nil
}

// all returns the values of a parameter that may be repeated.
func (p *parameters) all(name string) []string {
	p.names = append(p.names, name)
	return p.values[name]
}

// text returns the last value of a parameter, empty if it has none.
func (p *parameters) text(name string) string {
	if values := p.all(name); len(values) > 0 {
		return values[len(values)-1]
	}
	return ""
}

// list returns the values of a parameter that are separated by commas.
func (p *parameters) list(name string) (list []string) {
	for _, value := range p.all(name) {
		list = append(list, strings.Split(value, ",")...)
	}
	return list
}

// number returns a number from 1 to most.
func (p *parameters) number(name string, preset, most int) (int, error) {
	text := p.text(name)
	if text == "" {
		return preset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%s: %q is not a number from 1 to %d", name, text, most)
	}
	return n, nil
}

// duration returns a duration of at least a second.
func (p *parameters) duration(name string, preset time.Duration) (time.Duration, error) {
	text := p.text(name)
	if text == "" {
		return preset, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, fmt.Errorf("%s: %q is not a duration of at least 1s, such as 15m", name, text)
	}
	return d, nil
}

// tls returns the configuration of TLS, nil without it.
func (p *parameters) tls(server string, used bool) (*tls.Config, error) {
	if !used {
		return nil, nil
	}
	c := &tls.Config{ServerName: server, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	if path := p.text("ca"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s has no certificate in PEM", path)
		}
	}
	cert, key := p.text("cert"), p.text("key")
	if cert == "" && key == "" {
		return c, nil
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("cert, key: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// unknown returns an error if there is a parameter that no one asked for.
func (p *parameters) unknown() error {
	for name := range p.values {
		if !slices.Contains(p.names, name) {
			slices.Sort(p.names)
			return fmt.Errorf("unknown parameter %q: use %s", name, strings.Join(slices.Compact(p.names), ", "))
		}
	}
	return nil
}

// absolute checks a path: a daemon leaves the directory that it was started in.
func absolute(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q is not an absolute path", path)
	}
	return nil
}
