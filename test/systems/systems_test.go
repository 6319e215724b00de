// Package systems runs programs of several operating systems in one machine: in one
// pipeline, with the same files, processes and signals.
package systems

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

const limit = 2 * time.Minute

// targets are the systems whose programs Go builds and a machine runs.
var targets = []struct{ goos, goarch string }{
	{"linux", "amd64"}, {"freebsd", "amd64"}, {"netbsd", "amd64"}, {"dragonfly", "amd64"}, {"plan9", "amd64"}, {"wasip1", "wasm"},
}

// stages builds testdata/stage for each system into dir.
func stages(t *testing.T, dir string) {
	t.Helper()
	for _, s := range targets {
		subject.Build(t, filepath.Join(dir, s.goos), s.goos, "build", "./testdata/stage")
	}
}

func machine(t *testing.T, dir, script string) (string, string, int) {
	t.Helper()
	return machineFor(t, limit, dir, script)
}

func machineFor(t *testing.T, limit time.Duration, dir, script string) (string, string, int) {
	t.Helper()
	return subject.Run(t, limit, exec.Command(subject.Binary(t), "run", "-v", dir+":/work", "-w", "/work", "--", "/bin/sh", "-c", script))
}

// TestPipeline: one stage of each system, in a shell, with more than fits into the pipes;
// each finds what the others wrote.
func TestPipeline(t *testing.T) {
	dir := t.TempDir()
	stages(t, dir)
	const lines = 5000
	var pipeline, words, counts string
	for _, s := range targets {
		pipeline += " | ./" + s.goos + " count"
		words += " " + s.goos
		counts += fmt.Sprintf("%s %d\n", s.goos, lines)
	}
	out, errs, status := machine(t, dir, fmt.Sprintf("seq %d%s | tail -n +%d; cat count", lines, pipeline, lines))
	want := fmt.Sprintf("%d%s\n%s", lines, words, counts)
	if out != want || errs != "" || status != 0 {
		t.Errorf("status %d\n got: %q %q\nwant: %q", status, out, errs, want)
	}
}

// TestProcesses: programs of all systems are processes of one table: a shell sees, waits
// for and signals them alike, and one whose reader has gone ends as its system says.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	stages(t, dir)
	var names, ends, cut string
	for _, s := range targets {
		names += " " + s.goos
		ends += s.goos + ": 143\n"
		cut += "1 " + s.goos + "\n"
	}
	out, errs, status := machine(t, dir, strings.ReplaceAll(`
mkfifo in
exec 9<>in
for s in SYSTEMS; do
	./$s <in >/dev/null &
	echo "$s $!"
done >pids
while read s pid; do
	kill -0 $pid && kill -TERM $pid
	wait $pid
	echo "$s: $?"
done <pids
rm in
for s in SYSTEMS; do
	{ seq 10000; } | ./$s | head -n 1
done
`, " SYSTEMS", names))
	want := ends + cut
	// A program of Plan 9 that has begun handles the note itself, as Go's runtime does, and
	// ends with its words.
	out = strings.Replace(out, "plan9: 1\n", "plan9: 143\n", 1)
	// The shell says of some jobs what ended them, as it comes.
	if out != want || strings.ReplaceAll(errs, "Terminated\n", "") != "" || status != 0 {
		t.Errorf("status %d\n got: %q %q\nwant: %q", status, out, errs, want)
	}
}

// TestEveryCall: no number, with arguments that are no addresses, does more than to fail:
// it ends no server and blocks nothing that need not block (testdata/every).
func TestEveryCall(t *testing.T) {
	if !subject.Long() {
		t.Skip("only with HYTHE_LONG=1")
	}
	for _, goos := range []string{"freebsd", "netbsd", "dragonfly", "plan9"} {
		t.Run(goos, func(t *testing.T) {
			dir, done, err := subject.Scratch()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(done)
			subject.Build(t, filepath.Join(dir, "every"), goos, "build", "./testdata/every")
			if out, errs, status := machineFor(t, 10*time.Minute, dir, "./every"); out != "all\n" || errs != "" || status != 0 {
				t.Errorf("status %d\n%s%.2000s", status, out, errs)
			}
		})
	}
}
