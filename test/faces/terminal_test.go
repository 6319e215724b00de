package faces

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/test/subject"
)

// terminal is a command on a pseudo-terminal of the host, and the person before
// it.
type terminal struct {
	t      *testing.T
	name   string
	master *os.File
	seen   []byte // what was shown and not yet expected
	all    []byte
	cmd    *exec.Cmd
}

func openTerminal(t *testing.T, rows, cols uint16, argv ...string) *terminal {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var n uint32
	if v, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN); err != nil {
		t.Fatal(err)
	} else {
		n = uint32(v)
	}
	if err := unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &terminal{t: t, name: filepath.Base(argv[0]), master: m, cmd: exec.Command(argv[0], argv[1:]...)}
	w.resize(rows, cols)
	w.cmd.Stdin, w.cmd.Stdout, w.cmd.Stderr = s, s, s
	w.cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", "HOME=/root", "PS1=$ "}
	w.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { w.cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		w.cmd.Process.Kill()
		w.cmd.Wait()
		m.Close()
	})
	return w
}

func (w *terminal) resize(rows, cols uint16) {
	w.t.Helper()
	if err := unix.IoctlSetWinsize(int(w.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *terminal) say(s string) {
	w.t.Helper()
	if _, err := w.master.WriteString(s); err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

// patience is what catches a dialog that has come to a stop.
const patience = 20 * time.Second

// read reads what is shown; it fails when nothing comes, or the terminal has no
// user any more.
func (w *terminal) read(buf []byte) (int, error) {
	p := []unix.PollFd{{Fd: int32(w.master.Fd()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(p, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n == 0 {
			return 0, os.ErrDeadlineExceeded
		}
		return w.master.Read(buf)
	}
}

// see waits until what is shown matches, and answers the match's groups.
func (w *terminal) see(pattern string) []string {
	w.t.Helper()
	re := regexp.MustCompile(pattern)
	buf := make([]byte, 4096)
	for {
		if m := re.FindSubmatchIndex(w.seen); m != nil {
			var out []string
			for i := 0; i < len(m); i += 2 {
				if m[i] < 0 {
					out = append(out, "")
					continue
				}
				out = append(out, string(w.seen[m[i]:m[i+1]]))
			}
			w.seen = bytes.Clone(w.seen[m[1]:])
			return out
		}
		n, err := w.read(buf)
		w.seen = append(w.seen, buf[:n]...)
		w.all = append(w.all, buf[:n]...)
		if err != nil {
			w.t.Fatalf("%s: %v; waited for %q, shown: %q", w.name, err, pattern, w.all)
		}
	}
}

// run types a command line and waits for its output, which is what stands
// between the two marks.
func (w *terminal) run(line, pattern string) []string {
	w.t.Helper()
	w.say(line + "\n")
	w.see(regexp.QuoteMeta(line[max(0, len(line)-8):]) + "\r\n")
	m := w.see(pattern)
	w.see(`\$ `)
	return m
}

func (w *terminal) end(want int) {
	w.t.Helper()
	// Reading on, so that nothing blocks in its output.
	buf := make([]byte, 4096)
	for {
		n, err := w.read(buf)
		w.all = append(w.all, buf[:n]...)
		if err != nil {
			break
		}
	}
	w.cmd.Wait()
	if got := w.cmd.ProcessState.ExitCode(); got != want {
		w.t.Fatalf("%s: status %d, want %d; shown %q", w.name, got, want, w.all)
	}
}

// onAll holds a dialog natively, with run and with exec.
func onAll(t *testing.T, argv []string, dialog func(t *testing.T, w *terminal)) {
	t.Run("native", func(t *testing.T) { dialog(t, openTerminal(t, 31, 97, argv...)) })
	flags := []string{"-it", "-e", "PS1=$ ", "-w", "/", "--"}
	t.Run("run", func(t *testing.T) {
		dialog(t, openTerminal(t, 31, 97, append(append([]string{subject.Binary(t), "run"}, flags...), argv...)...))
	})
	t.Run("exec", func(t *testing.T) {
		id, m := machine(t)
		dialog(t, openTerminal(t, 31, 97, append(append([]string{subject.Binary(t), "exec", "-m", id}, flags...), argv...)...))
		m.in.Close()
		m.end(3)
	})
}

var shell = []string{"/bin/bash", "--norc", "--noediting"}

func TestTerminalNames(t *testing.T) {
	onAll(t, shell, func(t *testing.T, w *terminal) {
		w.see(`\$ `)
		tty := w.run("tty", `(/dev/pts/\d+)\r\n`)[1]
		w.run("stty size", "31 97\r\n")
		w.run("readlink /proc/self/fd/0", regexp.QuoteMeta(tty)+"\r\n")
		w.run("cd /dev/pts && ls | grep -x ${tty:-"+filepath.Base(tty)+"}; cd /", filepath.Base(tty)+"\r\n")
		w.run("ps -o tty= -p $$", strings.TrimPrefix(tty, "/dev/")+"\\s*\r\n")
		w.run("ps -o tpgid= -p $$ | tr -d ' ' | grep -c '^[1-9]'", "1\r\n")
		w.run("echo a >/dev/tty", "a\r\n")
		w.run("test -t 0 -a -t 1 -a -t 2; echo $?", "0\r\n")
		w.run("stat -L -c '%t %F' /dev/fd/0", "88 character special file\r\n")
		if _, err := os.Stat("/usr/bin/python3"); err == nil {
			w.run("python3 -c 'import os,sys; print(os.ttyname(0)); print(os.tcgetpgrp(0)==os.getpgrp(), os.getsid(0)==os.getppid())'",
				regexp.QuoteMeta(tty)+"\r\nTrue True\r\n")
		}
		w.say("exit 5\n")
		w.end(5)
	})
}

func TestTerminalJobs(t *testing.T) {
	onAll(t, shell, func(t *testing.T, w *terminal) {
		w.see(`\$ `)
		// Ctrl-C ends the foreground job only.
		w.say("cat\n")
		w.see("cat\r\n")
		w.say("hello\n")
		w.see("hello\r\nhello\r\n")
		w.say("\x03")
		w.see(`\^C`)
		w.see(`\$ `)
		w.run("echo =$?", "=130\r\n")
		// Ctrl-Z stops it, fg and bg go on with it.
		w.say("cat\n")
		w.see("cat\r\n")
		w.say("more\n")
		w.see("more\r\nmore\r\n")
		w.say("\x1a")
		w.see(`\^Z`)
		w.see(`\[1\]\+  Stopped +cat\r\n`)
		w.see(`\$ `)
		w.run("jobs", `\[1\]\+  Stopped +cat\r\n`)
		w.say("fg\n")
		w.see("fg\r\ncat\r\n")
		w.say("again\n")
		w.see("again\r\nagain\r\n")
		// Ctrl-D ends its input.
		w.say("\x04")
		w.see(`\$ `)
		w.run("echo =$?", "=0\r\n")
		// In the background it is stopped when it reads, of which bash tells before it asks for
		// this line or when it waits.
		w.run("cat &", `\[1\] \d+\r\n`)
		w.run("wait %1; kill %1; wait %1; echo done", `(?s)[Ss]topped.*done\r\n`)
		w.run("sleep 500 & jobs; kill $!; wait; echo done", `(?s)Running.*done\r\n`)
		// Ctrl-\.
		w.say("cat\n")
		w.see("cat\r\n")
		w.say("x\n")
		w.see("x\r\nx\r\n")
		w.say("\x1c")
		w.see(`\$ `)
		w.run("echo =$?", "=131\r\n")
		// A line is edited before anybody reads it.
		w.say("echo axx\x7f\x7fb wor")
		w.see("wor")
		w.say("\x17next\n")
		w.see(`ab next\r\n`)
		w.see(`\$ `)
		w.say("exit\n")
		w.end(0)
	})
}

func TestTerminalResize(t *testing.T) {
	onAll(t, shell, func(t *testing.T, w *terminal) {
		w.see(`\$ `)
		// Without job control the shell is in the foreground whatever it runs, and
		// it looks for the signal after each command of the loop.
		w.run("set +m; trap 'stty size' WINCH; echo trapped", "trapped\r\n")
		w.say("until stty size | grep -q 50.120; do :; done; echo changed\n")
		w.see("echo changed\r\n")
		w.resize(50, 120)
		w.see("50 120\r\n")
		w.see("changed\r\n")
		w.see(`\$ `)
		w.say("exit 6\n")
		w.end(6)
	})
}

// Programs that take each key by itself and draw on the whole screen.
func TestTerminalRaw(t *testing.T) {
	subject.Need(t, "/usr/bin/less", "/usr/bin/vi")
	file := filepath.Join(t.TempDir(), "file")
	onAll(t, shell, func(t *testing.T, w *terminal) {
		os.Remove(file)
		w.see(`\$ `)
		w.run("mkdir -p "+filepath.Dir(file)+"; before=$(stty -g); echo ok", "ok\r\n")
		w.say("seq 1000 1999 | LESS= less\n")
		w.see(`1029`)
		w.see(`:`)
		w.say(" ")
		w.see(`1059`)
		w.say("/1500\n")
		w.see(`1529`)
		w.say("q")
		w.see(`\$ `)
		w.say("vi -u NONE " + file + "\n")
		w.see(`~`)
		w.say("ione two\x1bb")
		w.say("iand ")
		w.say("\x1b:wq\n")
		w.see(`\$ `)
		w.run("cat "+file, "one and two\r\n")
		w.say("exit\n")
		w.end(0)
	})
}

// script(1) makes a terminal of its own in the machine.
func TestTerminalInTerminal(t *testing.T) {
	subject.Need(t, "/usr/bin/script")
	onAll(t, shell, func(t *testing.T, w *terminal) {
		w.see(`\$ `)
		w.say("script -q /dev/null\n")
		w.see(`(?s)script.*\$ |# `)
		w.say("tty; stty size; exit 4\n")
		w.see(`/dev/pts/\d+\r\n31 97\r\n`)
		w.see(`\$ |# `)
		w.say("exit 8\n")
		w.end(8)
	})
}

// The terminal is set back as it was, and a hang-up reaches the program.
func TestTerminalAfterwards(t *testing.T) {
	w := openTerminal(t, 24, 80, append([]string{"/bin/bash", "-c", `before=$(stty -g); "$@"; code=$?; [ "$before" = "$(stty -g)" ] && echo same $code`, "bash",
		subject.Binary(t), "run", "-it", "--"}, "/bin/sh", "-c", "stty raw -echo; exit 3")...)
	w.see("same 3\r\n")
	w.end(0)

	w = openTerminal(t, 24, 80, subject.Binary(t), "run", "-it", "--", "/bin/sh", "-c", "trap 'exit 7' HUP; echo ready; while :; do sleep 1000 & wait; done")
	w.see("ready\r\n")
	w.master.Close()
	w.cmd.Wait()
	if got := w.cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("after a hang-up: status %d, want 7", got)
	}
}
