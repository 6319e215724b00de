package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"hythe"
	"hythe/cmd/hythe/internal/control"
)

// execSystems are the systems, as GOOS_GOARCH, whose programs a machine runs and the
// host does not.
var execSystems = []string{"freebsd_amd64", "netbsd_amd64", "dragonfly_amd64", "plan9_amd64", "wasip1_wasm"}

// execSystem says for which system a command of this name runs programs: go run and go
// test of another GOOS look for a command go_GOOS_GOARCH_exec (go help run).
func execSystem(arg0 string) (system string, ok bool) {
	system, ok = strings.CutPrefix(filepath.Base(arg0), "go_")
	if ok {
		system, ok = strings.CutSuffix(system, "_exec")
	}
	return system, ok
}

func (a *app) installCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "install-exec [DIR]",
		Short: "Make go run and go test run programs for other systems on a machine",
		Long: `Install-exec puts links to hythe into DIR under the names of the commands that go
run and go test look for when GOOS is another system. If DIR is in PATH, these work
with no flags then:

  GOOS=freebsd go test ./...
  GOOS=wasip1 GOARCH=wasm go run .

Without DIR it is where go install puts programs.

The programs see the host's files and have your environment, user and place. They may
change the module that they are in (not its .git) and the directory for temporary files;
whatever else they change is a copy that goes with the machine. That is started by
the first program of a module, taken by those that follow, and ends when it was idle for
half a minute. HYTHE_EXEC_FLAGS has more flags for it, as of hythe pool.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var dir string
			if len(args) > 0 {
				dir = args[0]
			}
			return a.install(dir)
		},
	}
	return c
}

// install makes the links.
func (a *app) install(dir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = goBin(); err != nil {
			return err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, s := range execSystems {
		name := filepath.Join(dir, "go_"+s+"_exec")
		// Only a link is replaced: another program of this name is somebody's choice.
		if st, err := os.Lstat(name); err == nil && st.Mode().Type() != os.ModeSymlink {
			return fmt.Errorf("%s is there and no link; remove it first", name)
		}
		// The link is made beside its place, so that there is one at any time.
		part := fmt.Sprintf("%s.%d", name, os.Getpid())
		if err := os.Symlink(exe, part); err != nil {
			return err
		}
		if err := os.Rename(part, name); err != nil {
			return errors.Join(err, os.Remove(part))
		}
		fmt.Fprintln(a.std.out, name)
	}
	for _, p := range filepath.SplitList(os.Getenv("PATH")) {
		if p, err := filepath.Abs(p); err == nil && p == filepath.Clean(dir) {
			return nil
		}
	}
	fmt.Fprintf(a.std.err, "hythe: %s is not in PATH, where go looks for them: export PATH=\"$PATH:%s\"\n", dir, dir)
	return nil
}

// goBin is where go install puts programs (go help install).
func goBin() (string, error) {
	out, err := exec.Command("go", "env", "GOBIN", "GOPATH").Output()
	if err != nil {
		return "", errors.New("go env GOBIN GOPATH failed; name a directory")
	}
	bin, path, _ := strings.Cut(string(out), "\n")
	if bin != "" {
		return bin, nil
	}
	first, _, _ := strings.Cut(strings.TrimSpace(path), string(filepath.ListSeparator))
	if first == "" {
		return "", errors.New("go env GOPATH is empty; name a directory")
	}
	return filepath.Join(first, "bin"), nil
}

// execIdle is how long a machine waits for the next program.
const execIdle = "30s"

// execFor runs a program of another system for the go command and answers the exit
// status.
func execFor(system string, args []string, std stdio) int {
	a := &app{std: std, args: args}
	return status(a.execFor(system, args), std)
}

// inMachine says whether the system is a machine of Hythe's.
func inMachine() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && strings.HasSuffix(unix.ByteSliceToString(u.Release[:]), "-hythe")
}

func (a *app) execFor(system string, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("go_%s_exec PROGRAM [ARG...]: no program given", system)
	}
	if inMachine() {
		// A test that itself calls go run: this machine runs the program, too.
		return fmt.Errorf("%s: %w", args[0], unix.Exec(args[0], args, os.Environ()))
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	prog, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	flags, err := execFlags(dir, prog)
	if err != nil {
		return err
	}
	id, err := machineOf(flags)
	if err != nil {
		return err
	}
	cmd := &hythe.Cmd{
		Path: prog, Args: args, Dir: dir, Env: os.Environ(), TTY: a.onTerminal(),
		User: hythe.User{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
	}
	k := &control.Client{ID: id}
	// A machine that has been idle may end after it was found. It has started nothing then.
	for range 3 {
		var pid int
		if pid, err = a.runIn(k, cmd, true); pid != 0 || !errors.Is(err, hythe.ErrClosed) {
			return exited(err)
		}
		if _, e := detached(append([]string{"--name", id, "--idle", execIdle}, flags...)); e != nil {
			// Another start of the same machine may have been faster.
			if pid, err = a.runIn(k, cmd, true); pid == 0 && errors.Is(err, hythe.ErrClosed) {
				return e
			}
			return exited(err)
		}
	}
	return err
}

// onTerminal: the three streams are a terminal, so the program gets one.
func (a *app) onTerminal() bool {
	for _, v := range []any{a.std.in, a.std.out, a.std.err} {
		f, ok := v.(*os.File)
		if !ok {
			return false
		}
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
			return false
		}
	}
	return true
}

// execFlags are a pool's for programs of one place: what they may change is the module,
// but not what git runs of it on the host, and directories for temporary files.
func execFlags(dir, prog string) ([]string, error) {
	var shared []string
	for _, d := range []string{os.TempDir(), moduleOf(dir), workOf(prog)} {
		if d == "" || d == "/" || !filepath.IsAbs(d) {
			continue
		}
		if strings.Contains(d, ":") {
			return nil, fmt.Errorf("%s: a directory with a colon cannot be shared with a machine", d)
		}
		shared = append(shared, filepath.Clean(d))
	}
	slices.Sort(shared) // what is above comes first
	var flags []string
	var last string
	for _, d := range shared {
		if last == "" || !strings.HasPrefix(d+"/", last+"/") {
			last = d
			flags = append(flags, "-v", d+":"+d)
		}
	}
	module := moduleOf(dir)
	if git := filepath.Join(module, ".git"); module != "/" && !strings.Contains(git, ":") {
		if _, err := os.Stat(git); err == nil {
			flags = append(flags, "-v", git+":"+git+":ro")
		}
	}
	return append(flags, strings.Fields(os.Getenv("HYTHE_EXEC_FLAGS"))...), nil
}

// moduleOf is the directory of the module that dir is in, or dir.
func moduleOf(dir string) string {
	for d := dir; ; d = filepath.Dir(d) {
		if st, err := os.Stat(filepath.Join(d, "go.mod")); err == nil && st.Mode().IsRegular() {
			return d
		}
		if d == filepath.Dir(d) {
			return dir
		}
	}
}

// workOf is the go command's directory of this run that a program is in: its tests write
// there what go reads afterwards. Empty if the program is somewhere else.
func workOf(prog string) string {
	for d := filepath.Dir(prog); d != filepath.Dir(d); d = filepath.Dir(d) {
		if strings.HasPrefix(filepath.Base(d), "go-build") {
			return d
		}
	}
	return ""
}

// machineOf names the machine of this hythe for a pool's flags.
func machineOf(flags []string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &st); err != nil {
		return "", fmt.Errorf("/proc/self/exe: %w", err)
	}
	h := sha256.New()
	fmt.Fprintln(h, st.Dev, st.Ino, st.Mtim)
	for _, f := range flags {
		fmt.Fprintf(h, "%q\n", f)
	}
	return fmt.Sprintf("go-%.6x", h.Sum(nil)), nil
}
