package faces

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hythe/test/subject"
)

type callRow struct {
	Name     string
	Nr       int
	Count    int
	Unserved bool
}

// calls answers what trace --json shows of a machine, by name.
func calls(t *testing.T, id string, flags ...string) map[string]callRow {
	t.Helper()
	var v []struct{ Items []callRow }
	r := hythe(t, "", append([]string{"trace", "--json", "-m", id}, flags...)...)
	if err := json.Unmarshal([]byte(r.out), &v); err != nil || len(v) != 1 {
		t.Fatalf("trace: %v %+v", err, r)
	}
	m := map[string]callRow{}
	for _, c := range v[0].Items {
		m[c.Name] = c
	}
	return m
}

// Calls that are not served are counted by name, also across the unix server's
// death, and answer ENOSYS.
func TestUnservedCalls(t *testing.T) {
	subject.Need(t, "/usr/bin/perl")
	id, m := machine(t)
	prog := []string{"exec", "-m", id, "--", "/usr/bin/perl", "-MPOSIX", "-e",
		"for (248, 248, 500, 5000) { print syscall($_, 1, 2, 3), $! == ENOSYS ? q( ENOSYS) : $!, qq(\\n) }"}
	want := map[string]int{"add_key": 2, "syscall_500": 1, "others": 1}
	for round := 1; round <= 2; round++ {
		if r := hythe(t, "", prog...); r.out != "-1 ENOSYS\n-1 ENOSYS\n-1 ENOSYS\n-1 ENOSYS\n" || r.status != 0 {
			t.Fatalf("%+v", r)
		}
		if r := hythe(t, "", "restart", "-m", id, "unix"); r.status != 0 {
			t.Fatalf("restart: %+v", r)
		}
		got := calls(t, id, "--unserved")
		for name, n := range want {
			if c := got[name]; c.Count != n*round || !c.Unserved {
				t.Errorf("round %d: %s: %+v, want %d", round, name, c, n*round)
			}
		}
		// Each exec of perl, and the shell's of cat.
		if c := calls(t, id)["execve"]; c.Unserved || c.Count < 1 {
			t.Errorf("round %d: %+v", round, c)
		}
	}
	m.in.Close()
	m.end(3)
}

// TestOpenAgainCalls: who opens a name again and again, reads it at an offset and closes it is hardly heard of by the unix server.
func TestOpenAgainCalls(t *testing.T) {
	subject.Need(t, "/usr/bin/perl")
	id, m := machine(t)
	const rounds = 2000
	for _, name := range []string{"/bin/sh", "/tmp/again"} { // one that was there, and one that was just written, whose attributes are asked for
		before := calls(t, id)
		prog := `$n = shift; if ($n =~ /tmp/) { open F, ">", $n; print F "text"; close F } stat $n; $b = "    ";
			for (1 .. 2000) { $f = syscall(257, -100, $n, 0, 0); $s += syscall(17, $f, $b, 4, 0); $s += $b ne "    "; $s += syscall 3, $f; $b = "    " } print $s`
		if r := hythe(t, "", "exec", "-m", id, "--", "/usr/bin/perl", "-e", prog, name); r.out != "10000" || r.status != 0 {
			t.Fatalf("%+v", r)
		}
		after := calls(t, id)
		for _, call := range []string{"openat", "pread64", "close"} {
			// What the server sees now and then, and does away with, is asked for again.
			if n := after[call].Count - before[call].Count; n > rounds/4 {
				t.Errorf("%s: %s: %d calls", name, call, n)
			} else {
				t.Logf("%s: %s: %d calls", name, call, n)
			}
		}
	}
	m.in.Close()
	m.end(3)
}

// Lines that the tracer writes, in this order; others may come between.
func TestTrace(t *testing.T) {
	subject.Need(t, "/usr/bin/perl")
	file := filepath.Join(t.TempDir(), "trace")
	prog := `$SIG{USR1} = sub {}; $| = 1; pipe R, W; syscall 248; getppid; open F, ">", "/tmp/a\"b"; syswrite F, "line\n\1" . "2" x 99;
		kill "USR1", $$; unless (fork) { exit 3 } wait; unless (fork) { kill "TERM", $$; sleep 9 } wait; exec "/bin/sh", "-c", "exit 4"`
	if r := hythe(t, "", "run", "--trace="+file, "--", "/usr/bin/perl", "-e", prog); r.status != 4 || r.errs != "" {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{
		`1] execve\("/usr/bin/perl", \["/usr/bin/perl", "-e", "\$SIG.*"\.\.\.\], /\* \d+ vars \*/\) = 0`,
		`1] openat\(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY\|O_CLOEXEC\) = 3`,
		`1] newfstatat\(3, "", {st_mode=S_IFREG\|0\d+, st_size=\d+, \.\.\.}, AT_EMPTY_PATH\) = 0`,
		`1] read\(3, "\\177ELF.*"\.\.\., 832\) = 832`,
		`1] mmap\(NULL, \d+, PROT_READ, MAP_PRIVATE\|MAP_DENYWRITE, 3, 0\) = \?`,
		`1] close\(3\) = 0`,
		`1] rt_sigaction\(SIGUSR1, {sa_handler=0x[0-9a-f]+, sa_mask=\[\], sa_flags=SA_RESTORER, sa_restorer=0x[0-9a-f]+}, {sa_handler=SIG_DFL, .*}, 8\) = 0`,
		`1] pipe2\(\[3, 4\], O_CLOEXEC\) = 0`,
		`1] add_key\(\) = -1 ENOSYS`,
		`1] getppid\(\) = 0`,
		`1] openat\(AT_FDCWD, "/tmp/a\\"b", O_WRONLY\|O_CREAT\|O_TRUNC\|O_CLOEXEC, 0666\) = 5`,
		`1] write\(5, "line\\n\\0012{26}"\.\.\., 105\) = 105`,
		`1] getpid\(\) = 1`,
		`1] kill\(1, SIGUSR1\) = 0`,
		`1] --- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=1, si_uid=\d+} ---`,
		`1] clone\(SIGCHLD\|CLONE_CHILD_CLEARTID\|CLONE_CHILD_SETTID, NULL, .*\) = 2`,
		`2] exit_group\(3\) = \?`,
		`2] \+\+\+ exited with 3 \+\+\+`,
		`1] wait4\(-1, \[{WIFEXITED\(s\) && WEXITSTATUS\(s\) == 3}\], 0, NULL\) = 2`,
		`3] kill\(3, SIGTERM\) = 0`,
		`3] --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=3, si_uid=\d+} ---`,
		`3] \+\+\+ killed by SIGTERM \+\+\+`,
		`1] wait4\(-1, \[{WIFSIGNALED\(s\) && WTERMSIG\(s\) == SIGTERM}\], 0, NULL\) = 3`,
		`1] execve\("/bin/sh", \["/bin/sh", "-c", "exit 4"\], /\* \d+ vars \*/\) = 0`,
		`1] exit_group\(4\) = \?`,
		`1] \+\+\+ exited with 4 \+\+\+`,
	} {
		at := regexp.MustCompile(`(?m)^\[pid +` + want + `$`).FindStringIndex(text)
		if at == nil {
			t.Fatalf("no line %s in\n%s", want, text)
		}
		text = text[at[1]:]
	}
	if strings.TrimSpace(text) != "" {
		t.Errorf("after the end: %q", text)
	}
}

// Ports and messages of a machine that runs, as people see them.
func TestTracePorts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace")
	if r := hythe(t, "", "run", "--trace-ports="+file, "--", "/bin/sh", "-c", "exit 4"); r.status != 4 || r.errs != "" {
		t.Fatalf("%+v", r)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"supervisor > unix:control sent start,", "unix:control received start,", "unix > console:console bound,", "unix > supervisor sent answer wait,"} {
		_, rest, ok := strings.Cut(text, want)
		if !ok {
			t.Fatalf("no %q in\n%s", want, b)
		}
		text = rest
	}
	id, m := machine(t)
	for _, flags := range [][]string{{}, {"--rates=10ms"}} {
		r := hythe(t, "", append([]string{"ports", "-m", id}, flags...)...)
		title, _, _ := strings.Cut(r.out, "\n")
		if !regexp.MustCompile(`(?m)unix +\d+ +control +0 +64 +0 +\d+ +(\d+\.\d +)?1 +supervisor`).MatchString(r.out) || strings.Contains(title, "RATE") != (len(flags) > 0) || r.status != 0 {
			t.Errorf("%+v", r)
		}
	}
	m.in.Close()
	m.end(3)
}

// What is said to ports of a machine that runs is shown from when somebody asks, to as many
// as ask, and a machine ends whoever looks.
func TestFollowPorts(t *testing.T) {
	id, m := machine(t)
	var all []*running
	seen := make(chan bool)
	for range 2 {
		f := start(t, "trace", "--ports", "-m", id)
		all = append(all, f)
		go func() {
			for {
				l, err := f.out.ReadString('\n')
				if err != nil || strings.Contains(l, " unix:control received start, ") {
					seen <- err == nil
					return
				}
			}
		}()
	}
	for n := 0; n < len(all); {
		if r := hythe(t, "", "exec", "-m", id, "--", "/bin/true"); r.status != 0 {
			t.Fatalf("%+v", r)
		}
		select {
		case ok := <-seen:
			if n++; !ok {
				t.Fatal("it ended")
			}
		default: // it had not begun to look
		}
	}
	// One that is gone is no reason to wait.
	all[0].cmd.Process.Kill()
	all[0].cmd.Wait()
	if r := hythe(t, "", "exec", "-m", id, "--", "/bin/true"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	m.in.Close()
	m.end(3)
	all[1].end(0)
	if r := hythe(t, "", "trace", "--ports", "--json", "-m", id); r.status != 125 || !strings.Contains(r.errs, "neither") {
		t.Errorf("%+v", r)
	}
}
