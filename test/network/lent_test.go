package network

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// talk is a client's side of a connection to lent.py, and what it was told.
type talk struct {
	t *testing.T
	*net.TCPConn
	in   *bufio.Reader
	said []string
}

// warm is how many questions are answered before a connection is sure to be lent.
const warm = 40

func dial(t *testing.T, port string) *talk {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(limit))
	k := &talk{t: t, TCPConn: c.(*net.TCPConn), in: bufio.NewReaderSize(c, 1<<16)}
	k.warm(warm)
	return k
}

// warm asks n questions.
func (k *talk) warm(n int) {
	k.t.Helper()
	for i := range n {
		k.say(fmt.Sprintf("echo %d\n", i))
		if s, err := k.in.ReadString('\n'); err != nil || s != fmt.Sprintf("%d\n", i) {
			k.t.Fatalf("%q, %v", s, err)
		}
	}
}

func (k *talk) say(s string) {
	k.t.Helper()
	if _, err := io.WriteString(k, s); err != nil {
		k.t.Fatal(err)
	}
}

// hear notes a line, or the error or end that comes instead.
func (k *talk) hear() {
	s, err := k.in.ReadString('\n')
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		s = "reset"
	case err == io.EOF:
		s += "end"
	case err != nil:
		k.t.Errorf("after %q: %v", k.said, err)
		s += "error"
	}
	k.said = append(k.said, strings.TrimSuffix(s, "\n"))
}

// talks says to a server at port all that there is to be said, and answers what it said.
func talks(t *testing.T, port string) (all []string) {
	ask := func(lines ...string) *talk {
		k := dial(t, port)
		for _, l := range lines {
			k.say(l)
		}
		return k
	}
	over := func(name string, k *talk) {
		k.Close()
		all = append(all, name+": "+strings.Join(k.said, " | "))
	}
	plain := func(name string, n int, line, then string) {
		k := ask(line)
		for i := range n {
			k.hear()
			if i == 0 {
				k.say(then)
			}
		}
		k.say("echo again\n")
		k.hear()
		over(name, k)
	}
	// last asks another connection what the server has seen of the last one, until that is
	// something.
	last := func(name, not string) {
		k := dial(t, port)
		for {
			k.say("last\n")
			k.hear()
			if s := k.said[len(k.said)-1]; s != not {
				k.said = k.said[len(k.said)-1:]
				break
			}
		}
		over(name, k)
	}
	plain("cut by signals", 1, "cut\n", "")
	plain("writev", 1, "writev some more\n", "")
	for _, sizes := range []string{"5 6", "5 0 6", "0 5", "5 0", "8192 8192", "8192 8193", "16384 1", "9000 9000 9000", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
		"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "5 -1", "-1 5", "5 -1 5"} {
		plain("pieces of "+sizes, 1, "pieces "+sizes+"\n", "")
	}
	plain("read and write", 1, "writes something\n", "")
	plain("sendmsg", 1, "sendmsg this\n", "")
	plain("recvmsg", 2, "recvmsg 5\n", "12345")
	plain("peek", 2, "peek 5\n", "12345")
	plain("FIONREAD", 2, "waiting 10\n", "0123456789")
	plain("options", 1, "options\n", "")
	plain("dup", 1, "dup\n", "")
	plain("blocking", 1, "block 6\nwaits.", "")
	plain("fork", 3, "fork\n", "ask.")
	for _, how := range []string{"level", "edge"} {
		k := ask("set " + how + "\n")
		for {
			k.hear()
			var n int
			if _, err := fmt.Sscanf(k.said[len(k.said)-1], "go %d", &n); err != nil {
				if k.said[len(k.said)-1] == "conn=1" {
					continue // a child has said so
				}
				break
			}
			k.say(strings.Repeat("x", n))
		}
		k.CloseWrite()
		k.hear()
		over("set, "+how, k)
	}
	k := ask("poll\n")
	k.hear()
	k.say("echo polled\n")
	k.hear()
	k.hear()
	over("poll", k)
	for _, n := range []int{1000 * 256, 8000 * 256} {
		k = ask(fmt.Sprintf("big %d\n", n))
		h := sha256.New()
		io.CopyN(h, slow{k.in}, int64(n))
		k.hear()
		if got := fmt.Sprintf("%x", h.Sum(nil)); k.said[0] != got {
			t.Errorf("big %d: %s, not %s", n, got, k.said[0])
		}
		over("big", k)
		b := bytes.Repeat([]byte("0123456789abcde"), n/15)
		k = ask(fmt.Sprintf("sink %d\n", len(b)))
		k.Write(b)
		k.hear()
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); k.said[0] != got {
			t.Errorf("sink %d: %s, not %s", len(b), k.said[0], got)
		}
		over("sink", k)
	}
	k = ask("close\n")
	k.hear()
	over("closed by the server", k)
	k = ask("unread 10\n")
	k.hear()
	k.say("0123456789")
	k.hear()
	over("closed without reading", k)
	k = ask("linger\n")
	k.hear()
	over("SO_LINGER", k)
	k = ask("half\n", "and so on")
	k.hear()
	k.say("1234")
	over("half", k)
	last("half's end", "reset")
	k = ask()
	k.CloseWrite()
	k.hear()
	over("half closed by the client", k)
	last("of which is seen", "EPIPE, 13 bytes")
	k = ask()
	k.SetLinger(0)
	over("reset by the client", k)
	last("of which is seen", "EOF")
	return all
}

// slow reads a little at a time.
type slow struct{ r io.Reader }

func (s slow) Read(b []byte) (int, error) { return s.r.Read(b[:min(len(b), 8<<10)]) }

// TestLentLikeHost: what a program does with connections that it was lent is seen by their other ends as
// on the host.
func TestLentLikeHost(t *testing.T) {
	subject.Need(t, python)
	port := free(t)
	host := &machine{t: t, cmd: exec.Command(python, "-c", script(t, "lent.py"), port)}
	host.begin()
	want := talks(t, port)
	host.end()
	m := start(t, []string{"-p", "127.0.0.1:0:8000"}, "lent.py", "8000")
	got := talks(t, m.port("8000"))
	alike(t, got, want, 20)
	m.end()
}

// alike fails where what was seen of a machine is not what was seen on the host, or that is less than it ought to be.
func alike(t *testing.T, got, want []string, least int) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	if len(got) != len(want) || len(want) < least {
		t.Errorf("%d things were seen, %d on the host", len(got), len(want))
	}
}

// TestLentOutlives: a connection that is lent goes on, without a byte too few or too many, whichever
// server dies; a hundred beside it may be used as well.
func TestLentOutlives(t *testing.T) {
	m := start(t, []string{"-p", "127.0.0.1:0:8000"}, "lent.py", "8000")
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
			done := make(chan error, len(all))
			stop := make(chan struct{})
			for _, k := range all {
				go func() {
					for i := 0; ; i++ {
						select {
						case <-stop:
							done <- nil
							return
						default:
						}
						want := fmt.Sprintf("%d-%d\n", round, i)
						if _, err := io.WriteString(k, "echo "+want); err != nil {
							done <- err
							return
						}
						if s, err := k.in.ReadString('\n'); err != nil || s != want {
							done <- fmt.Errorf("%q, %w", s, err)
							return
						}
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
			lent(m, base, all) // what has come back to the servers, too
		}
	}
	if n := sockets(t, m.server("net")); n > 20 {
		t.Errorf("the net server has %d sockets", n)
	}
	m.end()
}

// TestLentSleeps: a program that sleeps where the host tells of its connections hears of a new one, too, and so it does
// when the unix server has died meanwhile.
func TestLentSleeps(t *testing.T) {
	m := start(t, []string{"-p", "127.0.0.1:0:8000"}, "lent.py", "8000")
	port := m.port("8000")
	rng := random(t)
	base := sockets(t, m.server("unix"))
	all := []*talk{dial(t, port), dial(t, port)}
	lent(m, base, all)
	for range kills() {
		for _, dies := range []bool{false, true} {
			for range rng.IntN(1_000_000) {
				spin++ // by then it mostly sleeps
			}
			if dies {
				m.kill("unix")
			}
			k := dial(t, port)
			k.Close()
			for _, k := range all {
				k.warm(1)
			}
			lent(m, base, all)
		}
	}
	m.end()
}

// lent has so much asked by all connections that the unix server, which has base sockets of its own,
// has one of each, and the net server as well.
func lent(m *machine, base int, all []*talk) {
	m.t.Helper()
	for sockets(m.t, m.server("unix")) < base+len(all) || sockets(m.t, m.server("net")) < len(all)+1 {
		for _, k := range all {
			k.warm(1)
		}
	}
}

// sockets counts a process's.
func sockets(t *testing.T, pid int) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	l, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err) // an ordinary user does not see what a server has
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l {
		if s, _ := os.Readlink(dir + "/" + e.Name()); strings.HasPrefix(s, "socket:") {
			n++
		}
	}
	return n
}

// TestLentBegins: a server dies while connections are about to be lent. Nobody hangs or has a wrong byte; a
// connection ends if it is the net server's death, and at no other time.
func TestLentBegins(t *testing.T) {
	m := start(t, []string{"-p", "127.0.0.1:0:8000"}, "lent.py", "8000")
	port := m.port("8000")
	rng := random(t)
	for round := range kills() {
		for _, victim := range []string{"net", "unix"} {
			stop := make(chan struct{})
			done := make(chan error, 8)
			for range cap(done) {
				turns := rng.IntN(200)
				go func() { done <- begins(port, turns, stop) }()
			}
			for range rng.IntN(3_000_000) {
				spin++
			}
			m.kill(victim)
			close(stop)
			for range cap(done) {
				err := <-done
				if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() || err != nil && (victim == "unix" || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF)) {
					t.Fatalf("round %d, %s dies: %v", round, victim, err)
				}
			}
		}
	}
	m.end()
}

// begins makes connections, and asks a few times by each, until it is told to stop.
func begins(port string, turns int, stop chan struct{}) error {
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		c.SetDeadline(time.Now().Add(limit / 3))
		in := bufio.NewReader(c)
		for i := range 10 + turns {
			if _, err := fmt.Fprintf(c, "echo %d\n", i); err != nil {
				c.Close()
				return err
			}
			if s, err := in.ReadString('\n'); err != nil || s != fmt.Sprintf("%d\n", i) {
				c.Close()
				if err == io.EOF && s != "" {
					err = io.ErrUnexpectedEOF
				}
				return fmt.Errorf("after %d: %q, %w", i, s, err)
			}
		}
		c.Close()
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
