package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// service is what an extension's service file says of what it waits for, and how far it is.
type service struct {
	name string
	// services are those of the base, in the file's order; containerd comes before all of them.
	services []string
	// depends is all else, in the file's order.
	depends []dependency

	said string
	runs bool
}

// dependency is a path, the network, the time or the service's configuration.
type dependency struct{ kind, value string }

func (s *service) id() string { return "ext-" + s.name }

// parseService reads the name and the `depends` of a service file: one `key: value` a line.
func parseService(text string) service {
	var found service
	depends := false
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.ContainsAny(line[:1], " -#") { // a key at the top
			depends = strings.HasPrefix(line, "depends:")
		}
		key, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ":")
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		switch {
		case strings.HasPrefix(line, "name:"):
			found.name = value
		case !depends:
		case key == "service":
			found.services = append(found.services, value)
		case key == "path", key == "network", key == "configuration" && value == "true", key == "time" && value == "true":
			found.depends = append(found.depends, dependency{key, value})
		}
	}
	return found
}

// serviceFiles is where extensions have what Talos reads of their services.
var serviceFiles = "/usr/local/etc/containers/*.yaml"

// startExtensions starts the services of all extensions, which happens before anything that they wait for is there.
func (n *node) startExtensions() {
	for _, file := range list(serviceFiles) {
		content, err := os.ReadFile(file)
		must(err)
		one := parseService(string(content))
		n.services = append(n.services, &one)
		say("service[%s](Starting): Starting service", one.id())
	}
	n.updateExtensions()
	n.registered = true
}

// updateExtensions says of each service what it waits for, where that has changed, and starts those that wait no longer.
func (n *node) updateExtensions() {
	for _, one := range n.services {
		if one.runs {
			continue
		}
		if unmet := n.unmet(one); len(unmet) > 0 {
			if said := strings.Join(unmet, ", "); said != one.said {
				one.said = said
				say("service[%s](Waiting): Waiting for %s", one.id(), said)
			}
			continue
		}
		one.runs = true
		say("service[%s](Preparing): Running pre state", one.id())
		say("service[%s](Preparing): Creating service runner", one.id())
		say("service[%s](Running): STAND-IN: its container would run now", one.id())
		if one.crashes(n.configuration) {
			one.crash()
		}
	}
}

// unmet words what a service waits for, in Talos's order: services first.
func (n *node) unmet(s *service) []string {
	var words []string
	for _, name := range append([]string{"containerd"}, s.services...) {
		switch {
		case n.up[name]:
		case n.registered:
			words = append(words, fmt.Sprintf("service %q to be registered", name))
		default:
			words = append(words, fmt.Sprintf(`service %q to be "up"`, name))
		}
	}
	for _, one := range s.depends {
		switch one.kind {
		case "path":
			if _, err := os.Stat(one.value); err != nil {
				words = append(words, fmt.Sprintf("file %q to exist", one.value))
			}
		case "network":
			if !n.up["network"] {
				words = append(words, "network")
			}
		case "time":
			if n.configuration == nil || !n.configuration.timeDisabled {
				words = append(words, "time sync")
			}
		case "configuration":
			if n.configuration == nil || !slices.Contains(n.configuration.services, s.name) {
				words = append(words, "extension service config")
			}
		}
	}
	return words
}

const forwarding = "net.ipv6.conf.all.forwarding"

// crashes says whether the container would end: Tailscale's can't route IPv6 where the node does not forward it.
func (s *service) crashes(given *configuration) bool {
	if given == nil || s.name != "tailscale" || given.sysctls[forwarding] == "1" {
		return false
	}
	for _, entry := range given.environment[s.name] {
		if routes, ok := strings.CutPrefix(entry, "TS_ROUTES="); ok && strings.Contains(routes, ":") {
			return true
		}
	}
	return false
}

// crash says what machined says of a container that ends with an error.
func (s *service) crash() {
	say(`service[%s](Waiting): Error running Containerd(%s), going to restart forever: task "%s" failed: exit code 1 `+
		`(last log "boot: STAND-IN: Failed to enable IP forwarding: enabling \"/proc/sys/net/ipv6/conf/all/forwarding\": `+
		`open /proc/sys/net/ipv6/conf/all/forwarding: read-only file system")`, s.id(), s.id(), s.id())
	say("service[%s](Running): STAND-IN: its container would run now", s.id())
}
