package main

import "strings"

const last = 60

func quiet() {}

// leftOut: rfork doubles who calls it.
var leftOut = map[int]bool{19: true}

// mayEnd: an address that is none is a note there, which ends the process.
func mayEnd(nr int, how string) bool {
	return strings.Contains(how, "bad address") || strings.Contains(how, "bad sys call") ||
		nr == 8 && strings.Contains(how, "exit string") || ends[nr] == how
}

// ends are the numbers that do not return from all of it.
var ends = map[int]string{
	34: "blocks", // rendezvous
}
