package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/moby/buildkit/session/secrets/secretsprovider"
)

// request is a line of input. N comes back in the answer. By op:
//
//	dir      name, path          the folder of the source local://NAME
//	secret   id, value (base64)  a secret of at most 500 KiB
//	auth     host, username, password (base64)   credentials for a registry; others are Docker's own configuration's
//	store    name, path          the OCI layout of sources with the attribute oci.store=NAME
//	socket   id, address         the TCP address (host:port) that ssh mounts of that id lead to
//	target   index, dir or file  where the exporter of that number in a solve writes; set it anew before each solve
//
// A later request replaces an earlier one of the same name.
type request struct {
	N        int     `json:"n"`
	Op       string  `json:"op"`
	Name     string  `json:"name"`
	Path     string  `json:"path"`
	ID       string  `json:"id"`
	Value    *string `json:"value"`
	Host     string  `json:"host"`
	Username string  `json:"username"`
	Password string  `json:"password"`
	Address  string  `json:"address"`
	Index    int     `json:"index"`
	Dir      string  `json:"dir"`
	File     string  `json:"file"`
}

type answer struct {
	ID    string `json:"id,omitempty"`
	N     *int   `json:"n,omitempty"`
	OK    bool   `json:"ok,omitempty"`
	Error string `json:"error,omitempty"`
}

type answers struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func newAnswers(w io.Writer) *answers {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &answers{encoder: encoder}
}

func (a *answers) send(one answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = a.encoder.Encode(one) // nobody there to read it: stdin's end follows
}

func (a *answers) last(err error) { a.send(answer{Error: err.Error()}) }

// serve answers requests until the input ends.
func (p *provider) serve(input io.Reader, answers *answers) error {
	lines := bufio.NewReader(input)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			answers.send(p.answer(line))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *provider) answer(line []byte) answer {
	var r request
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&r)
	if err != nil {
		err = fmt.Errorf("bad request: %w", err)
	} else if err = p.take(r); err != nil {
		err = fmt.Errorf("%s: %w", r.Op, err)
	}
	if err != nil {
		return answer{N: &r.N, Error: err.Error()}
	}
	return answer{N: &r.N, OK: true}
}

func (p *provider) take(r request) error {
	switch r.Op {
	case "dir":
		return p.dirs.add(r.Name, r.Path)
	case "secret":
		if r.ID == "" || r.Value == nil {
			return errors.New("give id and value")
		}
		value, err := base64.StdEncoding.DecodeString(*r.Value)
		if err != nil {
			return fmt.Errorf("the value of %q is not base64", r.ID)
		}
		if len(value) > secretsprovider.MaxSecretSize {
			return fmt.Errorf("%q has %d bytes: at most %d are allowed", r.ID, len(value), secretsprovider.MaxSecretSize)
		}
		p.secrets.set(r.ID, value)
		return nil
	case "auth":
		password, err := base64.StdEncoding.DecodeString(r.Password)
		if err != nil {
			return fmt.Errorf("the password for %q is not base64", r.Host)
		}
		return p.logins.add(r.Host, r.Username, string(password))
	case "store":
		return p.layouts.add(r.Name, r.Path)
	case "socket":
		return p.sockets.add(r.ID, r.Address)
	case "target":
		return p.targets.set(r.Index, r.Dir, r.File)
	}
	return errors.New("unknown operation: give dir, secret, auth, store, socket or target")
}

// existingDir refuses names and paths that can't work, before a solve stumbles over them.
func existingDir(name, path string) error {
	if name == "" {
		return errors.New("give a name")
	}
	if !filepath.IsAbs(path) {
		return fmt.Errorf("%q: give an absolute path", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%q is not a folder", path)
	}
	return nil
}
