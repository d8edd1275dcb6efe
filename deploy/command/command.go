// Package command holds the command line of ndmon: running in one process, and the commands
// of an operator. What the commands do is in packages of their own.
package command

import (
	"github.com/ndmon/ndmon/deploy/alerts"
	"github.com/ndmon/ndmon/deploy/find"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

// New returns the command ndmon. Terminal says that standard output is one.
func New(terminal bool) *cobra.Command {
	c := newRun(terminal, run)
	c.AddCommand(alerts.Command(), find.Command(), ruled.Neighbors(), newRules(), newKeys(), newHealth(), newMan())
	return c
}

func newHealth() *cobra.Command {
	c := &cobra.Command{
		Use:   "health",
		Short: "Check the running ndmon that serves its metrics at --metrics ADDRESS",
		Long: "Ask the running ndmon that serves its metrics at --metrics ADDRESS for its health.\n\n" +
			"Exit status: 0 if it is healthy, 1 if not, with the reason.",
		Args: process.Args(0, 0),
	}
	metrics := c.Flags().String("metrics", "", "`ADDRESS` of the metrics, as given to the running ndmon")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return process.CheckHealth("ndmon", "--metrics", *metrics, c.OutOrStdout())
	}
	return c
}
