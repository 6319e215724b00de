package subject

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"
	"testing"
)

// GOARCH is the processor that programs of an operating system are built for.
func GOARCH(goos string) string {
	if goos == "wasip1" {
		return "wasm"
	}
	return "amd64"
}

// Build has the go command make a program for an operating system: args are its word
// (build, or test -c), flags and package.
func Build(t testing.TB, out, goos string, args ...string) {
	t.Helper()
	last := len(args) - 1
	c := exec.Command("go", append(append([]string(nil), args[:last]...), "-o", out, args[last])...)
	c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+GOARCH(goos), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go %q for %s: %v\n%s", args, goos, err, b)
	}
}

// Scratch is a directory that all users of the host can read. It goes with done, or with
// the process, even if that is killed: a shell waits for the end of a pipe that nobody else has.
func Scratch() (dir string, done func(), err error) {
	if dir, err = os.MkdirTemp("", "hythe-test"); err != nil {
		return "", nil, err
	}
	c := exec.Command("/bin/sh", "-c", `trap "" HUP INT TERM; read x; rm -rf "$1"`, "sh", dir)
	held, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	done = func() {
		held.Close()
		c.Wait()
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		done()
		return "", nil, err
	}
	return dir, done, nil
}

// programs are those that Program made.
var programs struct {
	sync.Mutex
	dir  string
	made map[string]bool
}

// Main runs tests that call Program.
func Main(m *testing.M) int {
	dir, done, err := Scratch()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer done()
	programs.dir, programs.made = dir, map[string]bool{}
	return m.Run()
}

// Program answers a program of a package for an operating system, which it builds once.
func Program(t testing.TB, pkg, goos string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	out := filepath.Join(programs.dir, path.Base(pkg)+"-"+goos)
	if !programs.made[out] {
		Build(t, out, goos, "build", pkg)
		programs.made[out] = true
	}
	return out
}
