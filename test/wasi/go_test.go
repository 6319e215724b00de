package wasi

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hythe"
	"hythe/test/subject"
)

var verdict = regexp.MustCompile(`(?m)^ *--- (PASS|FAIL|SKIP): (\S+) \(`)

// TestGo runs Go's own tests, built for wasip1, in their package's folder: all pass but
// those of skips.tsv, which would be a row too many if they did.
func TestGo(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	skips := subject.Skips(t)
	used := map[string]bool{}
	for _, row := range subject.Rows(t, "packages.tsv", 3) {
		pkg := row[0]
		var rows []string
		for k := range skips {
			if name, ok := strings.CutPrefix(k, pkg+"/"); ok && name[0] >= 'A' && name[0] <= 'Z' {
				rows = append(rows, name)
				used[k] = true
			}
		}
		slices.Sort(rows)
		sec, err := strconv.Atoi(row[2])
		if err != nil || row[1] != "always" && row[1] != "long" {
			t.Fatalf("packages.tsv: %s: want always or long, and seconds", pkg)
		}
		t.Run(pkg, func(t *testing.T) {
			if row[1] == "long" && !subject.Long() {
				t.Skip("only with HYTHE_LONG=1")
			}
			goPackage(t, pkg, filepath.Join(strings.TrimSpace(string(goroot)), "src", pkg), rows, time.Duration(sec)*time.Second)
		})
	}
	for k := range skips {
		if !used[k] {
			t.Errorf("skips.tsv: %s is in no package of packages.tsv", k)
		}
	}
}

func goPackage(t *testing.T, pkg, dir string, rows []string, limit time.Duration) {
	mod := strings.ReplaceAll(pkg, "/", "_") + ".test"
	build := exec.Command("go", "test", "-c", "-ldflags=-s -w", "-o", filepath.Join(work, mod), ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	defer os.Remove(filepath.Join(work, mod))
	// A row's test runs alone: it may end the process.
	not := []string{"^$"}
	for _, r := range rows {
		not = append(not, "^"+regexp.QuoteMeta(r)+"$")
	}
	run := func(more string) (result, map[string]string) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		r := guestIn(ctx, t, "", &hythe.Cmd{Path: "/w/" + mod, Args: []string{mod, "-test.v", "-test.short", more}, Dir: dir,
			Env: append(hythe.DefaultEnv(), "TMPDIR=/tmp", "PATH="+os.Getenv("PATH"))})
		tests := map[string]string{}
		for _, m := range verdict.FindAllStringSubmatch(r.out, -1) {
			tests[m[2]] = m[1]
		}
		return r, tests
	}
	r, tests := run("-test.skip=" + strings.Join(not, "|"))
	passed := 0
	for name, v := range tests {
		switch v {
		case "FAIL":
			t.Errorf("%s/%s fails", pkg, name)
		case "PASS":
			passed++
		}
	}
	if r.status != 0 || passed == 0 {
		t.Errorf("status %d, %d tests passed, out %s, err %s", r.status, passed, tail(r.out), tail(r.errs))
	}
	for _, name := range rows {
		r, tests := run("-test.run=^" + name + "$")
		if tests[name] == "PASS" {
			t.Errorf("skips.tsv: %s/%s passes: the row is needed no more", pkg, name)
		}
		if r.status > 2 {
			t.Errorf("skips.tsv: %s/%s: status %d, which no row may be for: %s", pkg, name, r.status, tail(r.errs))
		}
	}
	t.Logf("%d tests pass", passed)
}
