package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/cmd/buildkitd/config"
)

const sound = `
root = "/root"
[grpc]
address = ["unix:///socket"]
[worker.containerd]
enabled = false
[worker.oci]
gc = true
maxUsedSpace = "8000000000"
reservedSpace = "4000000000"
minFreeSpace = "10%"
`

func load(t *testing.T, text string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "buildkitd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.LoadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func TestConfigurationThatAsksForWhatIsNotThereIsRefusedByTheKey(t *testing.T) {
	for more, key := range map[string]string{
		"":                                         "",
		"[dns]\nnameservers = [\"192.0.2.1\"]":     "",
		"[worker.oci]\nrootless = true":            "worker.oci.rootless",
		"[worker.containerd]\nenabled = true":      "worker.containerd.enabled",
		"[grpc.tls]\ncert = \"/c\"":                "grpc.tls",
		"[worker.oci]\nnoProcessSandbox = true":    "worker.oci.noProcessSandbox",
		"[worker.oci]\nproxySnapshotterPath=\"p\"": "worker.oci.proxySnapshotterPath",
	} {
		table, _, _ := strings.Cut(more, "\n")
		text := sound + more
		if strings.Contains(sound, table+"\n") && table != "" {
			text = strings.Replace(sound, table+"\n", more+"\n", 1)
			text = strings.Replace(text, "enabled = true\nenabled = false", "enabled = true", 1)
		}
		settings := load(t, text)
		err := check(&settings)
		if key == "" && err != nil {
			t.Errorf("%q: %v", more, err)
		}
		if key != "" && (err == nil || !strings.HasPrefix(err.Error(), key+" is set")) {
			t.Errorf("%q: got %v, want an error about %s", more, err, key)
		}
	}
}

func TestLimitsOfTheCacheAreThoseOfTheConfiguration(t *testing.T) {
	settings := load(t, sound)
	rules := policy(settings.Workers.OCI.GCConfig, t.TempDir())
	if len(rules) != 4 {
		t.Fatalf("got %d rules, want BuildKit's four", len(rules))
	}
	last := rules[3]
	if !last.All || last.MaxUsedSpace != 8000000000 || last.ReservedSpace != 4000000000 || last.MinFreeSpace <= 0 {
		t.Errorf("got %+v", last)
	}
	off := false
	if rules := policy(config.GCConfig{GC: &off}, t.TempDir()); rules != nil {
		t.Errorf("got %v without garbage collection", rules)
	}
}

func TestUnknownSnapshotterIsRefusedWithThoseThatThereAre(t *testing.T) {
	_, err := snapshotter(t.TempDir(), "stargz")
	if err == nil || !strings.Contains(err.Error(), "auto, overlayfs and native") {
		t.Errorf("got %v", err)
	}
	if factory, err := snapshotter(t.TempDir(), "native"); err != nil || factory.Name != "native" {
		t.Errorf("got %v, %v", factory, err)
	}
}

func TestOneDaemonUsesAFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "root")
	unlock, err := lock(folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(folder); err == nil || !strings.HasPrefix(err.Error(), "another daemon uses ") {
		t.Errorf("got %v", err)
	}
	unlock()
	again, err := lock(folder)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestSocketIsForItsOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listeners, err := listen([]string{"unix://" + path})
	if err != nil {
		t.Fatal(err)
	}
	defer listeners[0].Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if _, err := listen([]string{"tcp://127.0.0.1:1"}); err == nil {
		t.Error("TCP without TLS was not refused")
	}
}
