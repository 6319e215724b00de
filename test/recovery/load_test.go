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

// loadVictims are the servers that are killed under load, and where it works, so
// that its files are theirs; several: one of them each time.
var loadVictims = []struct {
	name, dir string
	placement string
	servers   []string
	long      bool // only in the long test
}{
	{"unix", "/tmp/load", "apart", []string{"unix"}, true},
	{"together", "/tmp/load", "together", []string{"unix"}, false},
	{"overlay", "/tmp/load", "apart", []string{"overlay"}, false},
	{"tmpfs", "/dev/shm/load", "apart", []string{"tmpfs"}, true},
	{"memory", "/dev/shm/load", "together", []string{"unix"}, true},
	{"host", "/mnt", "together", []string{"host"}, true}, // a writable mount's and the root's layer below
	{"console", "/tmp/load", "together", []string{"console"}, true},
	{"any", "/tmp/load", "together", []string{"unix", "host", "console"}, false},
	{"apart", "/tmp/load", "apart", []string{"unix", "overlay", "tmpfs", "host", "console"}, true},
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
	begin := func(t *testing.T, rounds int, dir, placement string) *machineRun {
		args := []string{"--placement", placement, "--", "/bin/sh", "-c", string(script), "load", strconv.Itoa(rounds), dir}
		if dir == "/mnt" {
			args = append([]string{"-v", t.TempDir() + ":" + dir}, args...)
		}
		return startRun(t, bin, args, limit)
	}
	gap := maxPause
	if d, err := time.ParseDuration(os.Getenv("HYTHE_GAP")); err == nil && d > 0 {
		gap = d
	}
	s := seed(t)
	type undisturbed struct {
		line   string // of each round
		rounds int    // for all kills, if none of them takes any time
	}
	known := map[string]undisturbed{}
	for n, v := range loadVictims {
		if v.long && !subject.Long() {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			u, ok := known[v.dir]
			if !ok {
				var begun, over time.Time
				r := begin(t, 2, v.dir, v.placement)
				u.line = r.end(t, func(int) { begun, over = over, time.Now() })
				if e := r.errs.String(); e != "" || begun.IsZero() {
					t.Fatalf("the undisturbed run: %q, standard error %q", u.line, e)
				}
				u.line, _, _ = strings.Cut(strings.TrimPrefix(u.line, "step 1 "), "\n")
				if !strings.Contains(u.line, "fsck ''") || !strings.HasSuffix(u.line, " ok") {
					t.Fatalf("the undisturbed run says %q", u.line)
				}
				u.rounds = 2 + int(time.Duration(kills)*gap/over.Sub(begun))
				known[v.dir] = u
			}
			want, rounds := u.line, u.rounds
			rng := rand.New(rand.NewPCG(s, uint64(n)))
			r := begin(t, rounds, v.dir, v.placement)
			over, killed := make(chan struct{}), make(chan int)
			go func() { killed <- r.killAtRandom(rng, v.servers, kills, gap, over) }()
			got := r.end(t, func(int) {})
			close(over)
			met := <-killed
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

// maxPause is how far apart two kills are at most.
const maxPause = 150 * time.Millisecond

// killAtRandom kills one of the servers, so many times, each at a random moment
// within gap of the one before, or as soon as it has a process again, until the
// run is over. It answers how many of the kills were made.
func (r *machineRun) killAtRandom(rng *rand.Rand, servers []string, kills int, gap time.Duration, over chan struct{}) int {
	for i := range kills {
		name, which := "hythe-"+servers[rng.IntN(len(servers))], int(rng.Uint32())
		// The moments are what is random here: nobody waits for them.
		next := time.Duration(rng.Int64N(int64(gap)))
		for done := false; !done; next = time.Millisecond {
			select {
			case <-over:
				return i
			case <-time.After(next):
			}
			if pids := childrenNamed(r.cmd.Process.Pid, name); len(pids) > 0 {
				done = unix.Kill(pids[which%len(pids)], unix.SIGKILL) == nil
			}
		}
	}
	return kills
}
