package network

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// machine is one that runs until its input ends.
type machine struct {
	t    *testing.T
	id   string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	errs lines
}

// lines collects what a command writes.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a program of testdata, which says "up" when it is.
func start(t *testing.T, flags []string, name string, args ...string) *machine {
	t.Helper()
	subject.Need(t, python)
	m := &machine{t: t, id: fmt.Sprintf("network-%d-%d", time.Now().UnixNano(), syscall.Getpid())}
	a := append([]string{"run", "-i", "--name", m.id}, flags...)
	a = append(a, "--", python, "-c", script(t, name))
	m.cmd = exec.Command(subject.Binary(t), append(a, args...)...)
	m.begin()
	return m
}

// begin starts the machine's command, and waits until its program says that it is up.
func (m *machine) begin() {
	t := m.t
	t.Helper()
	m.cmd.Stderr = &m.errs
	var err error
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.out = bufio.NewReader(out)
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { m.cmd.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		m.cmd.Process.Kill()
		m.cmd.Wait()
	})
	m.line("up")
}

// next reads a line.
func (m *machine) next() string {
	m.t.Helper()
	s, err := m.out.ReadString('\n')
	if err != nil {
		m.t.Fatalf("%q, %v; errors: %s", s, err, m.errs.String())
	}
	return strings.TrimSuffix(s, "\n")
}

func (m *machine) line(want string) {
	m.t.Helper()
	if got := m.next(); got != want {
		m.t.Fatalf("got %q, want %q; errors: %s", got, want, m.errs.String())
	}
}

// end ends the machine's input and demands its end.
func (m *machine) end() {
	m.t.Helper()
	m.in.Close()
	io.Copy(io.Discard, m.out)
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("%v; errors: %s", err, m.errs.String())
	}
}

// port is the host's port for what the log says was published.
func (m *machine) port(guest string) string {
	m.t.Helper()
	p := regexp.MustCompile(`published: 127\.0\.0\.1:(\d+):` + guest + "\n").FindStringSubmatch(m.errs.String())
	if p == nil {
		m.t.Fatalf("port %s: %q", guest, m.errs.String())
	}
	return p[1]
}

// kill kills a server of the machine, and answers when another incarnation runs.
func (m *machine) kill(name string) {
	m.t.Helper()
	was := m.server(name)
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
	for m.server(name) == was {
	}
}

// dies kills the unix server, has the program go on, and demands the lines that it then says.
func (m *machine) dies(lines ...string) {
	m.t.Helper()
	m.kill("unix")
	m.say("")
	for _, l := range lines {
		m.line(l)
	}
}

// server is the host's number for a server of the machine that runs.
func (m *machine) server(name string) int {
	m.t.Helper()
	end := time.Now().Add(limit)
	for time.Now().Before(end) {
		b, err := exec.Command(subject.Binary(m.t), "services", "--json", "-m", m.id).Output()
		var v []struct {
			Items []struct {
				Name, State string
				HostPID     int `json:"host_pid"`
			}
		}
		if err != nil || json.Unmarshal(b, &v) != nil || len(v) != 1 {
			continue // not found yet
		}
		for _, s := range v[0].Items {
			if s.Name == name && s.State == "running" {
				return s.HostPID
			}
		}
	}
	m.t.Fatalf("no %s runs; errors: %s", name, m.errs.String())
	return 0
}

// echo has a connection to a port answer n bytes.
func echo(port string, n int) error {
	c, err := net.Dial("tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	data := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvw"), n/33+1)[:n]
	go func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%d bytes came back of %d", len(got), len(data))
	}
	return nil
}

// ask sends a datagram and demands its answer; lost ones are sent again.
func ask(port, s string) error {
	c, err := net.Dial("udp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 65536)
	for range 20 {
		if _, err := c.Write([]byte(s)); err != nil {
			return err
		}
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		n, err := c.Read(b)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			continue
		}
		if err != nil {
			return err
		}
		for i := range n {
			if b[i] != s[len(s)-1-i] {
				return fmt.Errorf("%q came back for %q", b[:n], s)
			}
		}
		return nil
	}
	return fmt.Errorf("no answer for %q", s)
}

var published = []string{"--network", "user", "-p", "127.0.0.1:0:8000", "-p", "127.0.0.1:0:9000/udp", "-p", "127.0.0.1:0:8001"}

// TestPublish: clients on the host reach servers in the machine.
func TestPublish(t *testing.T) {
	m := start(t, published, "published.py")
	tcp, udp, nobody := m.port("8000"), m.port("9000/udp"), m.port("8001")
	if err := echo(tcp, 3_000_000); err != nil {
		t.Error(err)
	}
	// Many at a time: more than the listener has room for.
	errs := make(chan error)
	for range 40 {
		go func() { errs <- echo(tcp, 20000) }()
		go func() { errs <- ask(udp, "a datagram of "+fmt.Sprint(time.Now().UnixNano())) }()
	}
	for range 80 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// One that goes without a word, one that the machine closes.
	c, err := net.Dial("tcp4", "127.0.0.1:"+tcp)
	if err != nil {
		t.Fatal(err)
	}
	c.Write(bytes.Repeat([]byte("x"), 100000))
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	if c, err = net.Dial("tcp4", "127.0.0.1:"+tcp); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(limit))
	c.Write([]byte("Q"))
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Errorf("%q %v", b, err)
	}
	c.Close()
	// Where nobody listens in the machine.
	if c, err = net.Dial("tcp4", "127.0.0.1:"+nobody); err == nil {
		c.SetDeadline(time.Now().Add(limit))
		if _, err = c.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("nobody listens, and it says %v", err)
		}
		c.Close()
	}
	if err := echo(tcp, 10); err != nil {
		t.Error(err)
	}
	m.end()
}

// TestPublishedPortTaken: a port that the host has not is told at the start.
func TestPublishedPortTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := run(t, subject.Binary(t), "run", "--network", "user", "-p", "127.0.0.1:"+portOf(l.Addr())+":80", "--", "/bin/true")
	if r.status != 125 || !strings.Contains(r.errs, "address already in use") {
		t.Errorf("%+v", r)
	}
}
