package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// syslogTimeout is the time to connect, and the time for a batch.
	syslogTimeout = 10 * time.Second
	// syslogInterval is the least time between two connections, each of which takes a port for a minute (TIME_WAIT).
	syslogInterval = 10 * time.Millisecond
	// datagrams is how many are sent until the answer is awaited that no one receives them.
	datagrams     = 32
	refusedWithin = 10 * time.Millisecond
)

// syslogServer sends alerts to a syslog server.
type syslogServer struct {
	network, address string
	secure           *tls.Config
	facility         int
	connected        time.Time
}

func newSyslog(u *url.URL, secure *tls.Config, p *parameters) (send, error) {
	facility, err := parseFacility(cmp.Or(p.text("facility"), "daemon"))
	if err != nil {
		return nil, err
	}
	s := &syslogServer{network: u.Scheme, facility: facility, secure: secure}
	port := "514"
	if s.secure != nil {
		s.network, port = "tcp", "6514"
	}
	s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	return func(ctx context.Context, list []*alert) (taken int, err error) {
		for taken < len(list) {
			next := list[taken:]
			if s.network == "udp" {
				next = next[:min(len(next), datagrams)]
				err = s.sendDatagrams(ctx, next)
			} else {
				err = s.sendStream(ctx, next)
			}
			if err != nil {
				return taken, err
			}
			taken += len(next)
		}
		return taken, nil
	}, nil
}

func (s *syslogServer) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: syslogTimeout}
	conn, err := d.DialContext(ctx, s.network, s.address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(syslogTimeout))
	}
	return conn, err
}

// sendDatagrams sends each alert as a datagram. Only a server that does not listen is noticed.
func (s *syslogServer) sendDatagrams(ctx context.Context, list []*alert) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, a := range list {
		if _, err := conn.Write(rfc5424(&a.Alert, s.facility)); err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(refusedWithin)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// sendStream sends alerts over a connection of their own, with octet counting (RFC 6587, RFC 5425). TCP acknowledges what reaches the
// server's kernel, and a server that stops loses what it has not read. So this ends its side of the connection and waits
// for the other one: a server ends its side when it has read all, and its kernel resets the connection if it has not.
func (s *syslogServer) sendStream(ctx context.Context, list []*alert) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(s.connected.Add(syslogInterval))):
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	s.connected = time.Now()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	tcp, stream := conn.(*net.TCPConn), conn.(io.ReadWriter)
	var secure *tls.Conn
	if s.secure != nil {
		secure = tls.Client(conn, s.secure)
		stream = secure
	}
	var frames bytes.Buffer
	for _, a := range list {
		message := rfc5424(&a.Alert, s.facility)
		frames.WriteString(strconv.Itoa(len(message)) + " ")
		frames.Write(message)
	}
	if _, err := stream.Write(frames.Bytes()); err != nil {
		return err
	}
	if secure != nil {
		err = secure.CloseWrite()
	}
	if err = errors.Join(err, tcp.CloseWrite()); err != nil {
		return fmt.Errorf("end the connection: %w", err)
	}
	if secure != nil {
		_, err = io.Copy(io.Discard, secure) // ends with the server's close_notify, or as TCP does
	}
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		_, err = io.Copy(io.Discard, tcp)
	}
	// A server that does not end its side, such as one that hangs, has the alerts in its kernel, and may read them later.
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return fmt.Errorf("wait for the server to read the alerts: %w", cmp.Or(err, ctx.Err()))
	}
	return acknowledged(tcp)
}

// acknowledged returns an error if the peer's kernel has not acknowledged all that was sent.
func acknowledged(conn *net.TCPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var left int
	var failed error
	if err := raw.Control(func(fd uintptr) { left, failed = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
		return err
	}
	if failed == nil && left > 0 {
		failed = errors.New("the server does not acknowledge the alerts")
	}
	return failed
}
