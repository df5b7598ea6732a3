package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/moby/buildkit/session/sshforward"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// sockets are TCP addresses of this machine that execs reach, by the id of the exec's ssh mount: what BuildKit made for
// SSH agents carries any bytes.
type sockets struct {
	named[string, string]
}

func (s *sockets) add(id, address string) error {
	if id == "" {
		return errors.New("give an id")
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("give host:port: %w", err)
	}
	s.set(id, address)
	return nil
}

func (s *sockets) Register(server *grpc.Server) { sshforward.RegisterSSHServer(server, s) }

func (s *sockets) CheckAgent(_ context.Context, r *sshforward.CheckAgentRequest) (*sshforward.CheckAgentResponse, error) {
	if _, ok := s.get(r.ID); !ok {
		return nil, fmt.Errorf("no socket has the id %q", r.ID)
	}
	return &sshforward.CheckAgentResponse{}, nil
}

// ForwardAgent carries one connection. It ends when the address closes it, or when whoever connected is gone; one that
// has only sent all it had still gets its answer.
func (s *sockets) ForwardAgent(stream sshforward.SSH_ForwardAgentServer) error {
	id := sshforward.DefaultID
	if md, ok := metadata.FromIncomingContext(stream.Context()); ok && len(md.Get(sshforward.KeySSHID)) > 0 {
		id = md.Get(sshforward.KeySSHID)[0]
	}
	address, ok := s.get(id)
	if !ok {
		return fmt.Errorf("no socket has the id %q", id)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		for {
			message, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				_ = conn.(*net.TCPConn).CloseWrite()
				return
			}
			if err == nil {
				_, err = conn.Write(message.Data)
			}
			if err != nil {
				conn.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if err := stream.Send(&sshforward.BytesMessage{Data: buffer[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
