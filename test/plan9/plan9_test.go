// Package plan9 runs programs for Plan 9 under Hythe. There is no Plan 9 to compare with: the
// same source built for Linux and run natively is the oracle, where the systems agree.
package plan9

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

const limit = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(subject.Main(m)) }

// program is a program for a system: of testdata, or one that the BSDs' tests have.
func program(t *testing.T, name, goos string) string {
	t.Helper()
	dir := "./testdata/" + name
	if _, err := os.Stat(dir); err != nil {
		dir = "../bsd/testdata/" + name
	}
	return subject.Program(t, dir, goos)
}

// result is what a program wrote and how it ended.
type result struct {
	out, err string
	status   int
}

// hythe runs a command in a machine.
func hythe(t *testing.T, args ...string) result {
	t.Helper()
	c := exec.Command(subject.Binary(t), append([]string{"run", "-e", "NAME", "--"}, args...)...)
	var r result
	r.out, r.err, r.status = subject.Run(t, limit, c)
	return r
}

// same compares the program for Plan 9 with the one for Linux, run natively.
func same(t *testing.T, name string, args ...string) {
	t.Helper()
	var want result
	want.out, want.err, want.status = subject.Run(t, limit, exec.Command(program(t, name, "linux"), args...))
	got := hythe(t, append([]string{program(t, name, "plan9")}, args...)...)
	if got != want {
		t.Errorf("%s: status %d, want %d\n got: %.2000q %.2000q\nwant: %.2000q %.2000q", name, got.status, want.status, got.out, got.err, want.out, want.err)
	}
}

func TestHello(t *testing.T) {
	t.Setenv("NAME", "a name")
	same(t, "hello")
	same(t, "hello", "a", "b c", strings.Repeat("long", 1000))
}

// TestThreads: faults that are recovered, goroutines on many threads, preemption,
// timers, collections.
func TestThreads(t *testing.T) {
	same(t, "threads")
	same(t, "threads", "and", "arguments")
}

// TestFiles: what the library does with files comes out as on Linux.
func TestFiles(t *testing.T) {
	t.Setenv("NAME", "a name")
	same(t, "files")
}

// TestProcesses: programs that start programs, of their own system and of Linux, with
// pipes, notes and statuses.
func TestProcesses(t *testing.T) { same(t, "procs") }

// TestNames: name spaces, services, semaphores are as the manual has them.
func TestNames(t *testing.T) {
	got := hythe(t, program(t, "names", "plan9"))
	if n := strings.Count(got.out, " true\n"); n != 72 || n != strings.Count(got.out, "\n") || got.err != "" || got.status != 0 {
		t.Errorf("status %d, %d are right\n%s%.2000s", got.status, n, got.out, got.err)
	}
}

// TestNet: Go's network over /net comes out as on Linux; a server of one system serves a
// client of the other.
func TestNet(t *testing.T) {
	same(t, "net")
	serve := map[string]string{"plan9": program(t, "net", "plan9"), "linux": program(t, "net", "linux")}
	for server, client := range map[string]string{"plan9": "linux", "linux": "plan9"} {
		script := "cd $(mktemp -d); " + serve[server] + " serve at & while ! [ -f at ]; do :; done; " + serve[client] + " get $(cat at)/from/" + client + "; kill $!"
		if got := hythe(t, "/bin/sh", "-c", script); got.out != "served /from/"+client+"\n" || got.err != "" || got.status != 0 {
			t.Errorf("a server of %s: status %d\n%s%.2000s", server, got.status, got.out, got.err)
		}
	}
}

// TestDNS: names are asked for of the machine's resolver, which may answer anything.
func TestDNS(t *testing.T) {
	script := "rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf; exec " + program(t, "dns", "plan9")
	got := hythe(t, "/bin/sh", "-c", script)
	if n := strings.Count(got.out, " true\n"); n != 15 || n != strings.Count(got.out, "\n") || got.err != "" || got.status != 0 {
		t.Errorf("status %d\n%s%.2000s", got.status, got.out, got.err)
	}
}

// TestMount: a server of 9P is mounted and used, and hostile ones harm nobody.
func TestMount(t *testing.T) {
	if got := hythe(t, program(t, "mount", "plan9")); !mounted(got) || got.err != "" {
		t.Errorf("status %d\n%s%.2000s", got.status, got.out, got.err)
	}
}

func mounted(got result) bool {
	n := strings.Count(got.out, " true\n")
	return n == 94 && n == strings.Count(got.out, "\n") && got.status == 0
}

// TestMountDeaths: it comes out the same when the unix server, whose clients the sessions
// are, is killed meanwhile.
func TestMountDeaths(t *testing.T) {
	id := "plan9-deaths-" + strconv.Itoa(os.Getpid())
	c := exec.Command(subject.Binary(t), "run", "--name", id, "--", program(t, "mount", "plan9"))
	done := make(chan result, 1)
	go func() {
		var r result
		r.out, r.err, r.status = subject.Run(t, limit, c)
		done <- r
	}()
	// Before it begins and after it has ended there is nothing to kill.
	killed := 0
	for killed < 10 {
		select {
		case got := <-done:
			done <- got
		default:
			if exec.Command(subject.Binary(t), "restart", "-m", id, "unix").Run() == nil {
				killed++
			}
			continue
		}
		break
	}
	if got := <-done; !mounted(got) || killed == 0 {
		t.Errorf("status %d, killed %d times\n%s%.2000s", got.status, killed, got.out, got.err)
	}
}

// TestFetchDeaths: a program is fetched once, whichever answer of its server comes when the
// unix server has just been killed.
func TestFetchDeaths(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	id := "plan9-fetch-" + strconv.Itoa(os.Getpid())
	c := exec.CommandContext(ctx, subject.Binary(t), "run", "-i", "--name", id, "--", program(t, "mount", "plan9"), "fetch")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	killed, good := 0, 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch l := lines.Text(); {
		case l == "go on?":
			if b, err := exec.Command(subject.Binary(t), "restart", "-m", id, "unix").CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, b)
			}
			killed++
			in.Write([]byte("\n"))
		case strings.HasSuffix(l, " true"):
			good++
		default:
			t.Error(l)
		}
	}
	if err := c.Wait(); err != nil || good != 6 || killed < 8 {
		t.Errorf("%v, %d are right, killed %d times", err, good, killed)
	}
}

// TestHostile: addresses that are none are an error and a note, numbers that are no calls
// another, files that are no programs harm nobody, and values, names and notes end.
func TestHostile(t *testing.T) {
	if got := hythe(t, program(t, "hostile", "plan9")); got.out != "done\n" || got.status != 0 {
		t.Errorf("status %d\n%s%.2000s", got.status, got.out, got.err)
	}
}

// TestOtherUser: another user's processes get no notes and are not looked into, and nobody
// removes for another what that may not remove.
func TestOtherUser(t *testing.T) {
	p := program(t, "hostile", "plan9")
	for _, dir := range []string{filepath.Dir(p), p} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, script := range []string{
		"setpriv --reuid 1000 --regid 1000 --clear-groups " + p + " others $$",
		"d=$(mktemp -d); chmod 755 $d; echo x >$d/f; " + p + " close $d/f",
	} {
		if got := hythe(t, "/bin/sh", "-c", script); got.out != "done\n" || got.status != 0 {
			t.Errorf("status %d\n%s%.2000s", got.status, got.out, got.err)
		}
	}
}
