// Command net uses the network as far as the systems agree: TCP, UDP and HTTP of one
// program with itself, or with one that another process of it serves.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func ok(what string, good bool, more ...any) {
	if good {
		more = nil // what a system says of a failure
	}
	fmt.Println(append([]any{what, good}, more...)...)
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "get":
		fmt.Print(get(os.Args[2]))
	case len(os.Args) == 3 && os.Args[1] == "serve":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			err = os.WriteFile(os.Args[2]+".new", []byte("http://"+l.Addr().String()), 0o644)
		}
		if err == nil {
			err = os.Rename(os.Args[2]+".new", os.Args[2])
		}
		if err == nil {
			err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "served %s\n", r.URL.Path)
			}))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	default:
		stream()
		closing()
		packets()
		names()
		web()
	}
}

func get(url string) string {
	r, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// stream: more than any buffer takes goes there and back; addresses are each other's.
func stream() {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			ok("listen", false, err)
			return
		}
		peers := make(chan string, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				peers <- err.Error()
				return
			}
			peers <- c.RemoteAddr().String()
			io.Copy(c, c)
			c.Close()
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			ok("dial", false, err)
			return
		}
		ok("addresses", c.RemoteAddr().String() == l.Addr().String() && <-peers == c.LocalAddr().String(), c.RemoteAddr(), l.Addr(), c.LocalAddr())
		data := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		go c.Write(data)
		back := make([]byte, len(data))
		_, err = io.ReadFull(c, back)
		ok("stream", err == nil && bytes.Equal(back, data), err)
		ok("close", c.Close() == nil && l.Close() == nil)
		_, err = net.Dial("tcp", l.Addr().String())
		ok("refused", err != nil && strings.Contains(err.Error(), "connection refused"), err)
	}
	l, _ := net.Listen("tcp", ":0") // of both families
	_, port, _ := net.SplitHostPort(l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		ok("dial "+host, err == nil, err)
		if err == nil {
			n, err := c.Read(make([]byte, 1))
			ok("end", n == 0 && err == io.EOF, n, err)
			c.Close()
		}
	}
	_, err := net.Listen("tcp", "127.0.0.1:"+port)
	ok("in use", err != nil && strings.Contains(err.Error(), "in use"), err)
	l.Close()
}

// closing: what waits is told.
func closing() {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	done := make(chan error)
	begun := make(chan bool)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		begun <- true
		_, err = c.Read(make([]byte, 1))
		done <- err
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	ok("dial", err == nil, err)
	<-begun
	c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	var ne net.Error
	ok("deadline", errors.As(err, &ne) && ne.Timeout(), err)
	c.Close()
	ok("peer's end", <-done == io.EOF)
	_, err = c.Read(make([]byte, 1))
	ok("read of closed", err != nil)
	l.Close()
	_, err = l.Accept()
	ok("accept of closed", err != nil)
}

// packets: datagrams between sockets that are connected and such that are not.
func packets() {
	s, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		ok("listen udp", false, err)
		return
	}
	defer s.Close()
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			s.WriteTo(append([]byte("> "), b[:n]...), from)
		}
	}()
	c, err := net.Dial("udp", s.LocalAddr().String())
	ok("dial udp", err == nil, err)
	b := make([]byte, 2000)
	for _, m := range []string{"one", strings.Repeat("long", 300)} {
		c.Write([]byte(m))
		c.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := c.Read(b)
		ok("datagram", err == nil && string(b[:n]) == "> "+m, n, err)
	}
	c.Close()
	o, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok("listen udp", err == nil, err)
	o.WriteTo([]byte("two"), s.LocalAddr())
	n, from, err := o.ReadFrom(b)
	ok("from whom", err == nil && string(b[:n]) == "> two" && from.String() == s.LocalAddr().String(), n, from, err)
	o.Close()
}

func names() {
	l, err := net.LookupHost("127.0.0.1")
	ok("host", err == nil && len(l) == 1 && l[0] == "127.0.0.1", l, err)
	p, err := net.LookupPort("tcp", "http")
	ok("port", err == nil && p == 80, p, err)
	_, err = net.LookupPort("tcp", "nosuchservice")
	ok("no port", err != nil)
	_, err = net.LookupHost("no.such.host.invalid")
	ok("no host", err != nil)
	ifs, err := net.Interfaces()
	ok("interfaces", err == nil && len(ifs) > 0 && ifs[0].Flags&net.FlagLoopback != 0, ifs, err)
	addrs, err := net.InterfaceAddrs()
	found := false
	for _, a := range addrs {
		found = found || a.String() == "127.0.0.1/8"
	}
	ok("addresses of interfaces", err == nil && found, addrs, err)
}

func web() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		ok("listen", false, err)
		return
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(b))
	})}
	go srv.Serve(l)
	ok("get", get("http://"+l.Addr().String()+"/page") == "GET /page 0")
	r, err := http.Post("http://"+l.Addr().String()+"/form", "text/plain", bytes.NewReader(make([]byte, 1<<20)))
	if err != nil {
		ok("post", false, err)
		return
	}
	b, err := io.ReadAll(r.Body)
	ok("post", string(b) == "POST /form 1048576", string(b), err)
	r.Body.Close()
	ok("server's end", srv.Close() == nil)
}
