package main

import (
	"os/signal"

	"golang.org/x/sys/unix"
)

// ignoreTTOU runs f with SIGTTOU ignored.
func ignoreTTOU(f func()) {
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	f()
}
