package network

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// waiter is lentwait.c.
func waiter(t *testing.T) (prog string) {
	t.Helper()
	subject.Need(t, "/usr/bin/gcc")
	prog = filepath.Join(t.TempDir(), "lentwait")
	if out, err := exec.Command("gcc", "-O1", "-Wall", "-Wno-parentheses", "-Wno-unused-result", "-Wno-sign-compare", "-pthread", "-static", "-o", prog,
		"testdata/lentwait.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return prog
}

// startWaiter starts it in a machine, where it has the port 8000.
func startWaiter(t *testing.T, prog string, flags ...string) *machine {
	t.Helper()
	dir := filepath.Dir(prog)
	m := &machine{t: t, id: fmt.Sprintf("network-%d-%d", time.Now().UnixNano(), syscall.Getpid())}
	a := append([]string{"run", "-i", "--name", m.id, "-v", dir + ":" + dir + ":ro"}, flags...)
	m.cmd = exec.Command(subject.Binary(t), append(a, "-p", "127.0.0.1:0:8000", "--", prog, "8000")...)
	m.begin()
	return m
}

// bigPattern is what lentwait.c sends much of.
func bigPattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + (i>>8)*3 + i>>16)
	}
	return b
}

// waits says all that there is to be said to lentwait.c at port, and answers what it said.
func waits(t *testing.T, port string) (all []string) {
	over := func(name string, k *talk) {
		k.Close()
		all = append(all, name+": "+strings.Join(k.said, " | "))
	}
	id := func(k *talk) string {
		k.say("id\n")
		k.hear()
		s := k.said[0]
		k.said = nil
		return s
	}
	// flagged asks another connection until something has happened to that with an id, and answers what.
	flagged := func(id string) string {
		k := dial(t, port)
		defer k.Close()
		for {
			k.said = nil
			k.say("flag " + id + "\n")
			if k.hear(); k.said[0] != "0" {
				return k.said[0]
			}
		}
	}
	// plain asks, sends data, and hears n lines; then it asks once more.
	plain := func(name string, n int, line, data string) {
		k := dial(t, port)
		k.say(line)
		if data != "" {
			k.warmless(data)
		}
		for range n {
			k.hear()
		}
		k.warm(10)
		over(name, k)
	}
	k := dial(t, port)
	k.say("restart\n")
	k.hear()
	k.say("later")
	k.hear()
	k.warm(10)
	over("SA_RESTART", k)
	plain("recv cut", 1, "cut\n", "")
	plain("read cut", 1, "cut x\n", "")
	k = dial(t, port)
	me := id(k)
	k.say("fill 0\n")
	if s := flagged(me); s != "1" {
		t.Error(s)
	}
	want, got := bigPattern(1<<24), make([]byte, 1<<24)
	if _, err := io.ReadFull(slow{k.in}, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("what was cut: %v, %v", err, bytes.Equal(got, want))
	}
	k.hear()
	k.warm(10)
	over("send cut", k)
	for _, what := range []string{"stop", "signals", "proc", "raw"} {
		for _, data := range []string{"after", ""} {
			k = dial(t, port)
			me := id(k)
			k.say(what + "\n")
			k.hear()
			k.warm(10)
			if data == "" { // it is there before
				k.say("begin\nbefore")
			} else {
				k.say("begin\n")
			}
			if s := flagged(me); s != "1" {
				t.Error(s)
			}
			k.say(data)
			k.hear()
			k.warm(10)
			over(what, k)
		}
	}
	plain("SO_RCVTIMEO", 1, "timeout\n", "")
	plain("MSG_WAITALL", 1, "waitall 10\n", "0123456789")
	plain("MSG_PEEK", 1, "peek 10\n", "0123456789")
	plain("readv", 1, "readv 10\n", "0123456789")
	plain("recvmsg", 1, "recvmsg 10\n", "0123456789")
	plain("FIONREAD, poll", 1, "waiting 10\n", "0123456789")
	plain("O_NONBLOCK", 1, "nonblock\n", "")
	plain("MSG_DONTWAIT", 1, "dontwait\n", "")
	plain("dup", 1, "dup\n", "")
	plain("fork", 3, "fork\n", "ask.")
	plain("thread", 2, "thread\n", "ask.")
	k = dial(t, port)
	k.say("fault\n")
	k.say("x")
	k.hear()
	over("EFAULT", k)
	for _, how := range []string{"send", "sendmsg", "writev"} {
		for _, n := range []int{1, 5000, 100_000, 5_000_000} {
			k = dial(t, port)
			k.say(fmt.Sprintf("%s %d\n", how, n))
			if how == "writev" {
				n = 2*n + 1000
			}
			want, got := bigPattern(n), make([]byte, n)
			if _, err := io.ReadFull(slow{k.in}, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s %d: %v, %v", how, n, err, bytes.Equal(got, want))
			}
			k.hear()
			k.warm(10)
			over(fmt.Sprintf("%s %d", how, n), k)
		}
	}
	for _, n := range []int{5000, 3_000_000} {
		k = dial(t, port)
		b := bigPattern(n)
		k.say(fmt.Sprintf("sink %d\n", n))
		k.Write(b)
		k.hear()
		h := fnv.New64a()
		h.Write(b)
		if got := fmt.Sprintf("%x", h.Sum64()); k.said[0] != got {
			t.Errorf("sink %d: %s, not %s", n, k.said[0], got)
		}
		k.warm(10)
		over("sink", k)
	}
	k = dial(t, port)
	k.say("close\n")
	k.hear()
	over("closed by the server", k)
	k = dial(t, port)
	k.say("unread\n")
	k.say("x")
	k.hear()
	over("closed without reading", k)
	k = dial(t, port)
	k.say("linger\n")
	k.hear()
	over("SO_LINGER", k)
	// What the server has seen of an end.
	seen := func(name string, end func(k *talk)) {
		k := dial(t, port)
		me := id(k)
		end(k)
		k.said = append(k.said, flagged(me))
		over(name, k)
	}
	seen("half", func(k *talk) {
		k.say("half\n")
		k.hear()
		k.say("1234")
		k.CloseWrite()
	})
	seen("closed by the client", func(k *talk) { k.Close() })
	seen("half closed by the client", func(k *talk) { k.CloseWrite(); k.hear() })
	seen("reset by the client", func(k *talk) {
		k.SetLinger(0)
		k.Close()
	})
	seen("reset by the client, by a longer way", func(k *talk) {
		k.say("pipe\n")
		k.SetLinger(0)
		k.Close()
	})
	return all
}

// warmless sends data in two pieces.
func (k *talk) warmless(data string) {
	k.t.Helper()
	k.say(data[:1])
	k.say(data[1:])
}

// TestLentWaitLikeHost: what a program does with connections that it was lent, and waits by, is seen by their other ends as
// on the host.
func TestLentWaitLikeHost(t *testing.T) {
	prog := waiter(t)
	port := free(t)
	host := &machine{t: t, cmd: exec.Command(prog, port)}
	host.begin()
	want := waits(t, port)
	host.end()
	m := startWaiter(t, prog)
	got := waits(t, m.port("8000"))
	alike(t, got, want, 40)
	m.end()
}

// TestLentWaitOutlives: connections by which programs wait go on, without a byte too few or too many, or one before another, whichever
// server dies: while they are idle, and while much passes.
func TestLentWaitOutlives(t *testing.T) {
	m := startWaiter(t, waiter(t))
	port := m.port("8000")
	rng := random(t)
	base := sockets(t, m.server("unix"))
	var all []*talk
	for range 5 {
		all = append(all, dial(t, port))
	}
	lent(m, base, all)
	for round := range kills() {
		for _, victim := range []string{"net", "unix"} {
			m.kill(victim) // all sleep
			for _, k := range all {
				k.warm(10)
			}
			lent(m, base, all) // what passes by the net server when that dies ends
			done := make(chan error, len(all))
			stop := make(chan struct{})
			for i, k := range all {
				go func() {
					if i%2 == 0 {
						done <- k.asks(round, stop)
					} else {
						done <- k.floods(stop)
					}
				}()
			}
			for range rng.IntN(1_000_000) {
				spin++
			}
			m.kill(victim)
			close(stop)
			for range all {
				if err := <-done; err != nil {
					t.Fatalf("round %d, %s dies: %v", round, victim, err)
				}
			}
			lent(m, base, all)
		}
	}
	m.end()
}

// asks asks, and hears the answers, until it is told to stop.
func (k *talk) asks(round int, stop chan struct{}) error {
	for i := 0; ; i++ {
		want := fmt.Sprintf("%d-%d\n", round, i)
		if _, err := io.WriteString(k, "echo "+want); err != nil {
			return err
		}
		if s, err := k.in.ReadString('\n'); err != nil || s != want {
			return fmt.Errorf("%q, %w", s, err)
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// floods says much, and hears much, until it is told to stop.
func (k *talk) floods(stop chan struct{}) error {
	const n = 300_000
	b := bigPattern(n)
	h := fnv.New64a()
	h.Write(b)
	for {
		if _, err := fmt.Fprintf(k, "sink %d\n", n); err != nil {
			return err
		}
		if _, err := k.Write(b); err != nil {
			return err
		}
		if s, err := k.in.ReadString('\n'); err != nil || s != fmt.Sprintf("%x\n", h.Sum64()) {
			return fmt.Errorf("sink: %q, %w", s, err)
		}
		if _, err := fmt.Fprintf(k, "send %d\n", n); err != nil {
			return err
		}
		got := make([]byte, n)
		if _, err := io.ReadFull(k.in, got); err != nil || !bytes.Equal(got, b) {
			return fmt.Errorf("send: %w", err)
		}
		if s, err := k.in.ReadString('\n'); err != nil || s != fmt.Sprintf("sent %d\n", n) {
			return fmt.Errorf("send: %q, %w", s, err)
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
