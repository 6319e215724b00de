package recovery

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// loadVictims are the servers that are killed under load; several: one of them
// each time.
var loadVictims = []struct {
	name    string
	servers []string
	long    bool // only in the long test
}{
	{"unix", []string{"unix"}, false},
	{"overlay", []string{"overlay"}, false},
	{"tmpfs", []string{"tmpfs"}, true},
	{"host", []string{"host"}, true},
	{"console", []string{"console"}, true},
	{"any", []string{"unix", "overlay", "tmpfs", "host", "console"}, false},
}

// TestLoad kills servers at random moments of a git clone, a make and a
// database's load, and demands what an undisturbed run gives: the same tree, the
// same dump, a clean git fsck, no word on standard error.
func TestLoad(t *testing.T) {
	bin := subject.Binary(t)
	subject.Need(t, "/usr/bin/git", "/usr/bin/make", "/usr/bin/cc", "/usr/bin/sqlite3")
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("load.sh")
	if err != nil {
		t.Fatal(err)
	}
	kills, limit := 12, shortLimit
	if subject.Long() {
		kills, limit = 100, longLimit
	}
	if v, err := strconv.Atoi(os.Getenv("HYTHE_KILLS")); err == nil && v > 0 {
		kills = v
	}
	argv := func(rounds int) []string {
		return []string{"/bin/sh", "-c", string(script), "load", strconv.Itoa(rounds), "/tmp/load"}
	}
	s := seed(t)
	var begun, over time.Time
	r := start(t, bin, argv(2), limit)
	want := r.end(t, func(n int) {
		begun, over = over, time.Now()
	})
	if e := r.errs.String(); e != "" || begun.IsZero() {
		t.Fatalf("the undisturbed run: %q, standard error %q", want, e)
	}
	want, _, _ = strings.Cut(strings.TrimPrefix(want, "step 1 "), "\n")
	if !strings.Contains(want, "fsck ''") || !strings.HasSuffix(want, " ok") {
		t.Fatalf("the undisturbed run says %q", want)
	}
	// Rounds for all kills, if none of them takes any time.
	rounds := 1 + int(time.Duration(kills)*maxPause/over.Sub(begun))
	for n, v := range loadVictims {
		if v.long && !subject.Long() {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(s, uint64(n)))
			r := start(t, bin, argv(rounds), limit)
			over, killed, met := make(chan struct{}), make(chan struct{}), 0
			go func() {
				defer close(killed)
				for range kills {
					// The moments are what is random here: nobody waits for them.
					select {
					case <-over:
						return
					case <-time.After(time.Duration(rng.Int64N(int64(maxPause)))):
					}
					if r.kill(t, v.servers[rng.IntN(len(v.servers))], rng.IntN(100_000)) {
						met++
					}
				}
			}()
			got := r.end(t, func(int) {})
			close(over)
			<-killed
			t.Logf("%d rounds, %d kills", rounds, met)
			if met < kills/2 {
				t.Errorf("only %d of %d kills met a running server", met, kills)
			}
			lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
			if len(lines) != rounds {
				t.Errorf("%d of %d rounds came to their end", len(lines), rounds)
			}
			for i, l := range lines {
				if _, l, _ = strings.Cut(strings.TrimPrefix(l, "step "), " "); l != want {
					t.Errorf("round %d: %s\nundisturbed: %s", i+1, l, want)
				}
			}
			// What Hythe itself says of its servers is not the guests' word.
			for l := range strings.Lines(r.errs.String()) {
				if !strings.HasPrefix(l, "hythe: ") {
					t.Errorf("on standard error: %s", l)
				}
			}
		})
	}
}

// maxPause is how far apart two kills are at most, the time apart that it takes
// to find the server's process.
const maxPause = 150 * time.Millisecond
