// Command relay is built, run and tested natively and in a guest: goroutines,
// signals and subprocesses, of which all that it prints is certain.
package main

import (
	"fmt"
	"os"

	"example.test/relay/relay"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(relay.Child(os.Args[1:], os.Stdin, os.Stdout))
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("sum", relay.Sum(1000, 16))
	for _, step := range []func(string) (string, error){relay.Signals, relay.Exits, relay.Pipeline, relay.Orders, relay.Deadline} {
		out, err := step(self)
		fmt.Println(out, err)
		if err != nil {
			os.Exit(1)
		}
	}
	fmt.Fprintln(os.Stderr, "done")
	os.Exit(7)
}
