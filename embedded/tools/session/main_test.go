package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/session/secrets"
	"google.golang.org/grpc"
)

// The test binary is the helper itself when it is called with this variable set.
const asHelper = "SESSION_HELPER_UNDER_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asHelper) != "" {
		os.Unsetenv(asHelper)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// daemon answers the one call of buildkitd that a session needs.
type daemon struct {
	controlapi.UnimplementedControlServer
	sessions *session.Manager
	server   *grpc.Server
	addr     string
}

func (d *daemon) Session(stream controlapi.Control_SessionServer) error {
	conn, _, headers := grpchijack.Hijack(stream)
	defer conn.Close()
	return d.sessions.HandleConn(stream.Context(), conn, headers)
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	folder, err := os.MkdirTemp("", "s") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	path := filepath.Join(folder, "sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	manager, err := session.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{sessions: manager, server: grpc.NewServer(), addr: "unix://" + path}
	controlapi.RegisterControlServer(d.server, d)
	go func() { _ = d.server.Serve(listener) }()
	t.Cleanup(d.server.Stop)
	return d
}

type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startHelper(t *testing.T, addr string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "--addr", addr, "--state", t.TempDir())
	cmd.Env = append(os.Environ(), asHelper+"=1", "DOCKER_CONFIG="+t.TempDir())
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &process{cmd, stdin, bufio.NewScanner(stdout)}
}

func (p *process) next(t *testing.T) answer {
	t.Helper()
	var got answer
	if !p.lines.Scan() {
		t.Fatalf("no further line: %v", p.lines.Err())
	}
	if err := json.Unmarshal(p.lines.Bytes(), &got); err != nil {
		t.Fatalf("%q: %v", p.lines.Text(), err)
	}
	return got
}

// ends returns the exit code once the process has ended.
func (p *process) ends(t *testing.T) int {
	t.Helper()
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(5 * time.Second):
		t.Fatal("it does not end")
		return -1
	}
}

func TestTheProcessOpensASessionAndEndsWithItsInput(t *testing.T) {
	d := startDaemon(t)
	p := startHelper(t, d.addr)
	id := p.next(t).ID
	if _, err := io.WriteString(p.stdin, `{"n":5,"op":"secret","id":"a","value":"`+b64("x")+"\"}\n"); err != nil {
		t.Fatal(err)
	}
	if got := p.next(t); !got.OK || *got.N != 5 {
		t.Fatalf("%+v", got)
	}
	caller, err := d.sessions.Get(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	if value, err := secrets.GetSecret(t.Context(), caller, "a"); err != nil || string(value) != "x" {
		t.Errorf("%q, %v", value, err)
	}
	p.stdin.Close()
	if code := p.ends(t); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestTheProcessEndsWhenTerminated(t *testing.T) {
	p := startHelper(t, startDaemon(t).addr)
	p.next(t)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if code := p.ends(t); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestTheDaemonsEndIsTheLastLine(t *testing.T) {
	d := startDaemon(t)
	p := startHelper(t, d.addr)
	p.next(t)
	d.server.Stop()
	got := p.next(t)
	if got.N != nil || !strings.Contains(got.Error, "buildkitd closed the session") {
		t.Errorf("%+v", got)
	}
	if code := p.ends(t); code != 1 {
		t.Errorf("code %d", code)
	}
}

func TestADaemonThatDoesNotAnswerIsNamed(t *testing.T) {
	p := startHelper(t, "unix:///no/such.sock")
	got := p.next(t)
	if got.ID != "" || !strings.Contains(got.Error, "buildkitd at unix:///no/such.sock does not answer") {
		t.Errorf("%+v", got)
	}
	if code := p.ends(t); code != 1 {
		t.Errorf("code %d", code)
	}
}

func TestTheProcessEndsWithItsParentThoughItsInputStaysOpen(t *testing.T) {
	d := startDaemon(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	// The shell starts the helper in the background, waits for a word, and goes.
	parent := exec.Command("sh", "-c", `"$0" --addr "$1" --state "$2" <&3 & echo $!; read word`, os.Args[0], d.addr, t.TempDir())
	parent.Env = append(os.Environ(), asHelper+"=1")
	parent.ExtraFiles = []*os.File{read}
	leave, _ := parent.StdinPipe()
	stdout, _ := parent.StdoutPipe()
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	pid := lines.Text()
	lines.Scan() // the session's id
	leave.Close()
	for range 250 {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			_ = parent.Wait()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("the helper outlives its parent")
}
