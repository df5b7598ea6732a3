package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/moby/buildkit/session/filesync"
	fstypes "github.com/tonistiigi/fsutil/types"
)

const (
	// partialMark ends a file's name until the whole folder is there. It begins with a byte that sorts before all
	// that names are made of: fsutil's protocol wants its paths in order, and the names with the mark are in the same.
	partialMark = "\x01partial"
	nameMax     = 255
)

// partialFiles is the stream of an export into a folder. Regular files, and hard links to them, are received under
// partial names, and get their own just before the daemon is told that all is there.
type partialFiles struct {
	filesync.FileSend_DiffCopyServer
	dir   string
	names []string
	held  map[string]bool
	// What is for the daemon waits here. Were it sent at once, a receiver that has failed and reads no more could wait
	// for a daemon that has more to send, and that for the receiver.
	mu     sync.Mutex
	queued []any
	closed bool
	more   chan struct{}
}

// receiveFolder merges what the daemon sends into a folder, or leaves no file of it there.
func receiveFolder(stream filesync.FileSend_DiffCopyServer, index int, dir string) error {
	files := &partialFiles{FileSend_DiffCopyServer: stream, dir: dir, held: map[string]bool{}, more: make(chan struct{}, 1)}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		files.send()
	}()
	err := filesync.NewFSSyncTarget(filesync.WithFSSyncDir(index, dir)).DiffCopy(files)
	files.queue(nil)
	if err != nil {
		files.remove()
		files.drain()
	}
	<-sent
	return err
}

// queue has a message sent; nil is the end of all.
func (p *partialFiles) queue(message any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if message == nil {
		p.closed = true
	} else {
		p.queued = append(p.queued, message)
	}
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *partialFiles) send() {
	for range p.more {
		p.mu.Lock()
		messages, closed := p.queued, p.closed
		p.queued = nil
		p.mu.Unlock()
		for _, message := range messages {
			if p.FileSend_DiffCopyServer.SendMsg(message) != nil {
				return // the stream is over, which the receiver sees where it reads
			}
		}
		if closed {
			return
		}
	}
}

func (p *partialFiles) RecvMsg(message any) error {
	err := p.FileSend_DiffCopyServer.RecvMsg(message)
	packet, ok := message.(*fstypes.Packet)
	if err != nil || !ok || packet.Type != fstypes.PACKET_STAT || packet.Stat == nil {
		return err
	}
	stat := packet.Stat
	if fs.FileMode(stat.Mode)&fs.ModeType != 0 || len(path.Base(stat.Path))+len(partialMark) > nameMax {
		return nil
	}
	if p.held[stat.Linkname] {
		stat.Linkname += partialMark
	}
	p.held[stat.Path] = true
	p.names = append(p.names, stat.Path)
	stat.Path += partialMark
	return nil
}

func (p *partialFiles) SendMsg(message any) error {
	packet, ok := message.(*fstypes.Packet)
	if ok && packet.Type == fstypes.PACKET_FIN {
		if err := p.finish(); err != nil {
			packet = &fstypes.Packet{Type: fstypes.PACKET_ERR, Data: []byte(err.Error())}
		}
	}
	if ok && packet.Type == fstypes.PACKET_ERR {
		packet.Data = []byte(strings.ReplaceAll(string(packet.Data), partialMark, ""))
		message = packet
	}
	p.queue(message)
	return nil
}

// finish renames all files. Folders keep the times that they were received with.
func (p *partialFiles) finish() error {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	folders := map[string]fs.FileInfo{}
	for _, name := range p.names {
		folder := path.Dir(name)
		if _, ok := folders[folder]; !ok {
			if folders[folder], err = root.Stat(folder); err != nil {
				return err
			}
		}
		if there, err := root.Lstat(name); err == nil && there.IsDir() {
			if err := root.RemoveAll(name); err != nil {
				return err
			}
		}
		if err := root.Rename(name+partialMark, name); err != nil {
			return fmt.Errorf("%s: %w", name, errors.Unwrap(err))
		}
	}
	for folder, info := range folders {
		if err := root.Chtimes(folder, info.ModTime(), info.ModTime()); err != nil {
			return err
		}
	}
	return nil
}

func (p *partialFiles) remove() {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return
	}
	defer root.Close()
	for _, name := range p.names {
		_ = root.Remove(name + partialMark)
	}
}

// drain takes what the daemon still sends until it has read the error and goes away. Were the stream ended at once, it
// would see the end before the error, and say EOF.
func (p *partialFiles) drain() {
	var packet fstypes.Packet
	for p.FileSend_DiffCopyServer.RecvMsg(&packet) == nil {
		packet.ResetVT()
	}
}
