// Package subject is what the tests of the whole system have in common: the
// program that they try, and the data files that say what is expected of it.
package subject

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Binary answers the absolute name of the hythe that is tried: HYTHE_BIN, or what
// make build has made. The test ends if it is not there.
func Binary(t testing.TB) string {
	t.Helper()
	b := os.Getenv("HYTHE_BIN")
	if b == "" {
		b = "../../bin/hythe"
	}
	b, err := filepath.Abs(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b); err != nil {
		t.Fatalf("%v: run make build, or set HYTHE_BIN", err)
	}
	return b
}

// Need ends the test if a file is missing that the packages bring which make deps
// installs: a test that is left out unseen tests nothing.
func Need(t testing.TB, files ...string) {
	t.Helper()
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			t.Fatalf("%v: make deps installs it", err)
		}
	}
}

// Long says whether the tests that take long are asked for (HYTHE_LONG=1).
func Long() bool { return os.Getenv("HYTHE_LONG") == "1" }

// Rows reads a file of n columns, separated by tabs, none of them empty; lines
// that begin with # are left out.
func Rows(t testing.TB, file string, n int) [][]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for i, line := range strings.Split(string(b), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != n || slices.Contains(f, "") {
			t.Fatalf("%s:%d: want %d columns", file, i+1, n)
		}
		all = append(all, f)
	}
	return all
}

// Skips reads skips.tsv: what is not expected to agree yet, and the reason, which
// is given in words.
func Skips(t testing.TB) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, f := range Rows(t, "skips.tsv", 2) {
		if len(f[1]) < 10 {
			t.Fatalf("skips.tsv: %s: no reason", f[0])
		}
		m[f[0]] = f[1]
	}
	return m
}
