package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestScriptComesFromTheGroupThatFitsBest(t *testing.T) {
	data := t.TempDir()
	write(t, data+"/groups/default.json", `{"id": "default", "profile": "default"}`)
	write(t, data+"/groups/one.json", `{"id": "one", "profile": "one", "selector": {"mac": "52:54:00:00:00:01"}}`)
	write(t, data+"/profiles/default.json", `{"boot": {"kernel": "/assets/vmlinuz", "initrd": ["/assets/initramfs.xz"], "args": ["a", "b=c"]}}`)
	write(t, data+"/profiles/one.json", `{"boot": {"kernel": "/assets/one"}}`)
	for query, want := range map[string]string{
		"mac=52-54-00-00-00-02": "#!ipxe\nkernel /assets/vmlinuz a b=c\ninitrd /assets/initramfs.xz\nboot\n",
		"mac=52-54-00-00-00-01": "#!ipxe\nkernel /assets/one\nboot\n",
	} {
		answer := httptest.NewRecorder()
		ipxe(answer, httptest.NewRequest("GET", "/ipxe?"+query, nil), data)
		if got := answer.Body.String(); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestMachineThatNoGroupFitsGetsNothing(t *testing.T) {
	answer := httptest.NewRecorder()
	ipxe(answer, httptest.NewRequest("GET", "/ipxe", nil), t.TempDir())
	if answer.Code != 404 {
		t.Errorf("got %d, want 404", answer.Code)
	}
}
