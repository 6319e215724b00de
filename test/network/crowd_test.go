package network

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"hythe/test/subject"
)

// resident is how many bytes of memory a server of the machine has.
func (m *machine) resident(name string) int {
	m.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.server(name)))
	if err != nil {
		m.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		m.t.Fatal(err)
	}
	return kib << 10
}

func (m *machine) say(s string) {
	m.t.Helper()
	if _, err := io.WriteString(m.in, s+"\n"); err != nil {
		m.t.Fatal(err)
	}
}

// TestManyInside: connections within a machine cost what the documentation says, and what
// they cost is there for the next ones.
func TestManyInside(t *testing.T) {
	n := 1000
	if subject.Long() {
		n = 10000
	}
	m := start(t, []string{"--network", "none"}, "inside.py", fmt.Sprint(n))
	was := m.resident("unix")
	// Two sockets and files; once they were used, a block of 4 KiB for each queue. The rest
	// is a heap's slack.
	const idle, slack = 4 << 10, 8 << 20
	for turn := range 3 {
		for _, step := range []struct {
			said string
			each int
		}{{"open", idle}, {"used", idle + 2*4<<10}, {"closed", idle + 2*4<<10}} {
			m.say("")
			m.line(step.said)
			more := m.resident("unix") - was
			t.Logf("turn %d, %s: %d bytes a connection", turn, step.said, more/n)
			most := step.each
			if turn > 0 {
				most = idle + 2*4<<10
			}
			if more > n*most*3/2+slack {
				t.Errorf("turn %d, %s: %d bytes a connection", turn, step.said, more/n)
			}
		}
	}
	m.end()
}

// crowd are connections that do nothing.
type crowd []net.Conn

func (c crowd) close() {
	for _, x := range c {
		x.Close()
	}
}

// dialMany makes n connections to a port of the host's, some at a time.
func dialMany(t *testing.T, port string, n int) crowd {
	t.Helper()
	c := make(crowd, n)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for w := range 16 {
		wg.Go(func() {
			for i := w; i < n; i += 16 {
				d := net.Dialer{Timeout: limit}
				x, err := d.Dial("tcp4", "127.0.0.1:"+port)
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
				c[i] = x
			}
		})
	}
	wg.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	t.Cleanup(c.close)
	return c
}

var crowded = []string{"--network", "user", "-p", "127.0.0.1:0:8000", "-p", "127.0.0.1:0:8001"}

// TestManyPublished: many clients of a published port at once, each of whom is answered
// while the others are there.
func TestManyPublished(t *testing.T) {
	n := 200
	if subject.Long() {
		n = 2000
	}
	m := start(t, crowded, "crowd.py", fmt.Sprint(n))
	port := m.port("8000")
	for turn := range 2 {
		all := dialMany(t, port, n)
		for i, c := range all {
			fmt.Fprintf(c, "%06d", i)
		}
		for i, c := range all {
			b := make([]byte, 6)
			c.SetDeadline(time.Now().Add(limit))
			if _, err := io.ReadFull(c, b); err != nil || string(b) != fmt.Sprintf("%06d", i) {
				t.Fatalf("turn %d, client %d: %q, %v", turn, i, b, err)
			}
		}
		t.Logf("%d KiB in the unix server, %d in the net server", m.resident("unix")>>10, m.resident("net")>>10)
		for i, c := range all {
			if i%2 == 1 {
				c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
	}
	m.end()
}

// TestFlood: clients of a published port that connect and never say a word, whether the
// program takes them or not: others are served meanwhile, also at the same port; what waits
// for a program that takes nobody waits at the host, and is served once it does.
func TestFlood(t *testing.T) {
	n := 500
	if subject.Long() {
		n = 5000
	}
	m := start(t, crowded, "crowd.py", fmt.Sprint(2*n))
	port, busy := m.port("8000"), m.port("8001")
	silent := dialMany(t, port, n)
	if err := echo(port, 100_000); err != nil {
		t.Error(err)
	}
	before := m.resident("unix")

	// These the program does not take: the host's queue of the port fills, and who comes
	// then waits in connect.
	var mu sync.Mutex
	var waiting crowd
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			d := net.Dialer{Timeout: limit}
			c, err := d.Dial("tcp4", "127.0.0.1:"+busy)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			waiting = append(waiting, c)
			mu.Unlock()
		})
	}
	for range 3 {
		if err := echo(port, 100_000); err != nil {
			t.Error(err)
		}
	}
	if more := m.resident("unix") - before; more > 16<<20 {
		t.Errorf("%d bytes for those who wait", more)
	}
	m.say("")
	wg.Wait()
	for i, c := range waiting {
		b := make([]byte, 1)
		c.SetDeadline(time.Now().Add(limit))
		c.Write([]byte("x"))
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatalf("client %d of those who waited: %v", i, err)
		}
	}
	waiting.close()
	silent.close()
	if err := errors.Join(echo(busy, 1000), echo(port, 1000)); err != nil {
		t.Error(err)
	}
	m.end()
}
