// Steps is a program that does something for each line of its input: it asks for a file of
// that name that is not there ("x"), often ("many"), or reads this program again and again
// by one descriptor ("read").
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
)

// What main does is done by the process whose number it says: each thread of a Plan 9 program
// is a process of its own, and who follows one does not see what the others do.
func init() { runtime.LockOSThread() }

func main() {
	self, err := os.Open(os.Args[0])
	if err != nil {
		panic(err)
	}
	fmt.Println(os.Getpid())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n := 1
		switch in.Text() {
		case "many":
			n = 5000
		case "read":
			n = 200
		}
		for range n {
			if in.Text() == "read" {
				_, err = self.ReadAt(make([]byte, 16), 64)
				if err != nil {
					panic(err)
				}
			} else {
				_, _ = os.Stat("/no/such/" + in.Text())
			}
		}
		os.Getpid()
		fmt.Println("done")
	}
	os.Exit(7)
}
