package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
)

// Headers by which a session introduces itself to the daemon.
const (
	headerID        = "X-Docker-Expose-Session-Uuid"
	headerSharedKey = "X-Docker-Expose-Session-Sharedkey"
	headerMethod    = "X-Docker-Expose-Session-Grpc-Method"
)

const (
	dialPatience = 15 * time.Second
	// window is how many bytes the daemon may send before they are taken: exports are large and both ends are near.
	window = 8 << 20
	buffer = 256 << 10
)

// BuildKit sends files in messages of a little more than 32 KiB. gRPC's own pool has no buffers between 32 KiB and
// 1 MiB and would clear one of the latter for each.
func init() {
	pool, err := mem.NewBinaryTieredBufferPool(8, 12, 14, 15, 16, 18, 20, 22)
	if err != nil {
		panic(err)
	}
	experimental.SetDefaultBufferPool(pool)
}

// open starts a session and returns its id once the daemon has taken it. Its end is told through over.
//
// BuildKit's type session.Session does the same, but serves the connection through Go's general HTTP/2 server. gRPC's
// own transport takes an export of 1 GiB with about half the processor time.
func (p *provider) open(ctx context.Context, sharedKey string, dial session.Dialer, over chan<- error) (string, error) {
	server := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.ReadBufferSize(buffer), grpc.WriteBufferSize(buffer),
	)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	for _, service := range p.services() {
		service.Register(server)
	}
	id := identity.NewID()
	headers := map[string][]string{headerID: {id}, headerSharedKey: {sharedKey}}
	for name, service := range server.GetServiceInfo() {
		for _, method := range service.Methods {
			headers[headerMethod] = append(headers[headerMethod], session.MethodURL(name, method.Name))
		}
	}
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		conn, err := dial(ctx, "h2c", headers)
		dialled <- result{conn, err}
	}()
	select {
	case r := <-dialled:
		if r.err != nil {
			return "", r.err
		}
		// To close it waits for the daemon to close its side, which may take long.
		p.stop = func() { go r.conn.Close() }
		go func() {
			_ = server.Serve(newSingle(r.conn))
			over <- errors.New("buildkitd closed the session: it was stopped or has died")
		}()
		return id, nil
	case <-time.After(dialPatience):
		return "", fmt.Errorf("no answer within %v", dialPatience)
	}
}

// single is a listener that gives one connection and then waits until that is closed.
type single struct {
	net.Conn
	taken  bool
	closed chan struct{}
}

func newSingle(conn net.Conn) *single { return &single{Conn: conn, closed: make(chan struct{})} }

func (s *single) Accept() (net.Conn, error) {
	if !s.taken {
		s.taken = true
		return watched{s.Conn, s.closed}, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error   { return nil }
func (s *single) Addr() net.Addr { return s.LocalAddr() }

type watched struct {
	net.Conn
	closed chan struct{}
}

func (w watched) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return w.Conn.Close()
}
