package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/tonistiigi/fsutil"
)

// In a container this program is the one that a step runs.
func TestMain(m *testing.M) {
	if os.Getenv("INSIDE") == "yes" {
		content, err := os.ReadFile("/given")
		if err == nil {
			err = os.WriteFile("/out/made", append(content, " and taken"...), 0o600)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start runs the daemon in this process and connects to it.
func start(t *testing.T) *client.Client {
	t.Helper()
	runc, err := exec.LookPath("runc")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("needs runc on PATH, and root")
	}
	folder := t.TempDir()
	path, socket := filepath.Join(folder, "buildkitd.toml"), filepath.Join(folder, "socket")
	text := fmt.Sprintf(`
root = %q
insecure-entitlements = ["security.insecure"]
[grpc]
address = ["unix://%s"]
[worker.oci]
binary = %q
networkMode = "host"
gc = true
maxUsedSpace = "8000000000"
`, filepath.Join(folder, "root"), socket, runc)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run(path) }()
	t.Cleanup(func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the daemon ended with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the daemon does not end")
		}
	})
	for range 200 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the daemon did not start: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	connected, err := client.New(context.Background(), "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connected.Close() })
	return connected
}

func TestDaemonRunsAStepExportsWhatItMadeAndPrunes(t *testing.T) {
	connected := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	workers, err := connected.ListWorkers(ctx)
	if err != nil || len(workers) != 1 || len(workers[0].Platforms) == 0 {
		t.Fatalf("got workers %v, %v", workers, err)
	}

	given := t.TempDir()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(filepath.Join(given, "program"), content, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(given, "given"), []byte("given"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	folder, err := fsutil.NewFS(given)
	if err != nil {
		t.Fatal(err)
	}
	step := llb.Local("given").Run(llb.Args([]string{"/program"}), llb.AddEnv("INSIDE", "yes"), llb.Network(llb.NetModeNone))
	made := step.AddMount("/out", llb.Scratch())
	definition, err := made.Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	_, err = connected.Solve(ctx, definition, client.SolveOpt{
		LocalMounts: map[string]fsutil.FS{"given": folder},
		Exports:     []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "made")); err != nil || string(text) != "given and taken" {
		t.Errorf("got %q, %v", text, err)
	}

	mountTwice(ctx, t, connected)

	used := func() int {
		records, err := connected.DiskUsage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(records)
	}
	if used() == 0 {
		t.Error("nothing is in the cache after a build")
	}
	if err := connected.Prune(ctx, nil, client.PruneAll); err != nil {
		t.Fatal(err)
	}
	if left := used(); left != 0 {
		t.Errorf("%d records are left of the cache", left)
	}
}

// mountTwice has two actions of one step mount the same snapshot, which the kernel refuses after a volatile mount.
func mountTwice(ctx context.Context, t *testing.T, connected *client.Client) {
	t.Helper()
	below := llb.Scratch().File(llb.Mkfile("/below", 0o600, []byte("below")))
	made := below.File(llb.Mkfile("/first", 0o600, []byte("first")).Mkfile("/second", 0o600, []byte("second")))
	definition, err := made.Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	_, err = connected.Solve(ctx, definition, client.SolveOpt{
		Exports: []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"below", "first", "second"} {
		if text, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(text) != name {
			t.Errorf("got %q, %v", text, err)
		}
	}
}
