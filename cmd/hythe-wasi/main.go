// Command hythe-wasi runs a WebAssembly module on a machine of Hythe. Nobody calls it
// by hand: when a program executes a file that is a module, the unix server starts this
// one in its place, out of a memory object (docs/wasi.md). It is an ordinary program of
// the machine, with no more rights than the module's process.
//
// The module is /proc/self/exe, which is the file that was executed, whatever its name
// leads to by now. The first argument says how many of the others are the module's,
// which signals were ignored, and whether the machine is traced; the rest is its
// environment, so that this program's own runtime does not see that.
//
// Exit status: the module's own; 126 for a file that is no module that can be run; 134
// (as of a program that SIGABRT ended) when it trapped.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"hythe/personality/wasi"
)

const (
	exitModule = 126
	exitTrap   = 134

	maxModule = 1 << 30
)

func main() {
	prog, ignored, ok := arguments(os.Args)
	if !ok {
		fmt.Fprintln(os.Stderr, "hythe-wasi: started by a machine of Hythe, when a program executes a WebAssembly module")
		os.Exit(2)
	}
	sys := &system{inherited: openFiles(), ignored: ignored}
	restoreSignals(ignored)
	end(prog, run(sys, prog))
}

// arguments takes apart what the unix server made of the program's arguments and
// environment (personality/linux, engineArg).
func arguments(list []string) (prog *wasi.Program, ignored uint64, ok bool) {
	var n, traced int
	if len(list) < 2 {
		return nil, 0, false
	}
	if _, err := fmt.Sscanf(list[0], "%d %x %d", &n, &ignored, &traced); err != nil || n < 1 || n >= len(list) {
		return nil, 0, false
	}
	prog = &wasi.Program{Args: list[1 : 1+n : 1+n], Env: list[1+n:]}
	if traced != 0 {
		prog.Trace = trace
	}
	return prog, ignored, true
}

func run(sys *system, prog *wasi.Program) error {
	var err error
	if prog.Module, err = module(); err != nil {
		return err
	}
	if prog.Dir, err = unix.Getwd(); err != nil || !strings.HasPrefix(prog.Dir, "/") {
		prog.Dir = "." // it is not to be reached any more
	}
	prog.Env = withDir(prog.Env, prog.Dir)
	if len(prog.Module) >= worthCache {
		prog.Cache = cacheDir(prog.Env)
	}
	// Two threads compile in two thirds of the time; more gain little.
	prog.Workers = min(runtime.NumCPU(), 4)
	// What is made while compiling is garbage only at the end.
	debug.SetGCPercent(400)
	return wasi.Run(sys, prog)
}

// module reads the program.
func module() ([]byte, error) {
	fd, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("cannot read it: %w", err)
	}
	if st.Size > maxModule {
		return nil, fmt.Errorf("%w: longer than %d MiB", wasi.ErrModule, maxModule>>20)
	}
	b := make([]byte, st.Size)
	for n := 0; n < len(b); {
		m, err := unix.Pread(fd, b[n:], int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, fmt.Errorf("cannot read it: %w", err)
		case m == 0:
			return b[:n], nil
		}
		n += max(m, 0)
	}
	return b, nil
}

// withDir has PWD in an environment say where the process is: that is how a module
// knows, for preview 1 has no call for it.
func withDir(env []string, dir string) []string {
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if pwd, ok := strings.CutPrefix(kv, "PWD="); ok {
			if pwd == dir || same(pwd, dir) {
				dir = ""
			} else {
				continue
			}
		}
		out = append(out, kv)
	}
	if dir != "" {
		out = append(out, "PWD="+dir)
	}
	return out
}

// same says whether two names are of one directory.
func same(a, b string) bool {
	var sa, sb unix.Stat_t
	return strings.HasPrefix(a, "/") && unix.Stat(a, &sa) == nil && unix.Stat(b, &sb) == nil && sa.Dev == sb.Dev && sa.Ino == sb.Ino
}

// end ends the process as the module ended.
func end(prog *wasi.Program, err error) {
	if err == nil {
		unix.Exit(0)
	}
	fmt.Fprintf(os.Stderr, "hythe-wasi: %s: %v\n", prog.Args[0], err)
	if errors.Is(err, wasi.ErrTrap) {
		unix.Exit(exitTrap)
	}
	unix.Exit(exitModule)
}
