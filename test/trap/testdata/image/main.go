// Image is the smallest binary that holds the whole emulation library; the
// freestanding test disassembles it.
package main

import (
	"fmt"

	"hythe/machine/linux"
)

func main() {
	z, err := linux.StartZygote(linux.GuestConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := z.Wait(); err != nil {
		fmt.Println(err)
	}
	z.Stop()
}
