// Command every makes each call of its system with arguments that are no addresses: each
// number in a process of its own (every NUMBER), which has as many seconds as it may block.
// It tells which numbers ended in another way than by returning.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// hostsOwn is a number that the host takes for itself, uretprobe(2), before any filter sees
// it, and not on all versions: SIGILL (docs/security.md).
const hostsOwn = 335

func main() {
	if len(os.Args) > 1 {
		nr, err := strconv.Atoi(os.Args[1])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		child(uintptr(nr))
		return
	}
	work := make(chan int)
	said := make([]string, last+1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for nr := range work {
				said[nr] = try(nr)
			}
		}()
	}
	for nr := 0; nr <= last; nr++ {
		if !leftOut[nr] {
			work <- nr
		}
	}
	close(work)
	wg.Wait()
	for nr, s := range said {
		if want := ends[nr]; s != want && !natural(nr, s) {
			fmt.Printf("%d: %q, want %q\n", nr, s, want)
		}
	}
	fmt.Println("all")
}

// try is how a number ended: "" if all calls returned.
func try(nr int) string {
	cmd := exec.Command(os.Args[0], strconv.Itoa(nr))
	// It may close what it likes, so nothing is read from it.
	if err := cmd.Start(); err != nil {
		return err.Error()
	}
	late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		return "blocks"
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// child makes the calls of one number: everything but one argument is small or an open
// file, the one is no address.
func child(nr uintptr) {
	quiet()
	file, err := os.Open("/dev/zero")
	if err != nil {
		os.Exit(1)
	}
	zero := file.Fd()
	for _, fill := range []uintptr{1, zero, 64, 0} {
		for _, at := range []uintptr{8, 0x7fff_ffff_0000, 1 << 63, ^uintptr(0) - 7} {
			for i := range 6 {
				a := [6]uintptr{fill, fill, fill, fill, fill, fill}
				a[i] = at
				_, _, _ = syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
			}
			a := [6]uintptr{zero, at, at, at, at, at}
			_, _, _ = syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
		}
	}
	os.Exit(0)
}
