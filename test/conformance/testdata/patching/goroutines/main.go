// A Go program, whose system calls come from one place: many goroutines make calls whose
// results are known, while signals come and children are started.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
)

func main() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	pid, ppid := os.Getpid(), os.Getppid()
	var wg sync.WaitGroup
	bad := make([]int, 6)
	run := func(i int, f func(n int) bool) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range 300 {
				if !f(n) {
					bad[i]++
				}
			}
		}()
	}
	for range 4 {
		run(0, func(int) bool { return syscall.Getppid() == ppid })
	}
	run(1, func(int) bool {
		_, e := syscall.Read(-1, make([]byte, 1))
		_, _, n := syscall.RawSyscall(^uintptr(0), 1, 2, 3)
		return e == syscall.EBADF && n == syscall.ENOSYS
	})
	run(2, func(n int) bool {
		r, w, err := os.Pipe()
		if err != nil {
			return false
		}
		defer r.Close()
		go func() { fmt.Fprint(w, n); w.Close() }()
		var got int
		_, err = fmt.Fscan(r, &got)
		return err == nil && got == n
	})
	run(3, func(int) bool { return syscall.Kill(pid, syscall.SIGUSR1) == nil })
	run(4, func(n int) bool {
		if n%100 == 0 {
			runtime.GC()
		}
		return n%30 != 0 || exec.Command("/bin/true").Run() == nil
	})
	run(5, func(int) bool {
		select {
		case <-c:
		default:
		}
		runtime.Gosched()
		return true
	})
	wg.Wait()
	fmt.Println(bad)
}
