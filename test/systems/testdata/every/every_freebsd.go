package main

import (
	"os/signal"
	"syscall"
)

// quiet lets numbers that are no calls pass: SIGSYS.
func quiet() { signal.Ignore(syscall.SIGSYS) }

// leftOut: those that double who calls them, those that end others, and closefrom, which takes
// what the runtime of Go has.
var leftOut = map[int]bool{hostsOwn: true, 509: true, 2: true, 37: true, 66: true, 55: true, 251: true, 433: true, 456: true, 481: true, 518: true, 519: true}

// ends are the numbers that do not return from all of it.
var ends = map[int]string{
	1:   "exit status 8",              // _exit
	93:  "blocks",                     // select of nothing
	209: "blocks",                     // poll of nothing
	431: "blocks",                     // thr_exit, and its process stays
	455: "signal: segmentation fault", // thr_new where nothing is
	522: "blocks",                     // pselect of nothing
	545: "blocks",                     // ppoll of nothing
}
