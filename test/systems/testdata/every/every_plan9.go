package main

import "strings"

const last = 60

func quiet() {}

// leftOut: rfork doubles who calls it.
var leftOut = map[int]bool{19: true}

// natural says whether every number may end so: an address that is none is a note there,
// which ends the process, and so is a number that is none.
func natural(nr int, how string) bool {
	return strings.Contains(how, "bad address") || strings.Contains(how, "bad sys call") ||
		nr == 8 && strings.Contains(how, "exit string")
}

// ends are the numbers that do not return from all of it.
var ends = map[int]string{
	34: "blocks", // rendezvous
}
