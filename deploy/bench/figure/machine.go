package figure

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine describes the machine of a report.
type Machine struct {
	Processor string `json:"processor"`
	Cores     int    `json:"cores"`
	Kernel    string `json:"kernel"`
	Go        string `json:"go"`
	// Ndmon is the version that the measured ndmon prints.
	Ndmon string `json:"ndmon"`
	// Load has the load averages before the first scenario.
	Load string `json:"load"`
}

// ThisMachine describes this machine and the ndmon in a folder. A member is empty if
// it cannot be read.
func ThisMachine(bin string) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if text, err := exec.Command(filepath.Join(bin, "ndmon"), "--version").Output(); err == nil {
		m.Ndmon = strings.TrimSpace(string(text))
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%d cores (%s), Linux %s, load %s before\nndbench of %s, measuring %s", m.Cores, m.Processor, m.Kernel, m.Load, m.Go, m.Ndmon)
}
