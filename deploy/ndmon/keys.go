package ndmon

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/pflag"
)

const keysUsage = `usage: ndmon keys init DIR --hosts r1,r2     makes keys for a fleet, and its NATS server's configuration
       ndmon keys add DIR --hosts r3         makes the keys of more hosts
       ndmon keys remove DIR --hosts r3      takes the keys of hosts back
`

// keysCommand makes the keys of a fleet. Each error is one of the command line or
// of the files that it names.
func keysCommand(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, keysUsage)
		return process.ExitUsage
	}
	flags := pflag.NewFlagSet("keys "+args[0], pflag.ContinueOnError)
	flags.SortFlags = false
	hosts := flags.StringSlice("hosts", nil, "`NAMES` of the hosts with sensors and pingers, as in SENSOR_HOST and PINGER_HOST, separated by commas")
	var run func(dir string) error
	switch args[0] {
	case "init":
		var server keys.Server
		var client keys.Client
		flags.StringVar(&server.Data, "data", keys.DefaultData, "`FOLDER` of what the NATS server stores, as the server is to open it")
		flags.StringVar(&server.Cert, "tls-cert", "", "PEM `FILE` with the server's certificate, likewise")
		flags.StringVar(&server.Key, "tls-key", "", "PEM `FILE` with that certificate's key")
		flags.StringVar(&server.CA, "tls-ca", "", "PEM `FILE` with the authorities of the clients' certificates; clients have to show one then")
		flags.StringVar(&client.URL, "url", keys.DefaultURL, "`URL` of the NATS server in the contexts of the command nats")
		flags.StringVar(&client.CA, "ca", "", "PEM `FILE` with the authorities of the server's certificate, in these contexts")
		force := flags.Bool("force", false, "make all keys anew where there are some: those that are there are worth nothing then")
		run = func(dir string) error { return keys.Init(dir, *hosts, server, client, *force) }
	case "add":
		run = func(dir string) error { return keys.Add(dir, *hosts) }
	case "remove":
		run = func(dir string) error { return keys.Remove(dir, *hosts) }
	case "-h", "--help":
		fmt.Fprint(stdout, keysUsage)
		return process.ExitOK
	default:
		fmt.Fprintf(stderr, "ndmon keys: %q is unknown\n%s", args[0], keysUsage)
		return process.ExitUsage
	}
	if status, ok := arguments(flags, flags.Name()+" DIR --hosts r1,r2", 1, args[1:], stdout, stderr); !ok {
		return status
	}
	dir := flags.Arg(0)
	err := run(dir)
	var usage process.UsageError
	if errors.As(err, &usage) {
		usage.Print(stderr, "ndmon "+flags.Name())
		return process.ExitUsage
	}
	if err != nil {
		fmt.Fprintf(stderr, "ndmon %s: %v\n", flags.Name(), err)
		return process.ExitFailure
	}
	fmt.Fprintf(stdout, "%s is for nats-server -c; one that runs has to read it again (nats-server --signal reload, or a restart)\n", filepath.Join(dir, keys.ServerFile))
	return process.ExitOK
}
