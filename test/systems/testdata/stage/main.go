// Command stage is one stage of a pipeline: it adds the system that it was built for to
// each line.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	n := 0
	for in.Scan() {
		if _, err := fmt.Println(in.Text() + " " + runtime.GOOS); err != nil {
			os.Exit(1)
		}
		n++
	}
	// A file that the next one finds.
	if len(os.Args) > 1 {
		f, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = fmt.Fprintf(f, "%s %d\n", runtime.GOOS, n)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
}
