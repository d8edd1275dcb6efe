// Nd-sensor captures Neighbor Discovery on this host and publishes it as events on NATS.
package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/bus"
	"github.com/ndmon/ndmon/schemas/presence"
	"github.com/ndmon/ndmon/schemas/process"
	"github.com/ndmon/ndmon/sensor"
	"golang.org/x/sync/errgroup"
)

func main() {
	var cfg sensor.Config
	var nats bus.Config
	os.Exit(process.Main(process.Program{
		Name:    "nd-sensor",
		Summary: "Capture IPv6 Neighbor Discovery on this host and publish it as events on NATS",
		Prefix:  "SENSOR",
		Config:  &cfg,
		Shared:  &nats,
		Run:     func(ctx context.Context, env process.Env) error { return run(ctx, env, cfg, nats) },
	}, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, env process.Env, cfg sensor.Config, nats bus.Config) error {
	if os.Getenv("GOMAXPROCS") == "" {
		// A frame goes from the socket to NATS in one line. To wake another thread on the way
		// takes longer than the work: with one processor, events cost a quarter less.
		runtime.GOMAXPROCS(1)
	}
	conn, err := bus.Connect(nats, bus.Options{Name: "nd-sensor", Log: env.Log, Registry: env.Registry})
	if err != nil {
		return process.UsageError{Err: err}
	}
	env.Health.Check("NATS", conn.Health)
	service, err := presence.Serve(conn, schemas.ServiceSensor, cfg.Host, env.Health)
	if err != nil {
		return err
	}
	cfg.Buffer = process.WithinMemory("SENSOR_BUFFER", cfg.Buffer, int(env.Memory/4), 1<<20)
	var live sensor.Live
	if cfg.Live {
		live = listened{conn}
	}
	publisher := bus.NewPublisher(conn, bus.PublisherConfig{
		InFlight:   bus.DefaultInFlight,
		Buffer:     cfg.Buffer,
		AckTimeout: bus.DefaultAckTimeout,
	}, env.Log)
	env.Health.Check("publishing", publisher.Health)
	// The publisher outlives the sensor, to store the last events.
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { return publisher.Run(publishing) })
	g.Go(func() error {
		defer stop()
		return sensor.Run(ctx, cfg, sensor.Deps{
			Log: env.Log, Registry: env.Registry, Live: live, Publisher: publisher, Connected: conn.Connected, Health: env.Health.Part("capture"),
			Status: service.Describe,
		})
	})
	err = g.Wait()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return errors.Join(err, conn.Drain(drain))
}

// listened is a sensor.Live that publishes everything: who listens at the server is unknown.
type listened struct{ *bus.Conn }

func (listened) Listened(string) bool { return true }
