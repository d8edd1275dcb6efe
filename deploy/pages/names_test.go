//go:build linux

package pages

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ndmon/ndmon/schemas"
)

// Each metric that a page names exists.
func TestMetricsThatPagesName(t *testing.T) {
	all := metrics(t)
	for path, page := range pages(t) {
		for _, name := range regexp.MustCompile(`\bnd_(sensor|ruled|pinger|nats|build)_[a-z_]+`).FindAllString(page, -1) {
			if !slices.ContainsFunc(all, func(m metric) bool { return m.name == name }) && !strings.HasSuffix(path, "CHANGELOG.md") {
				t.Errorf("%s names %s, which is no metric", path, name)
			}
		}
	}
}

// Each field of rules that a page names in code exists, or is what some begin with.
func TestFieldsThatPagesName(t *testing.T) {
	for path, page := range pages(t) {
		for _, found := range regexp.MustCompile("`((?:ethernet|inet6|icmp6|nd|fault|link)\\.[a-z0-9.]+)(?:\\.\\*)?`").FindAllStringSubmatch(page, -1) {
			name := strings.TrimSuffix(found[1], ".")
			known := slices.ContainsFunc(schemas.Fields(), func(f *schemas.Field) bool {
				return f.Name == name || strings.HasPrefix(f.Name, name+".")
			})
			if subject := regexp.MustCompile(`^nd\.(events|alerts|relay|results)(\.|$)`); !known && !subject.MatchString(name) {
				t.Errorf("%s names %s, which is no field and no subject", path, name)
			}
		}
	}
}
