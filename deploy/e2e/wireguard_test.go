package e2e

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/ndmon/ndmon/deploy/lab"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// wireGuard makes a WireGuard interface with one peer, up, by the implementation that is a
// program: the kernel may have none. Others can ask for its peers.
func wireGuard(t *testing.T, n *lab.Namespace, name, allowed string) {
	t.Helper()
	var keys [2]wgtypes.Key
	var err error
	for i := range keys {
		if keys[i], err = wgtypes.GeneratePrivateKey(); err != nil {
			t.Fatal(err)
		}
	}
	own, peer := keys[0], keys[1].PublicKey()
	n.Do(func() { // where its sockets are opened
		var side tun.Device
		if side, err = tun.CreateTUN(name, device.DefaultMTU); err != nil {
			return
		}
		d := device.NewDevice(side, conn.NewStdNetBind(), device.NewLogger(device.LogLevelSilent, ""))
		t.Cleanup(d.Close)
		if err = d.IpcSet(fmt.Sprintf("private_key=%s\npublic_key=%s\nallowed_ip=%s\n", hex.EncodeToString(own[:]), hex.EncodeToString(peer[:]), allowed)); err != nil {
			return
		}
		if err = d.Up(); err == nil {
			err = serveUAPI(t, name, d)
		}
	})
	if err != nil {
		t.Fatalf("WireGuard interface %s: %v", name, err)
	}
	n.Up(name)
}

func serveUAPI(t *testing.T, name string, d *device.Device) error {
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return err
	}
	l, err := ipc.UAPIListen(name, file)
	if err != nil {
		return err
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go d.IpcHandle(c)
		}
	}()
	return nil
}

// A peer of WireGuard is answered for on the master, and has a host route, although it does
// not answer and no route leads to it, as with systemd-networkd.
func TestPeerOfWireGuardWithoutRoute(t *testing.T) {
	t.Parallel()
	router, upstream := lab.New(t, "router"), lab.New(t, "upstream")
	r := &lab.Router{Namespace: router, Upstream: upstream}
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	r.Veth(lab.Master, r.Upstream, "eth0")
	r.Address(lab.Master, lab.RouterAddress.String()+"/64")
	r.Upstream.Address("eth0", lab.GatewayAddress.String()+"/64")
	r.LinkLocal(lab.Master)
	wg := fmt.Sprintf("wg%d", os.Getpid()) // the sockets of all namespaces have one folder
	wireGuard(t, r.Namespace, wg, lab.Host2Address.String()+"/128")
	r.Address(wg, "2001:db8:5::fe/128")

	p := relaysInto(t, r.Namespace, lab.Master, wg)
	ping := r.Upstream.Ping(lab.Host2Address, often)
	lab.Eventually(t, "the gateway gets an answer", func() bool {
		return r.Upstream.NeighbourState("eth0", lab.Host2Address) == "REACHABLE"
	})
	lab.Eventually(t, "the peer has a host route", func() bool {
		return slices.Equal(hostRoutes(r), []string{lab.Host2Address.String() + "/128 dev " + wg})
	})
	ping.Stop()
	stop(t, p)
	clean(t, r)
}
