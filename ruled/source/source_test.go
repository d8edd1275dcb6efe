package source

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ndmon/ndmon/ruled/internal/metrics"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/ruled/vendors"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sys/unix"
)

// rulesOf is a file of n rules, as large as any other.
func rulesOf(n int) string {
	return fmt.Sprintf("%-1000s", "<rules>"+strings.Repeat("<rule><match field='nd.ra'/></rule>", n)+"</rules>")
}

// watched is a source in a folder of its own.
type watched struct {
	*Source
	t    *testing.T
	root string
	log  bytes.Buffer
}

// watch returns the source of a path, after begin has made the file.
func watch(t *testing.T, path string, begin func(w *watched)) *watched {
	t.Helper()
	w := &watched{t: t, root: t.TempDir()}
	begin(w)
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if w.Source, err = Load(w.at(path), Central{}, slog.New(slog.NewTextHandler(&w.log, nil)), m); err != nil {
		t.Fatal(err)
	}
	w.inForce(1)
	return w
}

func (w *watched) at(path string) string { return filepath.Join(w.root, path) }

func (w *watched) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) folder(path string)     { w.t.Helper(); w.do(os.Mkdir(w.at(path), 0o755)) }
func (w *watched) remove(path string)     { w.t.Helper(); w.do(os.RemoveAll(w.at(path))) }
func (w *watched) rename(from, to string) { w.t.Helper(); w.do(os.Rename(w.at(from), w.at(to))) }
func (w *watched) link(to, path string)   { w.t.Helper(); w.do(os.Symlink(to, w.at(path))) }
func (w *watched) write(path string, rules int) {
	w.t.Helper()
	w.do(os.WriteFile(w.at(path), []byte(rulesOf(rules)), 0o600))
}

// looks looks as often as a change takes to be in force.
func (w *watched) looks() {
	w.look()
	w.look()
}

func (w *watched) inForce(want int) {
	w.t.Helper()
	if got := w.Rules().count; got != want {
		w.t.Errorf("%d rules are in force, want %d; log:\n%s", got, want, &w.log)
	}
}

func (w *watched) logged(text string, want int) {
	w.t.Helper()
	if got := strings.Count(w.log.String(), text); got != want {
		w.t.Errorf("%q is logged %d times, want %d:\n%s", text, got, want, &w.log)
	}
}

func TestChangesOfRuleFile(t *testing.T) {
	file := func(w *watched) { w.write("rules.xml", 1) }
	linked := func(w *watched) {
		w.folder("srv")
		w.write("srv/current.xml", 1)
		w.link("srv/current.xml", "rules.xml")
	}
	inFolder := func(w *watched) {
		w.folder("ndmon")
		w.write("ndmon/rules.xml", 1)
	}
	// As Kubernetes mounts a ConfigMap.
	mounted := func(w *watched) {
		w.folder("..1")
		w.write("..1/rules.xml", 1)
		w.link("..1", "..data")
		w.link("..data/rules.xml", "rules.xml")
	}
	for name, tt := range map[string]struct {
		path   string
		begin  func(*watched)
		change func(*watched)
	}{
		"written in place": {"rules.xml", file, func(w *watched) { w.write("rules.xml", 2) }},
		"written in place, with its old time": {"rules.xml", file, func(w *watched) {
			info, err := os.Stat(w.path)
			w.do(err)
			w.write("rules.xml", 2)
			w.do(os.Chtimes(w.path, time.Time{}, info.ModTime()))
		}},
		"replaced": {"rules.xml", file, func(w *watched) {
			w.write("new", 2)
			w.rename("new", "rules.xml")
		}},
		"became a link": {"rules.xml", file, func(w *watched) {
			w.write("other.xml", 2)
			w.remove("rules.xml")
			w.link("other.xml", "rules.xml")
		}},
		"target written in place": {"rules.xml", linked, func(w *watched) { w.write("srv/current.xml", 2) }},
		"target replaced": {"rules.xml", linked, func(w *watched) {
			w.write("srv/new", 2)
			w.rename("srv/new", "srv/current.xml")
		}},
		"link replaced": {"rules.xml", linked, func(w *watched) {
			w.write("srv/other.xml", 2)
			w.link("srv/other.xml", "new")
			w.rename("new", "rules.xml")
		}},
		"folder of the target replaced": {"rules.xml", linked, func(w *watched) {
			w.folder("new")
			w.write("new/current.xml", 2)
			w.rename("srv", "old")
			w.rename("new", "srv")
		}},
		"link in the middle replaced": {"rules.xml", mounted, func(w *watched) {
			w.folder("..2")
			w.write("..2/rules.xml", 2)
			w.link("..2", "..data_tmp")
			w.rename("..data_tmp", "..data")
			w.remove("..1")
		}},
		"folder replaced": {"ndmon/rules.xml", inFolder, func(w *watched) {
			w.folder("new")
			w.write("new/rules.xml", 2)
			w.rename("ndmon", "old")
			w.rename("new", "ndmon")
		}},
		"folder removed and made again": {"ndmon/rules.xml", inFolder, func(w *watched) {
			w.remove("ndmon")
			inFolder(w)
			w.write("ndmon/rules.xml", 2)
		}},
		"folder away for a while": {"ndmon/rules.xml", inFolder, func(w *watched) {
			w.remove("ndmon")
			for range 10 {
				w.looks()
			}
			w.inForce(1)
			w.logged("no such file", 1)
			w.logged("refused", 1)
			inFolder(w)
			w.write("ndmon/rules.xml", 2)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, tt.path, tt.begin)
			for range 4 {
				w.look()
			}
			w.logged("using rules", 1)
			tt.change(w)
			w.look()
			w.inForce(1) // it may be half written
			w.look()
			w.inForce(2)
			w.write(tt.path, 3) // whatever led there still does
			w.looks()
			w.inForce(3)
			w.logged("using rules", 3)
		})
	}
}

// What is not a regular file is refused, without a wait for its writer or its end, and once.
func TestRulesThatAreNoRegularFile(t *testing.T) {
	for name, place := range map[string]func(w *watched) error{
		"named pipe": func(w *watched) error { return unix.Mkfifo(w.path, 0o600) },
		"device":     func(w *watched) error { return os.Symlink("/dev/zero", w.path) },
		"folder":     func(w *watched) error { return os.Mkdir(w.path, 0o755) },
		"socket": func(w *watched) error {
			l, err := net.Listen("unix", w.path)
			if err == nil {
				w.t.Cleanup(func() { l.Close() })
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t, "rules.xml", func(w *watched) { w.write("rules.xml", 1) })
			w.remove("rules.xml")
			w.do(place(w))
			for range 3 {
				w.looks()
			}
			w.inForce(1)
			w.logged(w.path+" is not a regular file", 1)
			w.logged("the new rules are refused", 1)
			if got := testutil.ToFloat64(w.m.ReloadsFailed); got != 1 {
				t.Errorf("%v reloads failed, want 1", got)
			}
			if _, err := Load(w.path, Central{}, w.Source.log, w.m); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("at the start: %v", err)
			}
			if _, err := vendors.Load(w.path); err == nil || !strings.Contains(err.Error(), w.path+" is not a regular file") {
				t.Errorf("vendors: %v", err)
			}
			// The rules that were in force before are taken again.
			w.remove("rules.xml")
			w.write("rules.xml", 1)
			w.looks()
			w.logged("using rules", 2)
		})
	}
}

func TestFilesThatAreTooLarge(t *testing.T) {
	w := watch(t, "rules.xml", func(w *watched) { w.write("rules.xml", 1) })
	w.do(os.Truncate(w.path, rulefile.MaxSize+1))
	for range 3 {
		w.looks()
	}
	w.inForce(1)
	w.logged("larger than 67108864 bytes", 1)
	if _, err := vendors.Load(w.path); err == nil || err.Error() != w.path+": larger than 67108864 bytes" {
		t.Errorf("vendors: %v", err)
	}
}

// A file without rules is no fault, and the log says so each time.
func TestFileOfNoRules(t *testing.T) {
	w := watch(t, "rules.xml", func(w *watched) { w.write("rules.xml", 1) })
	w.write("rules.xml", 0)
	w.looks()
	w.inForce(0)
	w.logged("level=WARN", 1)
	w.logged("no rules: nothing raises an alert", 1)
	w.do(os.Truncate(w.path, 0))
	w.looks()
	w.logged("the file is empty", 1)
	w.write("rules.xml", 0)
	w.looks()
	w.logged("no rules: nothing raises an alert", 2)
}
