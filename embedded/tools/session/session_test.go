package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"github.com/moby/buildkit/session/auth/authprovider"
	sessioncontent "github.com/moby/buildkit/session/content"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/session/sshforward"
	"github.com/moby/buildkit/session/testutil"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"
)

// connect opens a session of a new provider as buildkitd would see it.
func connect(t *testing.T) (*provider, session.Caller) {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	manager, err := session.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p := newProvider(t.TempDir())
	id, err := p.open(ctx, "", session.Dialer(testutil.TestStream(manager.HandleConn)), make(chan error, 1))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := manager.Get(ctx, id, false)
	if err != nil {
		t.Fatal(err)
	}
	return p, caller
}

func ask(t *testing.T, p *provider, fields map[string]any) answer {
	t.Helper()
	line, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return p.answer(line)
}

func accept(t *testing.T, p *provider, fields map[string]any) {
	t.Helper()
	if got := ask(t, p, fields); !got.OK || got.Error != "" {
		t.Fatalf("%v: %+v", fields, got)
	}
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestADirIsServedWithModesLinksAndTimes(t *testing.T) {
	p, caller := connect(t)
	source, dest := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "bin/tool"), "#!", 0o755)
	write(t, filepath.Join(source, "left/out"), "x", 0o644)
	if err := os.Symlink("tool", filepath.Join(source, "bin/link")); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1500000000, 123456789)
	if err := os.Chtimes(filepath.Join(source, "bin/tool"), old, old); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Lchown(filepath.Join(source, "bin/tool"), 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	accept(t, p, map[string]any{"n": 1, "op": "dir", "name": "src", "path": source})
	err := filesync.FSSync(t.Context(), caller, filesync.FSSendRequestOpt{
		Name: "src", DestDir: dest, IncludePatterns: []string{"bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dest, "bin/tool"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o755 || !info.ModTime().Equal(old) {
		t.Errorf("mode %v, time %v", info.Mode(), info.ModTime())
	}
	if owner := fmt.Sprint(info.Sys()); os.Getuid() == 0 && strings.Contains(owner, "1234 1234") {
		t.Errorf("the owner came along: %v", owner)
	}
	if link, _ := os.Readlink(filepath.Join(dest, "bin/link")); link != "tool" {
		t.Errorf("link %q", link)
	}
	if _, err := os.Stat(filepath.Join(dest, "left")); err == nil {
		t.Error("the include patterns were not heeded")
	}
}

func TestADirThatWasNotNamedIsRefused(t *testing.T) {
	_, caller := connect(t)
	err := filesync.FSSync(t.Context(), caller, filesync.FSSendRequestOpt{Name: "other", DestDir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `no access allowed to dir "other"`) {
		t.Errorf("got %v", err)
	}
}

func TestSecrets(t *testing.T) {
	p, caller := connect(t)
	if _, err := secrets.GetSecret(t.Context(), caller, "token"); err == nil {
		t.Error("a secret before it was given")
	}
	accept(t, p, map[string]any{"n": 1, "op": "secret", "id": "token", "value": b64("a\x00b")})
	accept(t, p, map[string]any{"n": 2, "op": "secret", "id": "empty", "value": ""})
	for id, want := range map[string]string{"token": "a\x00b", "empty": ""} {
		if got, err := secrets.GetSecret(t.Context(), caller, id); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
}

func TestCredentialsOfAHostAndOfDockersConfiguration(t *testing.T) {
	p, caller := connect(t)
	accept(t, p, map[string]any{"n": 1, "op": "auth", "host": "docker.io", "username": "hub", "password": b64("one")})
	accept(t, p, map[string]any{"n": 1, "op": "auth", "host": "https://ghcr.io/v2/", "username": "gh", "password": b64("two")})
	client := auth.NewAuthClient(caller.Conn())
	for host, want := range map[string]string{
		"registry-1.docker.io": "hub:one", "ghcr.io": "gh:two", "quay.io": ":",
	} {
		got, err := client.Credentials(t.Context(), &auth.CredentialsRequest{Host: host})
		if err != nil || got.Username+":"+got.Secret != want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}

func TestDockersConfigurationIsTheFallback(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "config.json"), `{"auths":{"quay.io":{"auth":"`+b64("me:three")+`"}}}`, 0o600)
	file, err := config.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	p, caller := connect(t)
	p.logins.fallback = authprovider.LoadAuthConfig(file)
	got, err := auth.NewAuthClient(caller.Conn()).Credentials(t.Context(), &auth.CredentialsRequest{Host: "quay.io"})
	if err != nil || got.Username+":"+got.Secret != "me:three" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestLayoutsAreReadWithoutTouchingThem(t *testing.T) {
	p, caller := connect(t)
	layout := t.TempDir()
	blob := strings.Repeat("layer", 100000)
	dgst := digest.FromString(blob)
	write(t, filepath.Join(layout, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`, 0o644)
	write(t, filepath.Join(layout, "blobs/sha256", dgst.Encoded()), blob, 0o644)
	accept(t, p, map[string]any{"n": 1, "op": "store", "name": "in", "path": layout})
	store := sessioncontent.NewCallerStore(caller, "oci:in")
	got, err := content.ReadBlob(t.Context(), store, ocispecs.Descriptor{Digest: dgst, Size: int64(len(blob))})
	if err != nil || string(got) != blob {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := store.Info(t.Context(), digest.FromString("other")); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("unknown blob: %v", err)
	}
	other := sessioncontent.NewCallerStore(caller, "oci:other")
	if _, err := other.Info(t.Context(), dgst); err == nil || !strings.Contains(err.Error(), `no OCI layout named "oci:other"`) {
		t.Errorf("unknown layout: %v", err)
	}
	entries, _ := os.ReadDir(layout)
	if len(entries) != 2 {
		t.Errorf("the layout has %v now", entries)
	}
}

func TestAFileTargetAppearsOnceItIsWhole(t *testing.T) {
	p, caller := connect(t)
	folder := t.TempDir()
	file := filepath.Join(folder, "new/out.tar")
	accept(t, p, map[string]any{"n": 1, "op": "target", "index": 1, "file": file})
	w, err := filesync.CopyFileWriter(t.Context(), nil, 1, caller)
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789"), 500000)
	if _, err := w.Write(large); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is there before its end")
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, large) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestACutOffFileTargetLeavesNothing(t *testing.T) {
	p, caller := connect(t)
	folder := t.TempDir()
	accept(t, p, map[string]any{"n": 1, "op": "target", "file": filepath.Join(folder, "out.tar")})
	ctx, cancel := context.WithCancel(t.Context())
	w, err := filesync.CopyFileWriter(ctx, nil, 0, caller)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "half")
	cancel()
	for range 100 {
		if entries, _ := os.ReadDir(folder); len(entries) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	entries, _ := os.ReadDir(folder)
	t.Errorf("left: %v", entries)
}

// Copies a folder to a folder of the caller's machine, as an export does.
func copyTo(t *testing.T, p *provider, caller session.Caller, source, dest string) {
	t.Helper()
	files, err := fsutil.NewFS(source)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, p, map[string]any{"n": 1, "op": "target", "index": 0, "dir": dest})
	if err := filesync.CopyToCaller(t.Context(), files, 0, caller, nil); err != nil {
		t.Fatal(err)
	}
}

func TestADirTargetIsMergedIntoWhatIsThere(t *testing.T) {
	p, caller := connect(t)
	source, dest := t.TempDir(), filepath.Join(t.TempDir(), "assets")
	write(t, filepath.Join(source, "a/new"), "new", 0o700)
	write(t, filepath.Join(dest, "a/kept"), "kept", 0o644)
	if err := os.Symlink("a/new", filepath.Join(source, "link")); err != nil {
		t.Fatal(err)
	}
	copyTo(t, p, caller, source, dest)
	found := map[string]string{}
	_ = filepath.WalkDir(dest, func(path string, entry fs.DirEntry, err error) error {
		info, _ := entry.Info()
		name, _ := filepath.Rel(dest, path)
		found[name] = info.Mode().String()
		return nil
	})
	for name, mode := range map[string]string{"a/new": "-rwx------", "a/kept": "-rw-r--r--", "link": "Lrwxrwxrwx"} {
		if found[name] != mode {
			t.Errorf("%s is %q, want %q", name, found[name], mode)
		}
	}
}

func TestADirTargetKeepsHardLinksAndTheTimesOfFolders(t *testing.T) {
	p, caller := connect(t)
	source, dest := t.TempDir(), t.TempDir()
	for _, name := range []string{"a/b", "a/b-x", "a/b (1)", "a/b.d/c", "a/" + strings.Repeat("n", 250)} {
		write(t, filepath.Join(source, name), name, 0o644)
	}
	if err := os.Link(filepath.Join(source, "a/b"), filepath.Join(source, "a/z")); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(1500000000, 0)
	if err := os.Chtimes(filepath.Join(source, "a"), old, old); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dest, "a.txt/folder"), "in the way of nothing", 0o644)
	copyTo(t, p, caller, source, dest)
	entries, _ := os.ReadDir(filepath.Join(dest, "a"))
	if len(entries) != 6 {
		t.Errorf("there are %v", entries)
	}
	one, _ := os.Stat(filepath.Join(dest, "a/b"))
	two, err := os.Stat(filepath.Join(dest, "a/z"))
	if err != nil || !os.SameFile(one, two) {
		t.Errorf("the hard link is gone: %v", err)
	}
	if info, _ := os.Stat(filepath.Join(dest, "a")); !info.ModTime().Equal(old) {
		t.Errorf("the folder is of %v", info.ModTime())
	}
}

func TestAFullDiskIsToldAndLeavesNoFile(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount")
	}
	dest := t.TempDir()
	if err := unix.Mount("tmpfs", dest, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small disk can be had: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dest, unix.MNT_DETACH) })
	write(t, filepath.Join(dest, "a/large"), "as it was", 0o644)
	source := t.TempDir()
	write(t, filepath.Join(source, "a/large"), strings.Repeat("x", 30<<20), 0o644)
	write(t, filepath.Join(source, "a/small"), "x", 0o644)
	files, err := fsutil.NewFS(source)
	if err != nil {
		t.Fatal(err)
	}
	p, caller := connect(t)
	for range 20 { // whether the daemon sees the error or the stream's end first is a matter of luck
		accept(t, p, map[string]any{"n": 1, "op": "target", "index": 0, "dir": dest})
		ctx, cancel := context.WithCancel(t.Context())
		err = filesync.CopyToCaller(ctx, files, 0, caller, nil)
		cancel()
		if err == nil || !strings.HasPrefix(err.Error(), "error from receiver: write ") ||
			!strings.HasSuffix(err.Error(), "large: no space left on device") {
			t.Fatalf("got %q", err)
		}
		p.targets.running.Wait()
		entries, _ := os.ReadDir(filepath.Join(dest, "a"))
		if got, _ := os.ReadFile(filepath.Join(dest, "a/large")); len(entries) != 1 || string(got) != "as it was" {
			t.Fatalf("left: %v", entries)
		}
	}
}

func TestAFolderTargetThatIsCutOffLeavesNoFile(t *testing.T) {
	p, caller := connect(t)
	source, dest := t.TempDir(), t.TempDir()
	write(t, filepath.Join(source, "large"), strings.Repeat("x", 200<<20), 0o644)
	files, err := fsutil.NewFS(source)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, p, map[string]any{"n": 1, "op": "target", "index": 0, "dir": dest})
	done := make(chan error, 1)
	go func() { done <- filesync.CopyToCaller(t.Context(), files, 0, caller, nil) }()
	for {
		if entries, _ := os.ReadDir(dest); len(entries) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if _, err := os.Stat(filepath.Join(dest, "large")); err == nil {
		t.Error("the file is there before its end")
	}
	p.close()
	if entries, _ := os.ReadDir(dest); len(entries) > 0 {
		t.Errorf("left: %v", entries)
	}
	if err := <-done; err == nil {
		t.Error("who sent it was not told")
	}
}

func TestATargetThatIsNoRegularFileIsRefused(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := ask(t, newProvider(""), map[string]any{"n": 1, "op": "target", "file": fifo})
	if want := fmt.Sprintf("target: %q is there and is not a regular file: p---------", fifo); got.Error != want {
		t.Errorf("got %+v", got)
	}
}

func TestAnExporterWithoutATargetIsRefused(t *testing.T) {
	_, caller := connect(t)
	w, err := filesync.CopyFileWriter(t.Context(), nil, 3, caller)
	if err == nil {
		err = w.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "no target was set for exporter 3") {
		t.Errorf("got %v", err)
	}
}

func TestASocketCarriesConnectionsToAnAddress(t *testing.T) {
	p, caller := connect(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			question, _ := io.ReadAll(conn)
			_, _ = io.WriteString(conn, "answer to "+string(question))
			conn.Close()
		}
	}()
	accept(t, p, map[string]any{"n": 1, "op": "socket", "id": "out", "address": listener.Addr().String()})
	if err := sshforward.CheckSSHID(t.Context(), caller, "other"); err == nil {
		t.Error("a socket that was not offered is there")
	}
	path, remove, err := sshforward.MountSSHSocket(t.Context(), caller, sshforward.SocketOpt{
		ID: "out", UID: os.Getuid(), GID: os.Getgid(), Mode: 0o600,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	for _, question := range []string{"a", strings.Repeat("long ", 100_000)} {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, question); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.UnixConn).CloseWrite()
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "answer to "+question {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		conn.Close()
	}
}

func TestRequestsThatCantWorkAreRefused(t *testing.T) {
	folder := t.TempDir()
	write(t, filepath.Join(folder, "file"), "", 0o644)
	p := newProvider(folder)
	for _, c := range []struct{ line, want string }{
		{`{"n":7,"op":"dance"}`, "dance: unknown operation: give dir, secret, auth, store, socket or target"},
		{`{"n":7,"op":"dir","nmae":"x"}`, `bad request: json: unknown field "nmae"`},
		{`{"n":7,"op":"dir","name":"x","path":"relative"}`, `dir: "relative": give an absolute path`},
		{`{"n":7,"op":"dir","name":"x","path":"/no/such"}`, "dir: stat /no/such: no such file or directory"},
		{`{"n":7,"op":"dir","name":"x","path":"` + folder + `/file"}`, `dir: "` + folder + `/file" is not a folder`},
		{`{"n":7,"op":"secret","id":"x"}`, "secret: give id and value"},
		{`{"n":7,"op":"secret","id":"x","value":"%"}`, `secret: the value of "x" is not base64`},
		{`{"n":7,"op":"secret","id":"x","value":"` + b64(strings.Repeat("x", 512001)) + `"}`,
			`secret: "x" has 512001 bytes: at most 512000 are allowed`},
		{`{"n":7,"op":"auth","username":"u"}`, "auth: give a host"},
		{`{"n":7,"op":"socket","address":"127.0.0.1:1"}`, "socket: give an id"},
		{`{"n":7,"op":"socket","id":"x","address":"127.0.0.1"}`, "socket: give host:port: address 127.0.0.1: missing port in address"},
		{`{"n":7,"op":"target"}`, "target: give index and the absolute path of either dir or file"},
		{`{"n":7,"op":"target","dir":"/a","file":"/b"}`, "target: give index and the absolute path of either dir or file"},
		{`{"n":7,"op":"target","dir":"a"}`, "target: give index and the absolute path of either dir or file"},
	} {
		got := p.answer([]byte(c.line))
		if got.OK || got.N == nil || *got.N != 7 || got.Error != c.want {
			t.Errorf("%s\n got %+v\nwant %s", c.line, got, c.want)
		}
	}
	got := p.answer([]byte(`{"n":7,"op":"store","name":"x","path":"` + folder + `"}`))
	if !strings.Contains(got.Error, "is not an OCI layout") {
		t.Errorf("store: %+v", got)
	}
}

func TestAnswersComeInOrderAndEndWithTheInput(t *testing.T) {
	var out bytes.Buffer
	input := "{\"n\":1,\"op\":\"secret\",\"id\":\"a\",\"value\":\"\"}\nnonsense\n\n{\"n\":3,\"op\":\"secret\",\"id\":\"b\",\"value\":\"\"}"
	if err := newProvider("").serve(strings.NewReader(input), newAnswers(&out)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || lines[0] != `{"n":1,"ok":true}` || !strings.HasPrefix(lines[1], `{"n":0,"error":"bad request: `) ||
		lines[2] != `{"n":3,"ok":true}` {
		t.Errorf("got %q", lines)
	}
}
