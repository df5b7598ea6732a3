// Command standin takes the place of a program that the lab does not have: it says so and fails.
package main

import (
	"fmt"
	"os"
)

// Set by the linker.
var (
	name    = "program"
	version = "unknown"
)

func main() {
	fmt.Printf("STAND-IN: this is not %s %s but what the cozystack-talos lab has in its place\n", name, version)
	for _, argument := range os.Args[1:] {
		if argument == "-v" || argument == "--version" || argument == "version" {
			return
		}
	}
	os.Exit(1)
}
