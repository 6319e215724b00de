package network

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hythe/test/subject"
)

// TestHTTPServer: a server in the machine serves files to clients on the host, on
// connections that live on and on new ones.
func TestHTTPServer(t *testing.T) {
	dir := t.TempDir()
	files := 200
	content := func(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%d.", i)), 1+i*37) }
	for i := range files {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content(i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m := start(t, []string{"-v", dir + ":/srv:ro", "--network", "user", "-p", "127.0.0.1:0:80"}, "http.py")
	base := "http://127.0.0.1:" + m.port("80") + "/"
	errs := make(chan error)
	const clients = 8
	for w := range clients {
		go func() {
			c := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: w%2 == 0}}
			var err error
			for i := w; i < files && err == nil; i += clients {
				err = get(c, base+fmt.Sprint(i), content(i))
			}
			c.CloseIdleConnections()
			errs <- err
		}()
	}
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	m.end()
}

func get(c *http.Client, url string, want []byte) error {
	r, err := c.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if !bytes.Equal(b, want) {
		return fmt.Errorf("%s: %d bytes, want %d", url, len(b), len(want))
	}
	return nil
}

// TestOrdinaryUser: who is not root has the same network.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests were the ordinary user's")
	}
	s := serve(t)
	cmd := exec.Command(subject.PublicBinary(t), append(append([]string{"run", "-p", "127.0.0.1:0:8000"}, allow(s.port())...), "--", python, "-c", `
import socket, sys
s = socket.create_connection(("10.0.2.2", int(sys.argv[1])))
s.sendall(b"echo\nsome")
s.shutdown(socket.SHUT_WR)
print(s.makefile().read())
l = socket.create_server(("", 8000))
print("up", flush=True)
c, _ = l.accept()
c.sendall(c.recv(10))
`, s.port())...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	var errs lines
	out := &lines{}
	cmd.Stdout, cmd.Stderr = out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer late.Stop()
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	for !strings.Contains(out.String(), "up\n") {
		select {
		case err := <-gone:
			t.Fatalf("%v: %q %q", err, out.String(), errs.String())
		case <-time.After(time.Millisecond):
		}
	}
	m := &machine{t: t}
	m.errs.Write([]byte(errs.String()))
	c, err := net.Dial("tcp4", "127.0.0.1:"+m.port("8000"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(limit))
	c.Write([]byte("answered"))
	if b, err := io.ReadAll(c); string(b) != "answered" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	if err := <-gone; err != nil || out.String() != "some\nup\n" {
		t.Errorf("%v: %q %q", err, out.String(), errs.String())
	}
}
