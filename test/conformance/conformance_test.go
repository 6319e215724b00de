// Package conformance runs the same scripts natively and under Hythe and
// compares standard output, standard error and exit code: the real system is
// the oracle. The scripts are rows of *.rows files; skips.tsv names the rows
// that are not expected to agree yet, with the reason.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// row is one script.
type row struct {
	file, name string
	needs      []string // programs that must be there
	shell      string
	script     string
}

// parseRows reads a rows file: "== NAME [needs PROG,PROG] [shell PATH]" opens a row,
// the lines up to the next one are its script.
func parseRows(file, text string) ([]row, error) {
	var rows []row
	for i, line := range strings.Split(text, "\n") {
		if head, ok := strings.CutPrefix(line, "== "); ok {
			f := strings.Fields(head)
			r := row{file: file, name: f[0], shell: "/bin/sh"}
			for j := 1; j+1 < len(f); j += 2 {
				switch f[j] {
				case "needs":
					r.needs = strings.Split(f[j+1], ",")
				case "shell":
					r.shell = f[j+1]
				default:
					return nil, fmt.Errorf("%s:%d: unknown word %q", file, i+1, f[j])
				}
			}
			rows = append(rows, r)
			continue
		}
		if len(rows) == 0 {
			if line != "" && !strings.HasPrefix(line, "#") {
				return nil, fmt.Errorf("%s:%d: text before the first row", file, i+1)
			}
			continue
		}
		rows[len(rows)-1].script += line + "\n"
	}
	return rows, nil
}

// rowTime bounds one side of a row.
const rowTime = time.Minute

type result struct {
	out, err string
	code     int
}

// env is the same for both sides.
func env(dir string) []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "LC_ALL=C", "TERM=dumb", "TZ=UTC"}
}

func run(t *testing.T, argv []string, dir string, environ []string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), rowTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = environ
	if v := os.Getenv("HYTHE_NO_PATCH"); v != "" { // the tests pass both ways
		cmd.Env = append(slices.Clone(environ), "HYTHE_NO_PATCH="+v)
	}
	// The guest's program leads a session of its own. So must the native one:
	// what it would inherit depends on who runs the tests (a session whose
	// leader is outside the process's namespace reads as 0).
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // and those that it has started
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	e := cmd.Run()
	r := result{out.String(), errb.String(), 0}
	var ee *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Errorf("%q does not end; out %q, err %q", argv, r.out, r.err)
		r.code = -1
	case errors.As(e, &ee):
		r.code = ee.ExitCode()
		if ws, ok := ee.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.code = 128 + int(ws.Signal()) // as a shell and hythe run show it
		}
	case e != nil:
		t.Fatalf("%v: %v", argv, e)
	}
	return r
}

func TestRows(t *testing.T) {
	bin := subject.Binary(t)
	skips := subject.Skips(t)
	files, err := filepath.Glob("*.rows")
	if err != nil || len(files) == 0 {
		t.Fatal("no rows", err)
	}
	known := map[string]bool{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := parseRows(f, string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			key := strings.TrimSuffix(f, ".rows") + "/" + r.name
			known[key] = true
			t.Run(key, func(t *testing.T) {
				t.Parallel()
				if why, ok := skips[key]; ok {
					t.Skip(why)
				}
				for _, n := range r.needs {
					if _, err := exec.LookPath(n); err != nil {
						t.Fatalf("%s is not installed: make deps installs it", n)
					}
				}
				// Each side has a directory of its own of the same name length,
				// so that paths in the output can be compared.
				nd := t.TempDir()
				native := run(t, []string{r.shell, "-c", r.script}, nd, env(nd))
				gd := t.TempDir() // seen by the guest as the host has it, empty
				guest := run(t, []string{bin, "run", "-u", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), "-w", gd, "-e", "PATH=" + strings.TrimPrefix(env(gd)[0], "PATH="), "-e", "HOME=" + gd, "-e", "LC_ALL=C", "-e", "TERM=dumb", "-e", "TZ=UTC", "--", r.shell, "-c", r.script}, nd, os.Environ())
				native.out = strings.ReplaceAll(native.out, nd, gd)
				native.err = strings.ReplaceAll(native.err, nd, gd)
				if left, err := os.ReadDir(gd); err != nil || len(left) != 0 {
					t.Errorf("the guest's files reached the host: %v %v", left, err)
				}
				if native != guest {
					t.Errorf("native and guest differ\n--- native: exit %d\n%s%s\n--- guest: exit %d\n%s%s", native.code, native.out, native.err, guest.code, guest.out, guest.err)
				}
			})
		}
	}
	for key := range skips {
		if !known[key] {
			t.Errorf("skips.tsv: %s is no row any more", key)
		}
	}
}
