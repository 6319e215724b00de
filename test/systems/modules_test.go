package systems

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// outcome is how go test's packages and tests ended: "pass", "fail" or "skip", by
// PACKAGE/TEST and by PACKAGE.
type outcome map[string]string

// goTest tests a module and answers the outcome.
func goTest(t *testing.T, dir string, vars []string, flags ...string) (outcome, string) {
	t.Helper()
	c := exec.Command("go", append(append([]string{"test", "-count=1", "-short", "-timeout=60m", "-json"}, flags...), "./...")...)
	c.Dir, c.Env = dir, append(os.Environ(), vars...)
	out, errs, _ := subject.Run(t, 2*time.Hour, c)
	all := outcome{}
	text := &bytes.Buffer{}
	lines := bufio.NewScanner(strings.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e struct{ Action, Package, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %.200s", err, lines.Text())
		}
		name := e.Package
		if e.Test != "" {
			name += "/" + e.Test
		}
		switch e.Action {
		case "pass", "fail", "skip":
			all[name] = e.Action
		case "output", "build-output":
			text.WriteString(e.Output)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all, text.String() + errs
}

// TestModules: the tests of the three largest of Hythe's own dependencies, built for FreeBSD
// and run by the go command with what install-exec makes, pass where they pass natively.
// What does not has a row in skips.tsv and is left out, since it may end the tests behind it;
// that it still does not is tried afterwards. The modules' own dependencies come over the network.
func TestModules(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1")
	}
	top := t.TempDir()
	bin, tmp := filepath.Join(top, "bin"), filepath.Join(top, "tmp")
	if out, errs, status := subject.Run(t, limit, exec.Command(subject.Binary(t), "install-exec", bin)); status != 0 {
		t.Fatalf("install-exec: status %d\n%s%s", status, out, errs)
	}
	if err := os.Mkdir(tmp, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopAll(t, tmp) })
	rows := subject.Skips(t)
	for _, mod := range []string{"golang.org/x/sys", "github.com/tetratelabs/wazero", "github.com/spf13/cobra"} {
		t.Run(mod, func(t *testing.T) {
			out, errs, status := subject.Run(t, limit, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", mod))
			if status != 0 {
				t.Fatalf("status %d\n%s%s", status, out, errs)
			}
			dir := filepath.Join(top, filepath.Base(mod))
			if err := os.CopyFS(dir, os.DirFS(strings.TrimSpace(out))); err != nil {
				t.Fatal(err)
			}
			// The module cache's files cannot be written, nor could their copies.
			if _, errs, status := subject.Run(t, limit, exec.Command("chmod", "-R", "u+w", dir)); status != 0 {
				t.Fatal(errs)
			}
			vars := []string{"CGO_ENABLED=0", "GOFLAGS=-mod=mod -buildvcs=false", "TMPDIR=" + tmp}
			var not []string
			for key := range rows {
				if strings.HasPrefix(key, "freebsd/"+mod+"/") {
					not = append(not, key[strings.LastIndexByte(key, '/')+1:])
				}
			}
			rowed := "^(" + strings.Join(append(not, "NONE"), "|") + ")$"
			native, _ := goTest(t, dir, append(vars, "GOOS=linux"))
			there := append(vars, "GOOS=freebsd", "PATH="+os.Getenv("PATH")+":"+bin, "HYTHE_EXEC_FLAGS=--idle 5m")
			got, text := goTest(t, dir, there, "-skip="+rowed)
			if len(not) > 0 {
				alone, _ := goTest(t, dir, there, "-run="+rowed)
				for key := range rows {
					if name, ok := strings.CutPrefix(key, "freebsd/"); ok && alone[name] == "pass" {
						t.Errorf("skips.tsv: %s passes: the row is needed no more", key)
					}
				}
			}
			passed := 0
			for name, how := range got {
				switch {
				case how == "pass":
					passed++
				case how == "fail" && native[name] != "fail":
					t.Errorf("%s fails", name)
				}
			}
			if passed == 0 || t.Failed() {
				t.Errorf("%d pass\n%s", passed, text[max(0, len(text)-6000):])
			}
			t.Logf("%d pass, %d rows", passed, len(not))
		})
	}
}
