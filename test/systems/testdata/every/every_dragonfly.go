package main

import (
	"os/signal"
	"syscall"
)

// quiet lets numbers that are no calls pass: SIGSYS.
func quiet() { signal.Ignore(syscall.SIGSYS) }

// leftOut: those that double who calls them, and those that end others.
var leftOut = map[int]bool{2: true, 37: true, 66: true, 55: true, 251: true, 496: true, 497: true}

// ends are the numbers that do not return from all of it.
var ends = map[int]string{
	1:   "exit status 8", // _exit
	93:  "blocks",        // select of nothing
	209: "blocks",        // poll of nothing
	335: "exit status 2", // utrace: a number that the host takes for itself (uretprobe), past every filter: SIGILL
	474: "exit status 2", // closefrom, also of what Go's runtime has
	494: "exit status 8", // extexit
	499: "blocks",        // pselect of nothing
	543: "blocks",        // ppoll of nothing
}
