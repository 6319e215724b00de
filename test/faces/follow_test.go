package faces

import (
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"hythe/test/subject"
)

// follower starts a command that follows calls, and waits until it does.
func follower(t *testing.T, id string, flags ...string) *running {
	t.Helper()
	args := append([]string{"-c", `exec "$@" 2>&1`, "sh", subject.Binary(t), "trace", "--calls", "-m", id}, flags...)
	f := startCmd(t, exec.Command("/bin/sh", args...))
	f.line("hythe: following the calls of machine " + id)
	return f
}

// step is a program that waits for its next line.
type step struct {
	*running
	pid string
}

func startStep(t *testing.T, id, prog string) step {
	t.Helper()
	p := start(t, "exec", "-i", "-m", id, "--", prog)
	pid, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v; %s", prog, err, p.err.String())
	}
	return step{p, strings.TrimSpace(pid)}
}

func (p step) do(what string) {
	p.t.Helper()
	p.say(what + "\n")
	p.line("done")
}

// steps builds the program for a system.
func steps(t *testing.T, goos string) string {
	t.Helper()
	prog := filepath.Join(t.TempDir(), "steps-"+goos)
	subject.Build(t, prog, goos, "build", "hythe/test/faces/testdata/steps")
	return prog
}

// inOrder demands these lines in this order; others may come between.
func inOrder(t *testing.T, text string, want ...string) {
	t.Helper()
	rest := text
	for _, w := range want {
		at := regexp.MustCompile(`(?m)^\[pid +` + w + `$`).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no line %s (behind those before it) in\n%s", w, text)
		}
		rest = rest[at[1]:]
	}
}

// Programs of three systems that run already are followed, each in its own terms, by who
// wants one of them and by who wants all, and across the death of the unix server; the
// machine's own trace goes on beside.
func TestFollowCalls(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	id, m := machine(t, "--trace="+file)
	plain, _ := machine(t) // one whose libraries serve what they can
	rows := map[string][]string{
		"linux":   {`\d+\] newfstatat\(AT_FDCWD, "/no/such/%s", 0x[0-9a-f]+, 0\) = -1 ENOENT`, `\d+\] getpid\(\) = %s`},
		"freebsd": {`\d+\] fstatat\(AT_FDCWD, "/no/such/%s", .*\) = ERR#2 ENOENT`, `\d+\] getpid\(\) = %s`},
		"plan9":   {`\d+\] stat\("/no/such/%s", .*\) = -1 "file does not exist"`},
	}
	for _, id := range []string{id, plain} {
		all := follower(t, id)
		for goos, want := range rows {
			p := startStep(t, id, steps(t, goos))
			f := follower(t, id, "--pid", p.pid)
			gone := follower(t, id, "--pid", p.pid, "--pid", p.pid)
			p.do("a")
			// The lines of a server that is killed are lost if they are not on their way.
			var seen strings.Builder
			for last := regexp.MustCompile(`(?s)/no/such/a".*write\(1, "done`); !last.MatchString(seen.String()); {
				l, err := f.out.ReadString('\n')
				if seen.WriteString(l); err != nil {
					t.Fatalf("%v: %s", err, seen.String())
				}
			}
			gone.cmd.Process.Kill()
			if r := hythe(t, "", "restart", "-m", id, "unix"); r.status != 0 {
				t.Fatalf("restart: %+v", r)
			}
			p.do("b")
			p.in.Close()
			p.end(7)
			// What it follows has ended, and so does it.
			b, err := io.ReadAll(f.out)
			if err != nil {
				t.Fatal(err)
			}
			f.end(0)
			var lines []string
			for _, word := range []string{"a", "b"} {
				lines = append(lines, fmt.Sprintf(want[0], word))
				for _, w := range want[1:] {
					lines = append(lines, fmt.Sprintf(w, p.pid))
				}
			}
			inOrder(t, seen.String()+string(b), lines...)
		}
		// Which the other one has seen too.
		for range rows {
			for {
				l, err := all.out.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(l, "[pid") && strings.Contains(l, "/no/such/b") {
					break
				}
			}
		}
	}
	if r := hythe(t, "", "trace", "--calls", "-m", id, "--pid", "31999"); r.status != 125 || !strings.Contains(r.errs, "no such process") || r.out != "" {
		t.Errorf("%+v", r)
	}
	m.in.Close()
	m.end(3)
}

// Files that were lent to a program's library are read by the server while somebody looks, and
// only then; who looks and does not read, or goes away, holds nobody up.
func TestFollowLent(t *testing.T) {
	id, m := machine(t)
	p := startStep(t, id, steps(t, "linux"))
	reads := func() int {
		before := calls(t, id)["pread64"].Count
		p.do("read")
		return calls(t, id)["pread64"].Count - before
	}
	reads()
	if n := reads(); n > 100 {
		t.Fatalf("%d of 200 reads before anybody looks", n)
	}
	f := follower(t, id, "--pid", p.pid)
	deaf := follower(t, id)
	if n := reads(); n != 200 {
		t.Errorf("%d of 200 reads while somebody looks", n)
	}
	for n := 0; n < 200; {
		l, err := f.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if regexp.MustCompile(`^\[pid +\d+\] pread64\(3, ".*"\.*, 16, 64\) = 16\n$`).MatchString(l) {
			n++
		}
	}
	p.do("many")
	f.cmd.Process.Kill()
	deaf.cmd.Process.Kill()
	for end := time.Now().Add(limit); reads() > 100; {
		if time.Now().After(end) {
			t.Fatal("nobody looks any more, and files are not lent")
		}
	}
	p.in.Close()
	p.end(7)
	m.in.Close()
	m.end(3)
}

// A machine ends whoever follows, and who follows ends with it, with the last line.
func TestFollowEnd(t *testing.T) {
	id, m := machine(t)
	f, deaf := follower(t, id), follower(t, id)
	m.in.Close()
	m.end(3)
	b, err := io.ReadAll(f.out)
	if err != nil || !strings.HasSuffix(string(b), "] +++ exited with 3 +++\n") {
		t.Errorf("%v: %s", err, b)
	}
	f.end(0)
	deaf.end(0)
	for _, flags := range [][]string{{"--calls", "--json"}, {"--calls", "--ports"}, {"--pid", "1"}} {
		if r := hythe(t, "", append([]string{"trace"}, flags...)...); r.status != 125 {
			t.Errorf("%q: %+v", flags, r)
		}
	}
}
