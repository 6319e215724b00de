// Command hello says what it was started with.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello", os.Args[1:], os.Getenv("GREETING"))
	os.Exit(len(os.Args))
}
