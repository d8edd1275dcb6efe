// Ndlab is the program of the containers of docker-compose.yml that run none of
// ndmon's own programs.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ndmon/ndmon/deploy/compose"
	"github.com/ndmon/ndmon/schemas/process"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := compose.Command(ctx, os.Args[1:], os.Stdout, process.NewLogger(os.Stderr, 0))
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "ndlab: %v\n", err)
	if errors.As(err, new(process.UsageError)) {
		os.Exit(process.ExitUsage)
	}
	os.Exit(process.ExitFailure)
}
