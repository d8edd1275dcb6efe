package command

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ndmon/ndmon/deploy/trial"
	ruled "github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/ruled/link"
	"github.com/ndmon/ndmon/ruled/rulefile"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/spf13/cobra"
)

func newRules() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "Write rules: check and test them, list their fields, learn the routers"}
	c.AddCommand(ruled.Rules()...)
	c.AddCommand(newTest(), ruled.Learn())
	return c
}

func newTest() *cobra.Command {
	var cfg trial.Config
	c := &cobra.Command{
		Use:   "test RULES CAPTURE",
		Short: "Test rules on a capture file",
		Long: "Evaluate rules on the frames of a capture file (pcap or pcapng), and print which frame\n" +
			"matches which rule. RULES is a rule file, - for standard input, or \"builtin\".\n\n" +
			"The variables RULED_NEIGHBOURS, RULED_CLAIM_TIMEOUT, RULED_SILENCE and RULED_VENDORS apply, see\n" +
			"ndmon rules learn --help.",
		Example: "  ndmon rules test builtin capture.pcap\n  ndmon rules test rules.xml capture.pcap --why 2",
		Args:    process.Args(2, 2),
	}
	flags := c.Flags()
	flags.SortFlags = false
	flags.IntVar(&cfg.Why, "why", 0, "print for each rule why it matches the frame with this `NUMBER`, or why not; frames count from 1")
	flags.StringVar(&cfg.Host, "host", "", "`NAME` of the host of the frames (default: this host's)")
	flags.StringVar(&cfg.Interface, "interface", "", "`NAME` of the interface of the frames (default: that in the capture file, or the file's name)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if flags.Changed("why") && cfg.Why < 1 {
			return process.UsageError{Err: errors.New("--why: frames count from 1")}
		}
		cfg.Set, cfg.Capture = rulefile.Builtin(), args[1]
		var err error
		if file := args[0]; strings.TrimSpace(file) != "builtin" {
			if cfg.Set, err = ruled.ReadRules(file, c.ErrOrStderr()); err != nil {
				return err
			}
		}
		if cfg.Host == "" {
			if cfg.Host, err = os.Hostname(); err != nil {
				return fmt.Errorf("find this host's name (--host sets another): %w", err)
			}
		}
		settings, makers, err := ruled.Settings()
		if err != nil {
			return err
		}
		cfg.Link = link.Config{Neighbours: settings.Neighbours, ClaimTimeout: settings.ClaimTimeout, Silence: settings.Silence, Vendor: makers.Lookup}
		return trial.Run(c.OutOrStdout(), cfg)
	}
	return c
}
