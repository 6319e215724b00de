package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestRows: every row says one thing to run, and the workloads of micro.c are there.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.name] || strings.ContainsAny(r.name, " :,|") {
			t.Errorf("%q: a name twice, or one that no line has room for", r.name)
		}
		seen[r.name] = true
		ways := 0
		for _, is := range []bool{r.name == "start", r.args != nil, r.script != "", r.serve != ""} {
			if is {
				ways++
			}
		}
		if ways > 1 || (r.args != nil) != (r.times > 0) {
			t.Errorf("%s: %d ways to run it, %d times", r.name, ways, r.times)
		}
		if r.own() != strings.Contains(string(microSource), `{"`+r.name+`", `) {
			t.Errorf("%s: own is %v, and micro.c does not agree", r.name, r.own())
		}
	}
	if _, _, err := selected("stat,nothing"); err == nil {
		t.Error("a row that is not there was selected")
	}
	if l, out, err := selected("stat,getppid"); err != nil || len(l) != 2 || len(out) != 0 || l[0].name != "getppid" {
		t.Errorf("selected %v, left out %v: %v", l, out, err)
	}
}

func TestParse(t *testing.T) {
	if v, err := parse("stat 1800 5001\n"); err != nil || v != (result{"stat", 1800, 5001}) {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := parse("redis 7.5\n"); err != nil || v != (result{"redis", 7.5, 0}) {
		t.Errorf("%v, %v", v, err)
	}
	for _, bad := range []string{"", "stat", "stat x", "stat 1 y", "stat 1 2 3"} {
		if v, err := parse(bad); err == nil {
			t.Errorf("%q: %v", bad, v)
		}
	}
}

// TestMeasure: what a side writes is taken row by row, and a row that fails costs only
// itself.
func TestMeasure(t *testing.T) {
	l := []row{{name: "getppid"}, {name: "stat"}, {name: "fstat"}}
	// The side's program is a shell in whose place micro says "stat" is wrong.
	s := side{"x", func(_ string, _ int, program []string) ([]string, error) {
		return append([]string{"/bin/sh", "-c", `shift; for w in "$@"; do [ $w = stat ] && exit 3; echo $w 7 2; done`, "sh"}, program...), nil
	}}
	var bad []string
	got := measure(s, -1, t.TempDir(), 0, l, func(name string, err error) { bad = append(bad, name+": "+err.Error()) })
	if len(got) != 2 || got[0] != (result{"getppid", 7, 2}) || got[1] != (result{"fstat", 7, 2}) {
		t.Errorf("got %v", got)
	}
	if len(bad) != 1 || !strings.HasPrefix(bad[0], "stat: exit status 3") {
		t.Errorf("failed: %q", bad)
	}
	s.argv = func(string, int, []string) ([]string, error) { return nil, errors.New("no way") }
	bad = nil
	if got := measure(s, -1, t.TempDir(), 0, []row{{name: "start"}}, func(name string, err error) { bad = append(bad, err.Error()) }); len(got) != 0 || len(bad) != 1 {
		t.Errorf("got %v, failed %v", got, bad)
	}
}

// figures are such that the ratios of Hythe's rows are 0.5, 4 and none.
func figures() ([]side, []row, *cells) {
	l := []row{{name: "quick", ratio: both(0.5), call: true}, {name: "slow", ratio: goal{1, 6}, ns: goal{30, 0}, call: true},
		{name: "gone"}, {name: "abs", ns: goal{20e6, 0}}}
	c := &cells{got: map[key][]float64{}, out: []string{"wrk (no wrk)"}, failed: []string{"gone, hythe: exit status 1\nmore"}}
	for core := range map[int]bool{-1: true, 0: true} {
		c.got[key{"quick", "native", core}] = []float64{100, 90, 110}
		c.got[key{"quick", "hythe", core}] = []float64{40, 50, 60}
		c.got[key{"slow", "native", core}] = []float64{10, 10, 10}
		c.got[key{"slow", "hythe", core}] = []float64{40}
		c.got[key{"gone", "native", core}] = []float64{10}
		c.got[key{"abs", "hythe", core}] = []float64{20e6, 20e6, 20e6}
	}
	c.got[key{"quick", "runsc", -1}] = []float64{200}
	c.got[key{"slow", "runsc", -1}] = []float64{20}
	return []side{{name: "native"}, {name: "hythe"}, {name: "runsc"}}, l, c
}

func TestFormat(t *testing.T) {
	sides, l, c := figures()
	s := format(sides, l, c)
	for _, want := range []string{
		"(at most 3)", "Work files are not on tmpfs.",
		"| quick | 100 ns | 20 % | 50 ns | 40 % | 0.50 | 0.50 | yes | 200 ns | 2.00 |\n",
		"| slow (1 round) | 10 ns | 0 % | 40 ns | 0 % | 4.00 | 1.00 or 30 ns | no | 20 ns | 2.00 |\n",
		"| slow (1 round) | 10 ns | 0 % | 40 ns | 0 % | 4.00 | 6.00 | yes |\n",
		"| gone | 10 ns | 0 % | - | - | - | - | - | - | - |\n",
		"| abs | - | - | 20.0 ms | 0 % | - | 20.0 ms | yes | - | - |\n",
		"2 of 3 targets are met. The geometric mean of the 2 rows of calls is 1.41 times native.\nOf the 2 rows that runsc runs Hythe is slower in 1: slow.\n",
		"2 of 2 targets are met. The geometric mean",
		"Left out: wrk (no wrk).", "Failed: gone, hythe: exit status 1.",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if c.got = map[key][]float64{{"quick", "native", 0}: {1}}; strings.Contains(format(sides, l, c), "On all cores") {
		t.Error("a table of what was not measured")
	}
}

// TestPicture: it is XML, with a dot for each ratio and a mark for each target.
func TestPicture(t *testing.T) {
	sides, l, c := figures()
	s := picture(sides, l, c)
	dots, marks, texts := 0, 0, ""
	for d := xml.NewDecoder(strings.NewReader(s)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
		switch v := tok.(type) {
		case xml.StartElement:
			for _, a := range v.Attr {
				if v.Name.Local == "circle" && a.Name.Local == "cx" {
					dots++
				}
				if v.Name.Local == "path" && a.Value == "#d00000" {
					marks++
				}
			}
		case xml.CharData:
			texts += string(v) + "|"
		}
	}
	// Three in the legend; two rows with a ratio in both columns, and runsc's.
	if dots != 3+2*2+2 || marks != 1+2 {
		t.Errorf("%d dots, %d marks:\n%s", dots, marks, s)
	}
	for _, want := range []string{"quick|", "hythe: 0.50|", "hythe, one core: 4.00|", "runsc: 2.00|", "0.01|", "1000|"} {
		if !strings.Contains(texts, want) {
			t.Errorf("no text %q", want)
		}
	}
}

func TestProfileParts(t *testing.T) {
	if v, err := parseStat("7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 30 9 9 20 0 1"); err != nil || v != (spentTime{2500 * time.Millisecond, 300 * time.Millisecond}) {
		t.Errorf("%v, %v", v, err)
	}
	for _, bad := range []string{"", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194560 1 2 3 4 x 30 9"} {
		if v, err := parseStat(bad); err == nil {
			t.Errorf("%q: %v", bad, v)
		}
	}
	before := state{spent: map[string]spentTime{"unix": {time.Second, 0}}, calls: map[string]uint64{"read": 5, "write": 7}}
	after := state{spent: map[string]spentTime{"unix": {2 * time.Second, time.Second}, guestsPart: {2 * time.Second, 0}, "net": {}}, calls: map[string]uint64{"read": 5, "write": 207}}
	s := formatSpent(before, after, 100)
	for _, want := range []string{"guests             2.00 s     0.00 s   50.0 %        20.0 ms\n", "unix               1.00 s     1.00 s   50.0 %        20.0 ms\n", "an operation: 2.00\n", "  write                         2.000\n"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if strings.Contains(s, "net ") || strings.Contains(s, "read") {
		t.Errorf("what was not used is listed:\n%s", s)
	}
}

func TestSamples(t *testing.T) {
	const text = `
  10     1.000000:  401000 early (/bin/hythe)
  10     2.100000:  401000 hythe/ipc.(*Poller).look (/bin/hythe)
  10     2.200000:  ffffffff81000000 schedule ([kernel.kallsyms])
  11     2.300000:  7edf00000000 spin (/bin/hythe)
  11     2.400000:  56080000 operator new(unsigned long) (/usr/bin/prog)
  11     2.500000:  56080000 [unknown] (/usr/bin/prog)
  11     2.600000:  ffffffff81000000 [unknown] ([unknown])
nonsense
  11     3.600000:  7edf00000000 late (/bin/hythe)
`
	s := readSamples(text, 2*time.Second, 3*time.Second, map[int]string{10: "unix"}, "/bin/hythe")
	for _, want := range []struct {
		part, function string
	}{{"unix", "hythe/ipc.(*Poller).look"}, {"kernel, for unix", "schedule"}, {"library", "spin"},
		{"guest program", "operator new(unsigned long)"}, {"guest program", "prog"}, {"kernel, for guests", "[unknown]"}} {
		if s[want.part][want.function] != 1 {
			t.Errorf("%s, %s: %v", want.part, want.function, s)
		}
	}
	out := formatSamples(s)
	for _, want := range []string{"6 samples", "guest program              33.3 %", "  16.7 %  spin\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "early") || strings.Contains(out, "late") {
		t.Errorf("samples of another time:\n%s", out)
	}
	if got := formatSamples(samples{}); !strings.Contains(got, "no samples") {
		t.Errorf("%q", got)
	}
}
