package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is the helper itself when it is called with this variable set.
const asHelper = "EXEC_HELPER_UNDER_TEST"

// With this one it is a client: it sends its second argument to the address in the first and prints the answer.
const asClient = "EXEC_HELPER_CLIENT"

func TestMain(m *testing.M) {
	if os.Getenv(asHelper) != "" {
		os.Unsetenv(asHelper)
		main()
	}
	if os.Getenv(asClient) != "" {
		os.Exit(client(os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

func client(address, question string) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 1
	}
	_, _ = io.WriteString(conn, question)
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.Copy(os.Stdout, conn)
	return 0
}

type outcome struct {
	code           int
	stdout, stderr string
}

func helper(t *testing.T, spec map[string]any, args ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{string(text)}, args...)...)
	cmd.Env = []string{asHelper + "=1", "PATH=" + os.Getenv("PATH")}
	return cmd
}

func outcomeOf(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func runHelper(t *testing.T, spec map[string]any, args ...string) outcome {
	t.Helper()
	return outcomeOf(t, helper(t, spec, args...))
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func sh(script string) []string { return []string{"sh", "-c", script} }

func TestStreamsGoToTheLogAndTheOutFolder(t *testing.T) {
	dir := t.TempDir()
	got := runHelper(t, map[string]any{"out": dir, "combined": true}, sh("echo one; echo two >&2; exit 3")...)
	if want := (outcome{3, "one\n", "two\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o, e, c := read(t, dir, "stdout"), read(t, dir, "stderr"), read(t, dir, "exitCode"); o != "one\n" || e != "two\n" || c != "3" {
		t.Errorf("files: stdout %q, stderr %q, exitCode %q", o, e, c)
	}
	if both := read(t, dir, "combined"); len(both) != 8 || !strings.Contains(both, "one\n") || !strings.Contains(both, "two\n") {
		t.Errorf("combined: %q", both)
	}
}

func TestExpectDecidesTheHelpersCode(t *testing.T) {
	for _, c := range []struct {
		expect, script string
		want           int
	}{
		{"SUCCESS", "exit 0", 0}, {"SUCCESS", "exit 7", 7},
		{"ANY", "exit 0", 0}, {"ANY", "exit 7", 0},
		{"FAILURE", "exit 7", 0}, {"FAILURE", "exit 0", 120},
	} {
		dir := t.TempDir()
		got := runHelper(t, map[string]any{"expect": c.expect, "out": dir}, sh(c.script)...)
		if got.code != c.want {
			t.Errorf("%s of %q: code %d, want %d", c.expect, c.script, got.code, c.want)
		}
		if code := read(t, dir, "exitCode"); "exit "+code != c.script {
			t.Errorf("%s of %q: exitCode file says %q", c.expect, c.script, code)
		}
	}
}

func TestAKilledCommandHasTheShellsCode(t *testing.T) {
	if got := runHelper(t, nil, sh("kill -9 $$")...); got.code != 137 {
		t.Errorf("code %d, want 137", got.code)
	}
}

func TestACommandThatCannotStartFailsWithGosText(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, want string }{
		{"no-such-program", "exec: \"no-such-program\": executable file not found in $PATH\n"},
		{"/no/such", "fork/exec /no/such: no such file or directory\n"},
		{plain, "fork/exec " + plain + ": permission denied\n"},
	} {
		got := runHelper(t, map[string]any{"out": dir}, c.command)
		if got.code != 1 || got.stderr != c.want || read(t, dir, "stderr") != c.want || read(t, dir, "exitCode") != "1" {
			t.Errorf("%s: %+v, want code 1 and %q", c.command, got, c.want)
		}
	}
}

func TestStdin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("from a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789abcdef", 6000)
	for _, c := range []struct {
		name string
		spec map[string]any
		want string
	}{
		{"none", nil, ""},
		{"text", map[string]any{"stdin": "hello\n"}, "hello\n"},
		{"base64", map[string]any{"stdin": base64.StdEncoding.EncodeToString([]byte("\x00\xff")), "stdinBase64": true}, "\x00\xff"},
		{"file", map[string]any{"redirectStdin": file}, "from a file"},
		{"more than a pipe holds", map[string]any{"stdin": large}, large},
	} {
		if got := runHelper(t, c.spec, "cat"); got.code != 0 || got.stdout != c.want {
			t.Errorf("%s: %d, %q", c.name, got.code, got.stdout)
		}
	}
	if got := runHelper(t, map[string]any{"stdin": large}, "true"); got.code != 0 {
		t.Errorf("stdin that nobody reads: %+v", got)
	}
}

func TestRedirectedStreamsStayInTheLog(t *testing.T) {
	dir := t.TempDir()
	outFile, errFile := filepath.Join(dir, "a/b/out"), filepath.Join(dir, "err")
	got := runHelper(t, map[string]any{"redirectStdout": outFile, "redirectStderr": errFile, "mkdir": true},
		sh("echo one; echo two >&2")...)
	if want := (outcome{0, "one\n", "two\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o, e := read(t, outFile), read(t, errFile); o != "one\n" || e != "two\n" {
		t.Errorf("files: %q, %q", o, e)
	}
	if info, _ := os.Stat(outFile); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}

func TestOneFileMayTakeBothStreams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "both")
	runHelper(t, map[string]any{"redirectStdout": file, "redirectStderr": file}, sh("echo one; sleep 0.1; echo two >&2")...)
	if got := read(t, file); got != "one\ntwo\n" {
		t.Errorf("got %q", got)
	}
}

func TestSecretsAreScrubbedEverywhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte("f1le-value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := helper(t, map[string]any{"scrubEnv": []string{"TOKEN", "UNSET"}, "scrubFiles": []string{file}, "out": dir,
		"redirectStdout": filepath.Join(dir, "copy")},
		sh("printf 'a %s b ' $TOKEN; printf f1le; sleep 0.1; echo -value.; echo $TOKEN >&2")...)
	cmd.Env = append(cmd.Env, "TOKEN=hunter2")
	got := outcomeOf(t, cmd)
	if want := (outcome{0, "a *** b ***.\n", "***\n"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if o, c := read(t, dir, "stdout"), read(t, dir, "copy"); o != got.stdout || c != got.stdout {
		t.Errorf("files: %q, %q", o, c)
	}
}

func TestExpandsVariablesOnlyWhenAsked(t *testing.T) {
	for expand, want := range map[bool]string{true: "a-x-x--c", false: "a-$X-${X}-$NONE-c"} {
		cmd := helper(t, map[string]any{"expand": expand}, "printf", "%s", "a-$X-${X}-$NONE-c")
		cmd.Env = append(cmd.Env, "X=x")
		if got := outcomeOf(t, cmd); got.stdout != want {
			t.Errorf("expand %v: %q, want %q", expand, got.stdout, want)
		}
	}
}

func TestTrustsTheBundleWhereNothingElseIsSet(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := helper(t, map[string]any{"ca": bundle}, sh("echo $SSL_CERT_FILE $PIP_CERT $SSL_CERT_DIR")...)
	cmd.Env = append(cmd.Env, "PIP_CERT=/own.pem")
	if got, want := outcomeOf(t, cmd).stdout, bundle+" /own.pem\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestItsOwnProblemsAreOneLineAndCode121(t *testing.T) {
	for _, c := range []struct {
		name string
		spec map[string]any
		want string
	}{
		{"unknown key", map[string]any{"stdn": "x"}, `bad spec: json: unknown field "stdn"`},
		{"unknown expectation", map[string]any{"expect": "MAYBE"}, `bad spec: expect is "MAYBE": give SUCCESS, FAILURE or ANY`},
		{"no out folder", map[string]any{"out": "/no/such"}, "out: open /no/such/stdout: no such file or directory"},
		{"no folder to redirect to", map[string]any{"redirectStdout": "/no/such/file"}, "redirectStdout: open /no/such/file: no such file or directory"},
		{"nothing to redirect from", map[string]any{"redirectStdin": "/no/such"}, "redirectStdin: open /no/such: no such file or directory"},
		{"two stdins", map[string]any{"stdin": "x", "redirectStdin": "/y"}, `bad spec: both stdin and redirectStdin "/y" are given: leave one out`},
		{"missing secret file", map[string]any{"scrubFiles": []string{"/no/such"}}, "scrubFiles: open /no/such: no such file or directory"},
		{"full disk", map[string]any{"redirectStdout": "/dev/full"}, "write /dev/full: no space left on device"},
	} {
		got := runHelper(t, c.spec, "echo", "x")
		if want := "cozystack-talos exec helper: " + c.want + "\n"; got.code != 121 || got.stderr != want {
			t.Errorf("%s: code %d, stderr %q, want 121, %q", c.name, got.code, got.stderr, want)
		}
	}
}

func TestPassesSignalsOn(t *testing.T) {
	cmd := helper(t, nil, sh("trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done")...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := stdout.Read(line); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, 16)
	n, _ := stdout.Read(rest)
	_ = cmd.Wait()
	if string(rest[:n]) != "got it\n" || cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("%q, code %d", rest[:n], cmd.ProcessState.ExitCode())
	}
}

func TestDoesNotWaitForWhatTheCommandLeftBehind(t *testing.T) {
	begin := time.Now()
	got := runHelper(t, nil, sh("sleep 30 & echo done")...)
	if got.stdout != "done\n" || time.Since(begin) > 5*time.Second {
		t.Errorf("%+v after %v", got, time.Since(begin))
	}
}

func TestLargeOutputStreamsInLittleMemory(t *testing.T) {
	dir := t.TempDir()
	cmd := helper(t, map[string]any{"out": dir, "scrubEnv": []string{"PATH"}}, "head", "-c", "300000000", "/dev/zero")
	cmd.Stdout = nil
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "stdout"))
	if err != nil || info.Size() != 300000000 {
		t.Fatalf("%v, %v", info, err)
	}
	if kib := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; kib > 64<<10 {
		t.Errorf("needed %d KiB", kib)
	}
}

func TestAsProcess1(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root for a process namespace of its own")
	}
	cmd := helper(t, nil, sh("(setsid sh -c 'sleep 0.1; echo orphan; sleep 30' &) ; sleep 0.5; echo done; exit 4")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	begin := time.Now()
	got := outcomeOf(t, cmd)
	if want := (outcome{4, "orphan\ndone\n", ""}); got != want || time.Since(begin) > 5*time.Second {
		t.Errorf("got %+v after %v, want %+v", got, time.Since(begin), want)
	}
}

func TestForwardsAnAddressToASocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "out.sock")
	listener, err := net.Listen("unix", socket)
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
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	cmd := helper(t, map[string]any{"forward": map[string]any{"listen": address, "socket": socket}},
		os.Args[0], address, "a question")
	cmd.Env = append(cmd.Env, asClient+"=1")
	if got := outcomeOf(t, cmd); got.code != 0 || got.stdout != "answer to a question" {
		t.Errorf("got %+v", got)
	}
	got := runHelper(t, map[string]any{"forward": map[string]any{"listen": "192.0.2.1:1", "socket": socket}}, "true")
	if got.code != 121 || !strings.Contains(got.stderr, "forward: listen tcp 192.0.2.1:1") {
		t.Errorf("an address that can't be listened on: %+v", got)
	}
}
