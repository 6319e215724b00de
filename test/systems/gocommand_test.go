package systems

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hythe/test/subject"
)

// TestGoCommand: after install-exec, go test and go run of another system work with no
// flags: place, environment, temporary files, arguments, input, output and status are
// the program's and the caller's; one machine serves the packages of a module.
func TestGoCommand(t *testing.T) {
	top := t.TempDir()
	bin, tmp, mod := filepath.Join(top, "bin"), filepath.Join(top, "tmp"), filepath.Join(top, "mod")
	if out, errs, status := subject.Run(t, limit, exec.Command(subject.Binary(t), "install-exec", bin)); status != 0 {
		t.Fatalf("install-exec: status %d\n%s%s", status, out, errs)
	}
	const test = `package %s

import (
	"os"
	"runtime"
	"testing"
)

func TestIt(t *testing.T) {
	dir, err := os.Getwd()
	t.Log(runtime.GOOS, os.Getpid(), dir, err, os.Getenv("WORD"))
	t.Log(os.WriteFile("made", []byte(runtime.GOOS), 0o666))
	t.Log(os.WriteFile(os.TempDir()+"/made-%[1]s", nil, 0o666))
	t.Log(os.WriteFile(%[2]q, nil, 0o666))
	if f, err := os.OpenFile("../.git/config", os.O_WRONLY, 0); err == nil {
		t.Error("git's own may be changed", f.Close())
	}
	if os.Getenv("WORD") == "fail" {
		t.Fatal("it fails")
	}
}
`
	const prog = `package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
)

func main() {
	in, err := io.ReadAll(os.Stdin)
	fmt.Println(runtime.GOOS, os.Args[1:], string(in), err)
	os.Exit(len(os.Args))
}
`
	elsewhere := filepath.Join(top, "elsewhere")
	for name, text := range map[string]string{
		"mod/go.mod": "module m\n\ngo 1.26\n", "mod/main.go": prog, "mod/.git/config": "[core]\n", "tmp/x": "", "elsewhere/x": "",
		"mod/a/a_test.go": fmt.Sprintf(test, "a", elsewhere+"/a"), "mod/b/b_test.go": fmt.Sprintf(test, "b", elsewhere+"/b"),
	} {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// Each machine that is started is told by its flags, which have tmp in them.
	t.Cleanup(func() { stopAll(t, tmp) })
	goCmd := func(goos, goarch, word string, args ...string) (string, string, int) {
		c := exec.Command("go", args...)
		c.Dir = mod
		c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false",
			"PATH="+os.Getenv("PATH")+":"+bin, "TMPDIR="+tmp, "WORD="+word, "HYTHE_EXEC_FLAGS=--idle 5m --network none")
		c.Stdin = strings.NewReader("input")
		return subject.Run(t, limit, c)
	}
	logged := regexp.MustCompile(`freebsd (\d+) (\S+) <nil> a word`)
	var pids []string
	for range 2 {
		out, errs, status := goCmd("freebsd", "amd64", "a word", "test", "-count=1", "-p", "1", "-v", "./a", "./b")
		m := logged.FindAllStringSubmatch(out, -1)
		if status != 0 || len(m) != 2 || m[0][2] != mod+"/a" || m[1][2] != mod+"/b" {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
		pids = append(pids, m[0][1], m[1][1])
	}
	// A machine's numbers grow; another machine would begin with the first again.
	for i, p := range pids[1:] {
		if p == pids[i] {
			t.Errorf("not one machine: processes %v", pids)
		}
	}
	for name, want := range map[string]bool{"mod/a/made": true, "mod/b/made": true, "tmp/made-a": true, "elsewhere/a": false} {
		if _, err := os.Stat(filepath.Join(top, name)); (err == nil) != want {
			t.Errorf("%s on the host: %v", name, err)
		}
	}
	if out, errs, status := goCmd("freebsd", "amd64", "fail", "test", "-count=1", "./a"); status != 1 || !strings.Contains(out, "it fails") {
		t.Errorf("a failure: status %d\n%s%s", status, out, errs)
	}
	for _, s := range targets[1:] {
		prog := filepath.Join(top, "prog-"+s.goos)
		if out, errs, status := goCmd(s.goos, s.goarch, "", "build", "-o", prog, "."); status != 0 {
			t.Fatalf("status %d\n%s%s", status, out, errs)
		}
		want := s.goos + " [one two] input <nil>\n"
		// go run itself answers 1 whatever the program's status is, and names that.
		out, errs, status := goCmd(s.goos, s.goarch, "", "run", ".", "one", "two")
		if out != want || !strings.Contains(errs, "exit status 3") || status != 1 {
			t.Errorf("status %d\n%s%s", status, out, errs)
		}
		c := exec.Command(filepath.Join(bin, "go_"+s.goos+"_"+s.goarch+"_exec"), prog, "one", "two")
		c.Dir, c.Stdin = mod, strings.NewReader("input")
		c.Env = append(os.Environ(), "TMPDIR="+tmp, "HYTHE_EXEC_FLAGS=--idle 5m --network none")
		if out, errs, status := subject.Run(t, limit, c); out != want || errs != "" || status != 3 {
			t.Errorf("status %d\n%s%s", status, out, errs)
		}
		// On a machine already, as a test's own go run is: it runs the program itself.
		c = exec.Command(subject.Binary(t), "run", "-i", "--", c.Path, prog, "one", "two")
		c.Stdin = strings.NewReader("input")
		if out, errs, status := subject.Run(t, limit, c); out != want || errs != "" || status != 3 {
			t.Errorf("on a machine: status %d\n%s%s", status, out, errs)
		}
	}
}

// stopAll ends the machines whose pools have a word in their command lines.
func stopAll(t *testing.T, word string) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, f := range all {
		b, err := os.ReadFile(f)
		args := strings.Split(string(b), "\x00")
		if i := slices.Index(args, "--name"); err == nil && i > 0 && args[1] == "pool" && strings.Contains(string(b), word) {
			if out, errs, status := subject.Run(t, limit, exec.Command(subject.Binary(t), "stop", "-m", args[i+1])); status != 0 {
				t.Errorf("stop: %s%s", out, errs)
			}
		}
	}
}
