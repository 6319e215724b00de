package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// oneSystem is a system that the workload of testdata/systems is built for.
type oneSystem struct{ name, goos, goarch string }

var allSystems = []oneSystem{
	{"Linux", "linux", "amd64"}, {"FreeBSD", "freebsd", "amd64"}, {"NetBSD", "netbsd", "amd64"}, {"DragonFly", "dragonfly", "amd64"},
	{"Plan 9", "plan9", "amd64"}, {"WASI", "wasip1", "wasm"},
}

// ofSystems are the table's columns: start is starting the workload to do nothing.
var ofSystems = []string{"start", "calls", "files", "cpu"}

// runSystems measures one Go program, built for each system, on one machine beside the one
// for Linux natively.
func runSystems(rounds int, write, hythe string) error {
	hythe, err := filepath.Abs(hythe)
	if err != nil {
		return err
	}
	dir, remove, err := workDir()
	if err != nil {
		return err
	}
	defer remove()
	micro, err := buildMicro(dir)
	if err != nil {
		return err
	}
	for _, s := range allSystems {
		c := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, s.goos), "./bench/testdata/systems")
		c.Env = append(os.Environ(), "GOOS="+s.goos, "GOARCH="+s.goarch, "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", s.name, err, out)
		}
	}
	one := func(s side, prog string, into map[string][]float64) error {
		prog = filepath.Join(dir, prog)
		// The first run is for what is kept: a module is compiled by it.
		const script = `"$1" && "$0" run:start:5 "$1" && "$1" calls files cpu`
		out, err := output(s, -1, dir, "/bin/sh", "-c", script, micro, prog)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			v, err := parse(line)
			if err != nil || !slices.Contains(ofSystems, v.name) {
				return fmt.Errorf("unexpected line %q", line)
			}
			into[v.name] = append(into[v.name], v.ns)
		}
		return nil
	}
	both := sides(hythe)
	got := map[string]map[string][]float64{"native": {}} // side or system, column: nanoseconds
	for _, s := range allSystems {
		got[s.name] = map[string][]float64{}
	}
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "systems: round %d of %d\n", i+1, rounds)
		if err := one(both[0], "linux", got["native"]); err != nil {
			return err
		}
		for _, s := range allSystems {
			if err := one(both[1], s.goos, got[s.name]); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	table := formatSystems(got, rounds)
	fmt.Print(table)
	if write == "" {
		return nil
	}
	return insert(write, "systems", table)
}

func formatSystems(got map[string]map[string][]float64, rounds int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, load %s, median of %d interleaved rounds; in brackets the ratio to native Linux.\n\n", host(), load(), rounds)
	b.WriteString("| system | start | a cheap call | a file | processor |\n| --- | --- | --- | --- | --- |\n")
	native := got["native"]
	row := func(name string, of map[string][]float64) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, c := range ofSystems {
			switch {
			case len(of[c]) == 0 || len(native[c]) == 0:
				b.WriteString(" - |")
			case name == "native Linux":
				fmt.Fprintf(&b, " %s |", nice(median(of[c])))
			default:
				fmt.Fprintf(&b, " %s (%.2f) |", nice(median(of[c])), median(of[c])/median(native[c]))
			}
		}
		b.WriteString("\n")
	}
	row("native Linux", native)
	for _, s := range allSystems {
		row(s.name, got[s.name])
	}
	return b.String()
}

// load is the host's average load over a minute and a quarter of an hour.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 2 {
		return f[0] + " to " + f[2]
	}
	return "unknown"
}
