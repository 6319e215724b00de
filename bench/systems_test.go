package main

import (
	"strings"
	"testing"
)

// TestFormatSystems: a row for each system, beside native Linux, and a hole where nothing
// was measured.
func TestFormatSystems(t *testing.T) {
	got := map[string]map[string][]float64{"native": {"start": {1e6, 3e6, 2e6}, "calls": {100}, "files": {2000}, "cpu": {5e7}}}
	got["Plan 9"] = map[string][]float64{"start": {6e6}, "calls": {250}, "cpu": {5e7}}
	s := formatSystems(got, 3)
	for _, want := range []string{"median of 3 ", "| native Linux | 2.0 ms | 100 ns | 2.0 us | 50.0 ms |", "| Plan 9 | 6.0 ms (3.00) | 250 ns (2.50) | - | 50.0 ms (1.00) |", "| WASI | - | - | - | - |"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	if n := strings.Count(s, "\n"); n != 2+2+1+len(allSystems) {
		t.Errorf("%d lines:\n%s", n, s)
	}
}
