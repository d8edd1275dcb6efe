package compose_test

import (
	"archive/tar"
	"bytes"

	"encoding/json"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// privileges checks that each service has what it needs and no more.
func (l *composed) privileges() {
	type rights struct {
		Capabilities []string
		User         string
		Keys         []string
	}
	const nobody = "65532:65532"
	want := map[string]rights{
		"keys":      {Capabilities: []string{"CHOWN"}},
		"nats":      {User: nobody, Keys: []string{"nats-server.conf", "users.conf"}},
		"ruled":     {User: nobody, Keys: []string{"ruled.nk"}},
		"alerts":    {User: nobody, Keys: []string{"viewer.nk"}},
		"r1":        {Capabilities: []string{"NET_RAW"}},
		"r1-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r1.nk"}},
		"r1-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r1.nk"}},
		"r2":        {Capabilities: []string{"NET_RAW"}},
		"r2-sensor": {Capabilities: []string{"NET_RAW"}, Keys: []string{"sensor-r2.nk"}},
		"r2-pinger": {Capabilities: []string{"NET_ADMIN", "NET_RAW"}, Keys: []string{"pinger-r2.nk"}},
		"h1":        {},
		"h2":        {Capabilities: []string{"NET_ADMIN"}},
		"traffic":   {Capabilities: []string{"NET_RAW"}},
	}
	got := map[string]rights{}
	for _, id := range l.containers() {
		var c struct {
			Config struct {
				User   string
				Labels map[string]string
			}
			HostConfig struct {
				ReadonlyRootfs, Privileged   bool
				CapAdd, CapDrop, SecurityOpt []string
				Memory                       int64
			}
		}
		if err := json.Unmarshal(l.docker("inspect", "--format", "{{json .}}", id), &c); err != nil {
			l.Fatal(err)
		}
		service := c.Config.Labels["com.docker.compose.service"]
		h := c.HostConfig
		if !h.ReadonlyRootfs || h.Privileged || h.Memory == 0 || !slices.Equal(h.CapDrop, []string{"ALL"}) ||
			!slices.ContainsFunc(h.SecurityOpt, func(s string) bool { return strings.HasPrefix(s, "no-new-privileges") }) {
			l.Errorf("%s: %+v", service, h)
		}
		r := rights{User: c.Config.User}
		for _, name := range h.CapAdd {
			r.Capabilities = append(r.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		slices.Sort(r.Capabilities)
		if service != "keys" && len(want[service].Keys) > 0 {
			r.Keys = l.files(id, "/keys")
		}
		got[service] = r
	}
	if diff := cmp.Diff(want, got); diff != "" {
		l.Errorf("rights (-want +got):\n%s", diff)
	}
}

// files lists the files in a folder of a container, none of which others may
// read.
func (l *composed) files(id, folder string) (names []string) {
	archive := tar.NewReader(bytes.NewReader(l.docker("cp", id+":"+folder, "-")))
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			l.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if h.Mode&0o777 != 0o600 {
			l.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		names = append(names, filepath.Base(h.Name))
	}
	slices.Sort(names)
	return names
}

// memory checks what all containers use together.
func (l *composed) memory() {
	l.Helper()
	units := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
	var sum float64
	args := []string{"stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"}
	for _, id := range l.containers() {
		if l.inspect(id, "{{.State.Running}}") == "true" {
			args = append(args, id)
		}
	}
	out := string(l.docker(args...))
	for line := range strings.Lines(out) {
		used := strings.Fields(line)[1]
		number := strings.TrimRight(used, "KMGiB")
		n, err := strconv.ParseFloat(number, 64)
		unit := units[used[len(number):]]
		if err != nil || unit == 0 {
			l.Fatalf("docker stats: %q", line)
		}
		sum += n * unit
	}
	l.Logf("memory of the lab: %.0f MB", sum/1e6)
	if sum == 0 || sum > mostMemory {
		l.Errorf("the lab uses %.0f MB, at most %.0f MB:\n%s", sum/1e6, mostMemory/1e6, out)
	}
}

// images checks the size of every image.
func (l *composed) images() {
	l.Helper()
	sizes := map[string]int64{}
	for _, id := range l.containers() {
		size, err := strconv.ParseInt(l.inspect(l.inspect(id, "{{.Image}}"), "{{.Size}}"), 10, 64)
		if err != nil || size == 0 || size > mostImage {
			l.Errorf("image of %s has %d bytes, at most %.0f (%v)", l.inspect(id, "{{.Name}}"), size, mostImage, err)
		}
		sizes[l.inspect(id, `{{index .Config.Entrypoint 0}}`)] = size
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		l.Logf("image of %s: %.1f MB", name, float64(sizes[name])/1e6)
	}
}
