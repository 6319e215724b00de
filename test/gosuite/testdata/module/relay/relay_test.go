package relay

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(Child(os.Args[1:], os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func TestSum(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 64} {
		if got := Sum(10000, workers); got != 50005000 {
			t.Errorf("%d workers: %d", workers, got)
		}
	}
}

func TestSteps(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		step func(string) (string, error)
		want string
	}{
		{"Signals", Signals, "signals user defined signal 1, user defined signal 2, hangup, window changed, signal 40"},
		{"Exits", Exits, "exits <nil>, exit status 1, exit status 200, signal: terminated, signal: killed, signal: hangup"},
		{"Pipeline", Pipeline, "pipeline 6878"},
		{"Orders", Orders, "orders ready, user defined signal 1, hangup, terminated, exit status 3"},
		{"Deadline", Deadline, "cancelled: signal: killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.step(self)
			if err != nil || got != c.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestWrong fails for good: how it is told is compared too.
func TestWrong(t *testing.T) {
	if os.Getenv("RELAY_WRONG") != "" {
		t.Error("wrong, as asked for")
	}
}

func BenchmarkSum(b *testing.B) {
	for b.Loop() {
		Sum(100, 4)
	}
}
