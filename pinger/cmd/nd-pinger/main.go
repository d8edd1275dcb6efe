// Nd-pinger receives this host's relay commands from NATS and pings out of its slave
// interfaces.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/ndmon/ndmon/pinger"
	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
)

func main() {
	var cfg pinger.Config
	var nats bus.Config
	os.Exit(process.Main(process.Program{
		Name:    "nd-pinger",
		Summary: "Receive this host's relay commands from NATS and ping out of its slave interfaces",
		Prefix:  "PINGER",
		Config:  &cfg,
		Shared:  &nats,
		Run:     func(ctx context.Context, env process.Env) error { return run(ctx, env, cfg, nats) },
	}, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, env process.Env, cfg pinger.Config, nats bus.Config) error {
	conn, err := bus.Connect(nats, bus.Options{Name: "nd-pinger", Log: env.Log, Registry: env.Registry})
	if err != nil {
		return process.UsageError{Err: err}
	}
	env.Health.Check("NATS", conn.Health)
	service, err := presence.Serve(conn, schemas.ServicePinger, cfg.Host, env.Health)
	if err != nil {
		return err
	}
	err = pinger.Run(ctx, cfg, pinger.Deps{Log: env.Log, Registry: env.Registry, Bus: conn, Health: env.Health.Part("commands"), Status: service.Describe})
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, conn.Drain(drain))
}
