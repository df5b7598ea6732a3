package main

import (
	"io"
	"net"
)

// forward makes a unix socket, by which BuildKit reaches out of the container, known as a TCP address within it.
type forward struct {
	Listen string `json:"listen"` // host:port
	Socket string `json:"socket"` // path of the unix socket
}

// listen returns when connections are taken; they are served until the process ends.
func (f *forward) listen() error {
	listener, err := net.Listen("tcp", f.Listen)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(conn.(*net.TCPConn))
		}
	}()
	return nil
}

func (f *forward) serve(inside *net.TCPConn) {
	defer inside.Close()
	outside, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: f.Socket, Net: "unix"})
	if err != nil {
		return // whoever connected sees it closed
	}
	defer outside.Close()
	go func() {
		_, _ = io.Copy(outside, inside)
		_ = outside.CloseWrite()
	}()
	_, _ = io.Copy(inside, outside)
}
