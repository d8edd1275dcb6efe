package sensor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/ndmon/ndmon/schemas"
	"github.com/ndmon/ndmon/schemas/iface"
	"github.com/ndmon/ndmon/sensor/capfile"
	"github.com/ndmon/ndmon/sensor/capture"
)

const standardInput = "-"

// maxEncoders bounds how many interfaces of a capture file have an encoder at a time.
const maxEncoders = 256

// readFiles publishes the packets of the capture files, one file after the other, and waits until
// they are stored. What can be read of a bad file is published; the error names all bad files.
func (s *session) readFiles(ctx context.Context) error {
	var failed []error
	for _, name := range s.config.ReadFiles {
		err := s.readFile(ctx, name)
		if ctx.Err() != nil {
			return errors.Join(errors.Join(failed...), s.flush(ctx))
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("read %s: %w", name, err))
		}
	}
	if err := s.Publisher.Flush(ctx); err != nil {
		failed = append(failed, fmt.Errorf("store the last events: %w", err))
	}
	return errors.Join(failed...)
}

func (s *session) readFile(ctx context.Context, name string) error {
	input, closeInput, err := open(ctx, name)
	if err != nil {
		return bare(err)
	}
	defer closeInput()
	r, err := capfile.NewReader(input)
	if err != nil {
		return bare(err)
	}
	encoders := map[string]*encoder{}
	for ctx.Err() == nil {
		p, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bare(err)
		}
		e, ok := encoders[p.Interface]
		if !ok {
			if len(encoders) == maxEncoders {
				for _, e := range encoders {
					s.metrics.forget(e.origin.iface)
				}
				clear(encoders)
			}
			e = newEncoder(origin{host: s.host, iface: interfaceName(p, name), direction: schemas.In}, s.metrics)
			encoders[p.Interface] = e
		}
		if err := s.publish(ctx, e, p); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// open opens a file whose reads fail once ctx is done.
func open(ctx context.Context, name string) (io.Reader, func(), error) {
	if name != standardInput {
		f, err := openFile(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		stop := context.AfterFunc(ctx, func() { f.Close() })
		return f, func() { stop(); f.Close() }, nil
	}
	// A read of standard input cannot be interrupted. A goroutine reads it instead, and
	// may stay blocked in it.
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, os.Stdin)
		w.CloseWithError(err)
	}()
	stop := context.AfterFunc(ctx, func() { r.CloseWithError(ctx.Err()) })
	return r, func() { stop(); r.Close() }, nil
}

// openFile is os.Open that returns when ctx is done. Opening a named pipe waits for a writer and
// cannot be interrupted. A goroutine opens the file instead, and may stay blocked in it.
func openFile(ctx context.Context, name string) (*os.File, error) {
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened)
	go func() {
		f, err := os.Open(name)
		select {
		case done <- opened{f, err}:
		case <-ctx.Done():
			if err == nil {
				f.Close()
			}
		}
	}()
	select {
	case o := <-done:
		return o.f, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *session) publish(ctx context.Context, e *encoder, p capfile.Packet) error {
	f := capture.Frame{Data: p.Data, Length: p.Length, Time: p.Time}
	if f.Time.IsZero() {
		f.Time = s.Now().UTC()
	}
	subject, data, ok := e.frame(f)
	if !ok {
		return nil
	}
	if err := s.Publisher.Publish(ctx, subject, "", data); err != nil {
		return fmt.Errorf("publish an event: %w", err)
	}
	s.metrics.published.Inc()
	return nil
}

// interfaceName returns the interface's name in the capture file or, without one, the
// name of the file without its extension.
func interfaceName(p capfile.Packet, file string) string {
	if plainName(p.Interface, iface.MaxNameLength) {
		return p.Interface
	}
	if file == standardInput {
		return "stdin"
	}
	base := filepath.Base(file)
	name := strings.TrimSuffix(base, filepath.Ext(base))
	if name == "" {
		name = base
	}
	if !plainName(name, maxHostLength) {
		return "file"
	}
	return name
}

// bare returns the cause of an error about a file, for callers that name the file themselves.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
