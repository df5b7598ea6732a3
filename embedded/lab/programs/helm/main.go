// Command helm stands in for Helm: `helm template` for the charts of the lab's packages.
//
//	helm template NAME CHART [--namespace NAMESPACE] [--values FILE]…
//
// It reads Chart.yaml, values.yaml and templates/, and knows the few functions that those charts use. What Helm has
// and this has not, it refuses by name: charts in charts, and functions of Sprig's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

var version = "none"

func main() {
	out, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
	fmt.Print(out)
}

func run(arguments []string) (string, error) {
	if len(arguments) == 1 && arguments[0] == "version" {
		return fmt.Sprintf("STAND-IN for Helm %s: the cozystack-talos lab's\n", version), nil
	}
	if len(arguments) < 3 || arguments[0] != "template" {
		return "", errors.New("STAND-IN for Helm: usage: helm template NAME CHART [--namespace NAMESPACE] [--values FILE]")
	}
	flags := flag.NewFlagSet("helm template", flag.ContinueOnError)
	namespace := flags.String("namespace", "default", "")
	var files []string
	flags.Func("values", "", func(file string) error { files = append(files, file); return nil })
	if err := flags.Parse(arguments[3:]); err != nil {
		return "", err
	}
	return render(arguments[1], arguments[2], *namespace, files)
}

// render returns the objects of a chart, each file below a comment that names it.
func render(name, folder, namespace string, files []string) (string, error) {
	about, err := read(filepath.Join(folder, "Chart.yaml"))
	if err != nil {
		return "", err
	}
	if found, _ := os.ReadDir(filepath.Join(folder, "charts")); len(found) > 0 {
		return "", fmt.Errorf("STAND-IN for Helm: %s has charts in it, which are not known here", folder)
	}
	values := map[string]any{}
	for _, file := range append([]string{filepath.Join(folder, "values.yaml")}, files...) {
		more, err := read(file)
		if err != nil && !os.IsNotExist(err) {
			return "", err
		}
		merge(values, more)
	}
	chart := fmt.Sprint(about["name"])
	given := map[string]any{
		"Values":  values,
		"Chart":   map[string]any{"Name": chart, "Version": about["version"], "AppVersion": about["appVersion"]},
		"Release": map[string]any{"Name": name, "Namespace": namespace, "Service": "Helm"},
	}
	all := template.New(chart).Option("missingkey=zero")
	all.Funcs(functions(all))
	paths, err := templates(folder)
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			return "", err
		}
		if _, err := all.New(chart + "/" + path).Parse(string(text)); err != nil {
			return "", fmt.Errorf("parse error at (%s/%s): %w", chart, path, err)
		}
	}
	var out strings.Builder
	for _, path := range paths {
		if filepath.Ext(path) != ".yaml" {
			continue
		}
		var text strings.Builder
		if err := all.ExecuteTemplate(&text, chart+"/"+path, given); err != nil {
			return "", refused(err)
		}
		body := strings.TrimSpace(strings.ReplaceAll(text.String(), "<no value>", ""))
		for _, document := range strings.Split("\n"+body, "\n---") {
			if document = strings.TrimSpace(document); document != "" {
				fmt.Fprintf(&out, "---\n# Source: %s/%s\n%s\n", chart, path, document)
			}
		}
	}
	return out.String(), nil
}

var calling = regexp.MustCompile(`^template: (\S+:\d+:\d+): .*error calling required: (.*)$`)

// refused returns the error of a template, in Helm's words where it is a chart's own.
func refused(err error) error {
	if found := calling.FindStringSubmatch(err.Error()); found != nil {
		return fmt.Errorf("execution error at (%s): %s\n\nUse --debug flag to render out invalid YAML", found[1], found[2])
	}
	return err
}

func read(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := map[string]any{}
	if err := yaml.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return found, nil
}

// merge lays values over others, mapping by mapping.
func merge(into, over map[string]any) {
	for key, value := range over {
		below, isMap := into[key].(map[string]any)
		above, overMap := value.(map[string]any)
		if isMap && overMap {
			merge(below, above)
		} else {
			into[key] = value
		}
	}
}

func templates(folder string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(filepath.Join(folder, "templates"), func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ending := filepath.Ext(path)
		if entry.IsDir() || (ending != ".yaml" && ending != ".tpl") {
			return nil
		}
		inner, err := filepath.Rel(folder, path)
		paths = append(paths, inner)
		return err
	})
	if os.IsNotExist(err) {
		err = nil
	}
	sort.Strings(paths)
	return paths, err
}

func functions(all *template.Template) template.FuncMap {
	indent := func(columns int, text string) string {
		pad := strings.Repeat(" ", columns)
		return pad + strings.ReplaceAll(text, "\n", "\n"+pad)
	}
	return template.FuncMap{
		"include": func(name string, given any) (string, error) {
			var out strings.Builder
			err := all.ExecuteTemplate(&out, name, given)
			return out.String(), err
		},
		"required": func(message string, value any) (any, error) {
			if empty(value) {
				return nil, errors.New(message)
			}
			return value, nil
		},
		"default": func(fallback, value any) any {
			if empty(value) {
				return fallback
			}
			return value
		},
		"quote": func(value any) string { return fmt.Sprintf("%q", fmt.Sprint(value)) },
		"list":  func(values ...any) []any { return values },
		"first": func(values []any) any {
			if len(values) == 0 {
				return nil
			}
			return values[0]
		},
		"indent":  indent,
		"nindent": func(columns int, text string) string { return "\n" + indent(columns, text) },
		"toYaml": func(value any) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
	}
}

func empty(value any) bool {
	truth, known := template.IsTrue(value)
	return value == nil || !known || !truth || !reflect.ValueOf(value).IsValid()
}
