// Nd-ruled evaluates the rules against the events of a fleet on NATS, and publishes alerts
// and relay commands.
package main

import (
	"os"

	"github.com/ndmon/ndmon/ruled/command"
	"github.com/ndmon/ndmon/schemas/process"
)

func main() { os.Exit(process.Execute(command.Daemon(), os.Args[1:], os.Stdout, os.Stderr)) }
