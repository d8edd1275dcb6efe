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

// maxMakers bounds how many interfaces of a capture file have a maker at a time.
const maxMakers = 256

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
	if s.Publisher != nil {
		if err := s.Publisher.Flush(ctx); err != nil {
			failed = append(failed, fmt.Errorf("store the last events: %w", err))
		}
	}
	return errors.Join(failed...)
}

func (s *session) readFile(ctx context.Context, name string) error {
	input, closeInput, err := open(ctx, name)
	if err != nil {
		return bare(err)
	}
	defer closeInput()
	f := &file{session: s, Reader: input, name: name, interfaces: map[string]*fileInterface{}}
	r, err := capfile.NewReader(f)
	if err != nil {
		return bare(err)
	}
	for ctx.Err() == nil {
		p, err := r.Next()
		if err != nil {
			if err == io.EOF {
				err = f.unreadable(r.Skipped())
			}
			f.packets = int64(r.Packets())
			f.report()
			for _, s := range r.Skipped() {
				f.Reading.Skipped = append(f.Reading.Skipped, SkippedIn{name, s})
			}
			return errors.Join(bare(err), f.flush())
		}
		f.packets = int64(p.Number)
		if err := f.take(ctx, p); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// file passes on the events of a capture file in their order.
type file struct {
	*session
	io.Reader
	name       string
	interfaces map[string]*fileInterface // by their names in the file
	last       *fileInterface            // of the last packet
	// packets and frames are counted as Reading does; reported counts those that Reading has.
	packets, frames, reported, reportedFrames int64
}

// report adds what was read to the progress.
func (f *file) report() {
	f.Reading.Packets.Add(f.packets - f.reported)
	f.Reading.Frames.Add(f.frames - f.reportedFrames)
	f.reported, f.reportedFrames = f.packets, f.frames
}

// unreadable returns an error if the file has packets and all of them were skipped.
func (f *file) unreadable(skipped []capfile.Skipped) error {
	if f.last != nil || len(skipped) == 0 {
		return nil
	}
	var all []string
	for _, s := range skipped {
		all = append(all, fmt.Sprintf("%d packets %s", s.Packets, s.Why))
	}
	return fmt.Errorf("nothing in it can be read: %s", strings.Join(all, ", "))
}

// fileInterface is an interface of a capture file.
type fileInterface struct {
	maker  *maker
	outlet *outlet
}

// Read reads the file. The events so far are stored first: reading from a pipe may take long.
func (f *file) Read(p []byte) (int, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	f.report()
	n, err := f.Reader.Read(p)
	f.Reading.Bytes.Add(int64(n))
	return n, err
}

// flush stores the events that wait.
func (f *file) flush() error {
	if f.last == nil {
		return nil
	}
	return f.last.outlet.flush()
}

// take passes on the event of a packet.
func (f *file) take(ctx context.Context, p capfile.Packet) error {
	i, ok := f.interfaces[p.Interface]
	if !ok {
		i = f.add(ctx, p)
	}
	if i != f.last {
		if err := f.flush(); err != nil {
			return err
		}
		f.last = i
	}
	frame := capture.Frame{Data: p.Data, Length: p.Length, Time: p.Time}
	if frame.Time.IsZero() {
		frame.Time = f.Now().UTC()
	}
	e, subject, ok := i.maker.frame(frame)
	if !ok {
		return nil
	}
	f.frames++
	return i.outlet.take(e, subject)
}

func (f *file) add(ctx context.Context, p capfile.Packet) *fileInterface {
	if len(f.interfaces) == maxMakers {
		for _, i := range f.interfaces {
			f.metrics.forget(i.maker.origin.iface)
		}
		clear(f.interfaces)
	}
	name := interfaceName(p, f.name)
	i := &fileInterface{maker: newMaker(origin{host: f.host, iface: name, direction: schemas.In}, f.metrics)}
	i.outlet = f.newOutlet(name, func(subject string, batch []byte, events int) error {
		if err := f.Publisher.Publish(ctx, subject, "", batch); err != nil {
			return fmt.Errorf("publish events: %w", err)
		}
		f.metrics.published.Add(float64(events))
		return nil
	})
	f.interfaces[p.Interface] = i
	return i
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

// interfaceName returns the interface's name in the capture file or, without one, the
// name of the file without its extensions.
func interfaceName(p capfile.Packet, file string) string {
	if plainName(p.Interface, iface.MaxNameLength) {
		return p.Interface
	}
	if file == standardInput {
		return "stdin"
	}
	base := strings.TrimSuffix(filepath.Base(file), ".gz")
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
