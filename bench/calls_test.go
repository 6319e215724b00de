package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestFormatCalls: the table has a row for each place and size, and a hole where a peer
// is not there.
func TestFormatCalls(t *testing.T) {
	got := map[string][]float64{}
	for _, p := range places {
		for _, size := range sizes {
			for i, k := range kinds {
				key := p.name + fmt.Sprint(size) + k
				got[key] = []float64{float64(1000 * (i + 1)), 9e9, 1}
				if k == "gRPC" {
					got[key] = []float64{0, 0, 0}
				}
			}
		}
	}
	for i, k := range nears {
		got["near"+k] = []float64{float64(100 * (i + 1))}
	}
	for _, n := range crowds {
		for _, k := range crowded {
			got["crowd"+fmt.Sprint(n)+k] = []float64{500}
		}
	}
	for _, k := range flows {
		got["flow"+places[1].name+"8"+k] = []float64{50}
	}
	s := formatCalls(got, 3) + formatFlows(got)
	for _, want := range []string{"| one core | 8 | 1.0 us", "| a core each | 1048576 |", " - | 5.0 us", " 5.00 |", "| 100 ns ± 0 % | 200 ns ± 0 % | 300 ns ± 0 % | 400 ns ± 0 % | 4.00 |",
		"| a core each | 8 | 20, 10 | 20, 10 | 20, 10 | 20, 10 | 20, 10 | 1.00 |", "| anywhere | 64 | - | - |", "| 1000 | 2000000 | 2000000 | 2000000 |"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
}
