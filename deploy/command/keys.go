package command

import (
	"fmt"
	"path/filepath"

	"github.com/ndmon/ndmon/deploy/keys"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

func newKeys() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Make the keys of a fleet and the configuration of its NATS server"}
	var server keys.Server
	var client keys.Client
	var force bool
	create := newKeysCommand("init", "Make the keys of a fleet and the configuration of its NATS server",
		func(dir string, hosts []string) error { return keys.Init(dir, hosts, server, client, force) })
	flags := create.Flags()
	flags.StringVar(&server.Data, "data", keys.DefaultData, "`DIRECTORY` of what the NATS server stores, as a path on the server")
	flags.StringVar(&server.Cert, "tls-cert", "", "PEM `FILE` with the server's certificate, as a path on the server")
	flags.StringVar(&server.Key, "tls-key", "", "PEM `FILE` with the key of that certificate, as a path on the server")
	flags.StringVar(&server.CA, "tls-ca", "", "PEM `FILE` with the authorities of client certificates, as a path on the server; clients must have one then")
	flags.StringVar(&client.URL, "url", keys.DefaultURL, "`URL` of the NATS server in the contexts of the command nats")
	flags.StringVar(&client.CA, "ca", "", "PEM `FILE` with the authorities of the server's certificate, in these contexts")
	flags.BoolVar(&force, "force", false, "replace all keys of the directory by new ones: the old ones no longer work")
	c.AddCommand(create,
		newKeysCommand("add", "Make the keys of more hosts", keys.Add),
		newKeysCommand("remove", "Remove the keys of hosts", keys.Remove))
	return c
}

// newKeysCommand returns a command that changes the keys of hosts in a directory.
func newKeysCommand(name, short string, change func(dir string, hosts []string) error) *cobra.Command {
	c := &cobra.Command{
		Use:     name + " DIRECTORY --hosts r1,r2",
		Short:   short,
		Args:    process.Args(1, 1),
		Example: "  ndmon keys " + name + " keys --hosts r1,r2",
	}
	c.Flags().SortFlags = false
	hosts := c.Flags().StringSlice("hosts", nil, "`NAMES` of the hosts with sensors and pingers, as in SENSOR_HOST and PINGER_HOST, separated by commas")
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := change(args[0], *hosts); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s is for nats-server -c; a running server must reload it (nats-server --signal reload) or restart\n",
			filepath.Join(args[0], keys.ServerFile))
		return err
	}
	return c
}
