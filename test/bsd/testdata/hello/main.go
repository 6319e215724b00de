// Command hello says hello, with its arguments.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello", os.Args[1:])
	fmt.Fprintln(os.Stderr, os.Getenv("NAME"))
	if len(os.Args) > 1 {
		os.Exit(len(os.Args))
	}
}
