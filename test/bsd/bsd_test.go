// Package bsd runs programs for 4.4BSD's descendants under Hythe. There are none to compare
// with: the same source built for Linux and run natively is the oracle.
package bsd

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

const limit = 60 * time.Second

// systems are those whose programs are run, by their GOOS.
var systems = []string{"freebsd", "netbsd", "dragonfly"}

// each runs a test for each system.
func each(t *testing.T, run func(t *testing.T, goos string)) {
	t.Helper()
	for _, s := range systems {
		t.Run(s, func(t *testing.T) { run(t, s) })
	}
}

func TestMain(m *testing.M) { os.Exit(subject.Main(m)) }

// program is a program of testdata for a system.
func program(t *testing.T, name, goos string) string {
	t.Helper()
	return subject.Program(t, "./testdata/"+name, goos)
}

// result is what a program wrote and how it ended.
type result struct {
	out, err string
	status   int
}

// hythe runs a command in a machine.
func hythe(t *testing.T, args ...string) result {
	t.Helper()
	c := exec.Command(subject.Binary(t), append([]string{"run", "-e", "NAME", "--"}, args...)...)
	var r result
	r.out, r.err, r.status = subject.Run(t, limit, c)
	return r
}

// same compares the programs for the systems with the one for Linux, run natively.
func same(t *testing.T, name string, args ...string) {
	t.Helper()
	var want result
	want.out, want.err, want.status = subject.Run(t, limit, exec.Command(program(t, name, "linux"), args...))
	each(t, func(t *testing.T, goos string) {
		got := hythe(t, append([]string{program(t, name, goos)}, args...)...)
		if got != want {
			t.Errorf("%s: status %d, want %d\n got: %.2000q %.2000q\nwant: %.2000q %.2000q", name, got.status, want.status, got.out, got.err, want.out, want.err)
		}
	})
}

func TestHello(t *testing.T) {
	t.Setenv("NAME", "a name")
	same(t, "hello")
	same(t, "hello", "a", "b c", strings.Repeat("long", 1000))
}

// TestThreads: faults that are recovered, goroutines on many threads, preemption,
// timers, collections.
func TestThreads(t *testing.T) {
	same(t, "threads")
	same(t, "threads", "and", "arguments")
}

// TestFiles: what the library does with files comes out as on Linux.
func TestFiles(t *testing.T) { same(t, "files") }

// TestProcesses: programs that start programs, of their own system and of Linux, with
// pipes, signals, statuses and exec from one system to the other.
func TestProcesses(t *testing.T) { same(t, "procs") }

// TestWaits: select and ppoll.
func TestWaits(t *testing.T) { same(t, "waits") }

// TestHostile: addresses that are none are EFAULT, numbers that are no calls ENOSYS with
// SIGSYS, and files that are no programs harm nobody.
func TestHostile(t *testing.T) {
	want := strings.Repeat("true true\n", 8) + "done\n"
	each(t, func(t *testing.T, goos string) {
		if got := hythe(t, program(t, "hostile", goos)); got.out != want || got.status != 0 {
			t.Errorf("status %d\n%s%.2000s", got.status, got.out, got.err)
		}
	})
}
