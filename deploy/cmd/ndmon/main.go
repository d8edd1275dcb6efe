// Ndmon monitors and relays IPv6 Neighbor Discovery on one router: sensor, ruled and pinger
// in one process, with a NATS server of its own. It is the command of an operator too.
package main

import (
	"os"

	"github.com/ndmon/ndmon/deploy/command"
	"github.com/ndmon/ndmon/schemas/process"
	"golang.org/x/term"
)

func main() {
	ndmon := command.New(term.IsTerminal(int(os.Stdout.Fd())))
	os.Exit(process.Execute(ndmon, os.Args[1:], os.Stdout, os.Stderr))
}
