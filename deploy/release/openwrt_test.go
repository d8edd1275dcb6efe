package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stub has what the init script calls of OpenWrt's functions.sh and procd.sh. It prints the instances.
// In place of uci export, it reads the sections from the configuration itself, which has the same form.
const stub = `
config() { CONFIG_SECTION=$2; sections="$sections $2"; eval "CONFIG_${2}_TYPE=\$1"; }
option() { eval "CONFIG_${CONFIG_SECTION}_$1=\$2"; option_cb "$1" "$2"; }
config_load() { . "$CONFIG"; }
config_get() { eval "$1=\${CONFIG_${2}_$3:-\$4}"; }
config_get_bool() { config_get "$@"; }
config_foreach() {
	for section in $sections; do
		config_get type "$section" TYPE
		[ "$type" != "$2" ] || "$1" "$section"
	done
}
procd_open_instance() { echo "instance $1"; }
procd_close_instance() { :; }
procd_set_param() { echo "$@"; }
procd_append_param() { echo "$@"; }
procd_add_reload_trigger() { echo "trigger $1"; }
. "$SCRIPT"
start_service
service_triggers
`

// No OpenWrt is here: this runs the init script with a stub of its functions.
func TestInitScript(t *testing.T) {
	config, err := os.ReadFile("openwrt/ndmon.config")
	must(t, err)
	for _, tc := range []struct {
		name, from, to, want string
	}{
		{name: "as it comes", want: "trigger ndmon"},
		{name: "one router", from: "config ndmon ndmon\n\toption enabled '0'", to: "config ndmon ndmon\n\toption enabled '1'", want: `
instance ndmon
command /usr/bin/ndmon --interfaces br-lan
env HOME=/root
respawn 3600 5 0
stdout 1
stderr 1
trigger ndmon`},
		{name: "a sensor", from: "config nd-sensor sensor\n\toption enabled '0'", to: "config nd-sensor sensor\n\toption enabled '1'\n\toption sensor_interfaces 'a b*'", want: `
instance sensor
command /usr/bin/nd-sensor
env HOME=/root
env SENSOR_INTERFACES=a b*
env NATS_URL=tls://nats.example.org
env NATS_CA=/etc/ndmon/ca.pem
env NATS_NKEY=/etc/ndmon/sensor.nk
env SENSOR_MASTERS=eth0
respawn 3600 5 0
stdout 1
stderr 1
trigger ndmon`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "ndmon")
			must(t, os.WriteFile(file, []byte(strings.Replace(string(config), tc.from, tc.to, 1)), 0o644))
			cmd := exec.Command("sh", "-ec", stub)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CONFIG=" + file, "SCRIPT=./openwrt/ndmon.init"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if diff := cmp.Diff(strings.TrimSpace(tc.want), strings.TrimSpace(string(out))); diff != "" {
				t.Errorf("instances (-want +got):\n%s", diff)
			}
		})
	}
}
