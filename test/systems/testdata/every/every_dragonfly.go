package main

import (
	"os/signal"
	"syscall"
)

// quiet lets numbers that are no calls pass: SIGSYS.
func quiet() { signal.Ignore(syscall.SIGSYS) }

// leftOut: those that double who calls them, those that end others, and closefrom, which takes
// what the runtime of Go has.
var leftOut = map[int]bool{hostsOwn: true, 474: true, 2: true, 37: true, 66: true, 55: true, 251: true, 496: true, 497: true}

// ends are the numbers that do not return from all of it.
var ends = map[int]string{
	1:   "exit status 8", // _exit
	93:  "blocks",        // select of nothing
	209: "blocks",        // poll of nothing
	494: "exit status 8", // extexit
	499: "blocks",        // pselect of nothing
	543: "blocks",        // ppoll of nothing
}
