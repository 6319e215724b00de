package gosuite

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"hythe/test/subject"
)

// moduleSteps is done in the module's directory: it is built, run, vetted
// and tested, with and without a test that fails.
const moduleSteps = `
go version
go build -o prog . ; echo build $?
./prog; echo run $?
go list ./...; go vet ./...; echo vet $?
go test -v ./...; echo test $?
RELAY_WRONG=1 go test ./...; echo test $?
go test -run NONE -bench . -benchtime 20x ./relay | sed 's/[ \t]*[0-9.]* ns.op/ NS/'
go run . exit 5; echo run $?
echo 'func' >>main.go; go build .; echo build $?
ls
exit 9
`

// took are the times in what go test prints.
var took = regexp.MustCompile(`\d+\.\d+s`)

// TestModule: a module with goroutines, signals and subprocesses is built and
// tested by the go command in the guest as natively. What the go command has
// cached of the standard library on the host is seen by the guest, which builds
// the module; in HYTHE_LONG runs both sides begin with an empty cache.
func TestModule(t *testing.T) {
	bin := subject.Binary(t)
	cache := func(string) string { return goEnv(t, "GOCACHE") }
	if subject.Long() {
		cache = func(dir string) string { return filepath.Join(dir, "cache") }
	}
	side := func(dir string, argv ...string) (string, int) {
		t.Helper()
		module := filepath.Join(dir, "module")
		if err := os.CopyFS(module, os.DirFS("testdata/module")); err != nil {
			t.Fatal(err)
		}
		vars := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOCACHE=" + cache(dir), "GOPATH=" + filepath.Join(dir, "go"),
			"GOFLAGS=-mod=mod", "GOPROXY=off", "GOTOOLCHAIN=local", "GOWORK=off", "CGO_ENABLED=0", "LC_ALL=C"}
		if len(argv) > 0 {
			argv = append(argv, "-u", asMe(), "-w", module)
			for _, v := range vars {
				argv = append(argv, "-e", v)
			}
			argv = append(argv, "--")
		}
		argv = append(argv, "/bin/sh", "-c", moduleSteps)
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = module, vars
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		var ee *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &ee) {
			t.Fatal(err)
		}
		text := took.ReplaceAllString(out.String(), "TIME")
		return strings.ReplaceAll(text, dir, "DIR"), cmd.ProcessState.ExitCode()
	}
	native, ncode := side(t.TempDir())
	guest, gcode := side(t.TempDir(), bin, "run")
	if native != guest || ncode != gcode {
		t.Errorf("native and guest differ\n--- native: exit %d\n%s\n--- guest: exit %d\n%s", ncode, native, gcode, guest)
	}
	for _, want := range []string{"build 0\n", "run 7\n", "vet 0\n", "test 0\n", "test 1\n", "build 1\n", "--- PASS: TestSteps/Orders", "--- FAIL: TestWrong"} {
		if !strings.Contains(native, want) {
			t.Errorf("natively, %q is missing:\n%s", want, native)
		}
	}
	if ncode != 9 {
		t.Errorf("natively: exit %d", ncode)
	}
}
