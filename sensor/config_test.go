package sensor

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ndmon/ndmon/schemas/iface"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestValidate(t *testing.T) {
	if err := config().Validate(); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		edit func(*Config)
		want []string
	}{
		"host":            {func(c *Config) { c.Host = "a\nb" }, []string{"SENSOR_HOST", `"a\nb"`}},
		"long host":       {func(c *Config) { c.Host = strings.Repeat("h", 256) }, []string{"SENSOR_HOST", "255"}},
		"empty element":   {func(c *Config) { c.Interfaces = []string{"eth0", " "} }, []string{"SENSOR_INTERFACES", "empty"}},
		"glob":            {func(c *Config) { c.Masters = []string{"eth[0"} }, []string{"SENSOR_MASTERS", `"eth[0"`, "glob"}},
		"glob at the end": {func(c *Config) { c.Masters = []string{"x*["} }, []string{"SENSOR_MASTERS", `"x*["`}},
		"prefix":          {func(c *Config) { c.Interfaces = []string{"2001:db8::/129"} }, []string{"SENSOR_INTERFACES", "2001:db8::/129"}},
		"mapped prefix":   {func(c *Config) { c.Interfaces = []string{"::ffff:10.0.0.0/104"} }, []string{"SENSOR_INTERFACES", "prefix"}},
		"address":         {func(c *Config) { c.Interfaces = []string{"2001:db8::1"} }, []string{"SENSOR_INTERFACES", "2001:db8::1/128"}},
		"no name":         {func(c *Config) { c.Interfaces = []string{"eth0:1"} }, []string{"SENSOR_INTERFACES", "eth0:1"}},
		"two names":       {func(c *Config) { c.Interfaces = []string{"eth0 eth1"} }, []string{"SENSOR_INTERFACES", "commas"}},
		"long name":       {func(c *Config) { c.Interfaces = []string{strings.Repeat("e", 128)} }, []string{"SENSOR_INTERFACES", "too long"}},
		"proxies":         {func(c *Config) { c.Proxies = []string{"eth0", ""} }, []string{"SENSOR_PROXIES", "empty"}},
		"files, proxies":  {func(c *Config) { c.ReadFiles, c.Proxies = []string{"a.pcap"}, []string{"eth0"} }, []string{"SENSOR_READ_FILES", "SENSOR_PROXIES"}},
		"files and more":  {func(c *Config) { c.ReadFiles, c.Masters = []string{"a.pcap"}, []string{"eth0"} }, []string{"SENSOR_READ_FILES"}},
		"empty file":      {func(c *Config) { c.ReadFiles = []string{""} }, []string{"SENSOR_READ_FILES"}},
		"buffer":          {func(c *Config) { c.Buffer = 1000 }, []string{"SENSOR_BUFFER", "1000", "1048576"}},
		"report":          {func(c *Config) { c.Report = time.Millisecond }, []string{"SENSOR_REPORT", "1ms", "100ms"}},
		"heartbeat":       {func(c *Config) { c.Heartbeat = time.Millisecond }, []string{"SENSOR_HEARTBEAT", "1ms", "1s", "1h"}},
		"rare heartbeat":  {func(c *Config) { c.Heartbeat = 2 * time.Hour }, []string{"SENSOR_HEARTBEAT", "2h", "1h"}},
		"receive buffer":  {func(c *Config) { c.ReceiveBuffer = -1 }, []string{"SENSOR_RECEIVE_BUFFER", "-1"}},
		"huge buffer":     {func(c *Config) { c.ReceiveBuffer = 1 << 30 }, []string{"SENSOR_RECEIVE_BUFFER", "1073741823"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			tt.edit(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is more than a line", err)
			}
			if again := Run(t.Context(), c, Deps{Publisher: &recorder{}}); again == nil || again.Error() != err.Error() {
				t.Errorf("Run: %v", again)
			}
		})
	}
}

func TestHost(t *testing.T) {
	want, err := os.Hostname()
	check(t, err)
	for configured, want := range map[string]string{"": want, "r 1.example": "r 1.example"} {
		if got, err := (Config{Host: configured}).host(); got != want || err != nil {
			t.Errorf("host %q: %q, %v", configured, got, err)
		}
	}
}

func TestSelects(t *testing.T) {
	eth := func(name string, alt ...string) *iface.Link {
		return &iface.Link{Name: name, AltNames: alt, Type: "ether"}
	}
	up := eth("eth0")
	up.Flags = unix.IFF_UP
	for name, tt := range map[string]struct {
		interfaces       string
		masters, proxies string
		link             *iface.Link
		held             bool
		selected         bool
		marks            marks
	}{
		"all, up":            {link: up, selected: true},
		"all, down":          {link: eth("eth0")},
		"all, gone down":     {link: eth("eth0"), held: true, selected: true},
		"all, no Ethernet":   {link: &iface.Link{Name: "lo", Type: "loopback", Flags: unix.IFF_UP | unix.IFF_LOOPBACK}},
		"name, down":         {interfaces: "eth0", link: eth("eth0"), selected: true},
		"other name":         {interfaces: "eth0", link: eth("eth01")},
		"alternative name":   {interfaces: "enp0s31f6", link: eth("eth0", "lan", "enp0s31f6"), selected: true},
		"glob":               {interfaces: "wan,eth?", link: eth("eth7"), selected: true},
		"glob of another":    {interfaces: "eth?", link: eth("eth77")},
		"spaces":             {interfaces: "eth0, eth1", link: eth("eth1"), selected: true},
		"master":             {masters: "eth0", link: eth("eth0"), selected: true, marks: marks{master: true}},
		"only masters":       {masters: "eth0", link: up, selected: true, marks: marks{master: true}},
		"none but masters":   {masters: "eth1", link: up},
		"both":               {interfaces: "eth*", masters: "eth0", link: eth("eth0"), selected: true, marks: marks{master: true}},
		"proxy":              {proxies: "eth*", link: eth("eth1"), selected: true, marks: marks{proxy: true}},
		"master and proxy":   {masters: "eth0", proxies: "eth*", link: eth("eth0"), selected: true, marks: marks{master: true, proxy: true}},
		"none but proxies":   {proxies: "eth1", link: up},
		"proxy, no link":     {proxies: "wg0", link: &iface.Link{Name: "wg0", Type: "none"}},
		"interface, no link": {interfaces: "wg0", link: &iface.Link{Name: "wg0", Type: "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			split := func(list string) []string {
				if list == "" {
					return nil
				}
				return strings.Split(list, ",")
			}
			s, err := Config{Interfaces: split(tt.interfaces), Masters: split(tt.masters), Proxies: split(tt.proxies)}.selection()
			check(t, err)
			if selected, m := s.selects(tt.link, tt.held); selected != tt.selected || m != tt.marks {
				t.Errorf("selected %v, marks %+v", selected, m)
			}
		})
	}
}
