// Command matchbox serves boot files the way Matchbox does, as far as CozyStack uses it: assets, and an iPXE script
// made from the group and profile that fit a machine.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Set by the linker.
var version = "unknown"

type group struct {
	ID       string            `json:"id"`
	Profile  string            `json:"profile"`
	Selector map[string]string `json:"selector"`
}

type profile struct {
	ID   string `json:"id"`
	Boot struct {
		Kernel string   `json:"kernel"`
		Initrd []string `json:"initrd"`
		Args   []string `json:"args"`
	} `json:"boot"`
}

func main() {
	address := flag.String("address", "127.0.0.1:8080", "HTTP listen address")
	data := flag.String("data-path", "/var/lib/matchbox", "folder with groups/ and profiles/")
	assets := flag.String("assets-path", "/var/lib/matchbox/assets", "folder of static assets; empty: none")
	level := flag.String("log-level", "info", "debug, info, warning, error")
	rpc := flag.String("rpc-address", "", "not served by this stand-in")
	show := flag.Bool("version", false, "print the version and exit")
	flag.VisitAll(func(known *flag.Flag) {
		name := "MATCHBOX_" + strings.ToUpper(strings.ReplaceAll(known.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok {
			if err := known.Value.Set(value); err != nil {
				log.Fatalf("%s: %v", name, err)
			}
		}
	})
	flag.Parse()
	if *show {
		fmt.Println(version)
		return
	}
	if *rpc != "" {
		log.Fatal("STAND-IN: the lab's matchbox serves no RPC: leave -rpc-address out")
	}
	for _, one := range [][2]string{{"-data-path", *data}, {"-assets-path", *assets}} {
		name, folder := one[0], one[1]
		if info, err := os.Stat(folder); (folder != "" || name == "-data-path") && (err != nil || !info.IsDir()) {
			log.Fatalf("a valid %s is required: %q is no folder", name, folder)
		}
	}
	server := http.NewServeMux()
	server.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "matchbox") })
	server.HandleFunc("GET /boot.ipxe", bootScript)
	server.HandleFunc("GET /boot.ipxe.0", bootScript)
	server.HandleFunc("GET /ipxe", func(w http.ResponseWriter, r *http.Request) { ipxe(w, r, *data) })
	if *assets != "" {
		server.Handle("GET /assets/", http.StripPrefix("/assets/", http.FileServer(http.Dir(*assets))))
	}
	log.Printf("STAND-IN matchbox %s listens on %s (log level %s)", version, *address, *level)
	log.Fatal(http.ListenAndServe(*address, server))
}

func bootScript(w http.ResponseWriter, _ *http.Request) {
	names := []string{"uuid=${uuid}", "mac=${mac:hexhyp}", "domain=${domain}", "hostname=${hostname}", "serial=${serial}"}
	fmt.Fprintf(w, "#!ipxe\nchain ipxe?%s\n", strings.Join(names, "&"))
}

func ipxe(w http.ResponseWriter, r *http.Request, data string) {
	found, err := match(r, data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var script bytes.Buffer
	fmt.Fprintf(&script, "#!ipxe\nkernel %s", found.Boot.Kernel)
	for _, argument := range found.Boot.Args {
		fmt.Fprintf(&script, " %s", argument)
	}
	for _, initrd := range found.Boot.Initrd {
		fmt.Fprintf(&script, "\ninitrd %s", initrd)
	}
	script.WriteString("\nboot\n")
	_, _ = script.WriteTo(w)
}

// match gives the profile of the group with the most selectors that all fit the request.
func match(r *http.Request, data string) (*profile, error) {
	files, err := filepath.Glob(filepath.Join(data, "groups", "*.json"))
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, file := range files {
		var one group
		if err := read(file, &one); err != nil {
			return nil, err
		}
		groups = append(groups, one)
	}
	sort.SliceStable(groups, func(i, j int) bool { return len(groups[i].Selector) > len(groups[j].Selector) })
	for _, one := range groups {
		if fits(one, r) {
			var found profile
			return &found, read(filepath.Join(data, "profiles", filepath.Base(one.Profile)+".json"), &found)
		}
	}
	return nil, fmt.Errorf("no group fits this machine")
}

func fits(one group, r *http.Request) bool {
	for name, value := range one.Selector {
		given := r.URL.Query().Get(name)
		if name == "mac" {
			given = strings.ReplaceAll(given, "-", ":")
		}
		if !strings.EqualFold(given, value) {
			return false
		}
	}
	return true
}

func read(file string, into any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}
