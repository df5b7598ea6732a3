package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const chart = `apiVersion: v2
name: cozy-it
appVersion: v7
`

const values = `image:
  repository: quay.io/x/it
  tag: ""
ports: [1, 2]
`

func write(t *testing.T, template string) string {
	t.Helper()
	folder := t.TempDir()
	for path, text := range map[string]string{
		"Chart.yaml":             chart,
		"values.yaml":            values,
		"templates/_helpers.tpl": `{{- define "name" }}{{ .Release.Name }}-x{{ end }}`,
		"templates/it.yaml":      template,
	} {
		file := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestObjectsStandBelowTheirSource(t *testing.T) {
	folder := write(t, `{{- if .Values.image }}
name: {{ include "name" . }}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
ports:
  {{- toYaml .Values.ports | nindent 2 }}
---
kind: {{ .Values.kind | quote }}
{{- end }}
`)
	more := filepath.Join(folder, "more.yaml")
	if err := os.WriteFile(more, []byte("image: {tag: v8}\nkind: Pod\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := run([]string{"template", "one", folder, "--namespace", "two", "--values", more})
	want := `---
# Source: cozy-it/templates/it.yaml
name: one-x
image: "quay.io/x/it:v8"
ports:
  - 1
  - 2
---
# Source: cozy-it/templates/it.yaml
kind: "Pod"
`
	if err != nil || got != want {
		t.Fatalf("got %v\n%s", err, got)
	}
}

func TestRefusalsAreInHelmsWords(t *testing.T) {
	for template, want := range map[string]string{
		`a: {{ required "name it" .Values.none }}`: "execution error at (cozy-it/templates/it.yaml:1:6): name it",
		`a: {{ .Values.a | sha256sum }}`:           `parse error at (cozy-it/templates/it.yaml): `,
	} {
		_, err := run([]string{"template", "one", write(t, template)})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s gives %v", template, err)
		}
	}
}
