// Package pages has memory objects whose pages a server supplies, on the real machine: a
// pager that keeps a few in memory and the rest in a file, tasks that map the object, and
// deaths of all of them.
package pages

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/ipc"
	"hythe/machine"
	"hythe/machine/linux"
	"hythe/nucleus"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "server" {
		err := error(nil)
		switch os.Args[2] {
		case "pager":
			err = pager()
		case "mapper":
			err = mapper()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	pages  = 200 // of the object
	most   = 12  // in memory
	size   = pages * abi.PageSize
	fileFD = 4

	// Requests of the mapper: the body is a number.
	write = 1 // store pattern number n everywhere
	check = 2 // answer how many words are not pattern number n
	touch = 3 // answer whether page n can be read
	drop  = 4 // unmap
	lose  = 5 // unmap, and tell nobody
)

// pager serves one object, to which it hands out a right, and refuses its last page.
func pager() error {
	conn, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	faults, svc := in.Receive("pages"), in.Receive("svc")
	var object abi.Name
	fd := -1
	if r := in.Find(abi.RightObject, "paged"); r != nil {
		object, fd = r.Name, r.FD
	} else {
		var e abi.Errno
		if object, fd, e = conn.CreatePaged(size, "paged", faults, 7); e != 0 {
			return fmt.Errorf("create: %w", e)
		}
	}
	p, err := ipc.NewFilePager(conn, object, fd, fileFD, size, most)
	if err != nil {
		return err
	}
	failed := make(chan error, 4)
	go func() { failed <- conn.Run(&ipc.Handlers{}) }()
	go func() {
		for {
			m, e := conn.Receive(faults)
			if e != 0 {
				failed <- e
				return
			}
			q, ok := m.Page()
			if tag, gone, ok := m.PageTerminate(); ok && tag == 7 && !gone {
				continue // its mappers are dead, all of them
			}
			switch {
			case !ok || q.Tag != 7:
				failed <- fmt.Errorf("no request: %+v", m)
				return
			case q.Off == size-abi.PageSize:
				for range 2 { // said twice, it is as it was
					if e := conn.Pages(object, abi.PagesError, q.Off, q.Len); e != 0 {
						failed <- fmt.Errorf("error: %w", e)
					}
				}
				continue
			}
			if err := p.Serve(q); err != nil {
				failed <- err
				return
			}
		}
	}()
	go func() {
		for {
			m, e := conn.Receive(svc)
			if e != 0 {
				failed <- e
				return
			}
			a := &ipc.Message{Objects: []abi.ObjectDesc{{Name: object, Len: size}}}
			if e := conn.AnswerWith(m, a); e != 0 && e != abi.EPIPE { // who asked is gone
				failed <- fmt.Errorf("answer: %w", e)
			}
		}
	}()
	if e := conn.Ready(); e != 0 {
		return e
	}
	return <-failed
}

// mapper maps the pager's object and does what it is told.
func mapper() error {
	conn, err := ipc.Dial(ipc.ControlFD)
	if err != nil {
		return err
	}
	in, err := ipc.Startup(conn)
	if err != nil {
		return err
	}
	go func() { _ = conn.Run(&ipc.Handlers{}); os.Exit(0) }()
	m, e := conn.AskWith(in.Send("pager"), &ipc.Message{ID: 1})
	if e != 0 || len(m.FDs) != 1 {
		return fmt.Errorf("no object: %w", e)
	}
	mem, err := conn.MapPaged(m.Objects[0].Name, m.FDs[0], size)
	if err != nil {
		return err
	}
	if e := conn.Ready(); e != 0 {
		return e
	}
	for {
		q, e := conn.Receive(in.Receive("svc"))
		if e != 0 {
			return e
		}
		n, answer := binary.LittleEndian.Uint64(q.Body), uint64(0)
		switch q.ID {
		case write, check:
			// In an order of its own, so that pages come and go.
			r := rand.New(rand.NewPCG(n, uint64(os.Getpid())))
			for _, page := range r.Perm(pages - 1) {
				for at := page * abi.PageSize; at < (page+1)*abi.PageSize; at += 512 {
					v := n<<32 | uint64(at)
					if q.ID == write {
						binary.LittleEndian.PutUint64(mem[at:], v)
					} else if binary.LittleEndian.Uint64(mem[at:]) != v {
						answer++
					}
				}
			}
		case touch:
			answer = readable(mem, int(n)*abi.PageSize)
		case lose:
			ipc.UnmapObject(mem)
		case drop:
			if err := conn.UnmapPaged(mem); err != nil {
				return err
			}
		}
		_ = conn.Answer(q, binary.LittleEndian.AppendUint64(nil, answer))
	}
}

// readable is 1 if a byte can be read, 0 if that is a fault.
func readable(mem []byte, at int) (ok uint64) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { _ = recover() }()
	seen = mem[at]
	return 1
}

var seen byte

type world struct {
	t     *testing.T
	m     *linux.Machine
	k     *nucleus.Kernel
	dead  chan *nucleus.Server
	ready chan *nucleus.Server
	logs  chan string
	ask   *ipc.Conn
	in    *ipc.Inheritance
}

func newWorld(t *testing.T) (w *world, pager *nucleus.Server, mappers []*nucleus.Server) {
	w = &world{t: t, dead: make(chan *nucleus.Server, 64), ready: make(chan *nucleus.Server, 64), logs: make(chan string, 1024)}
	var err error
	if w.m, err = linux.New(linux.Options{}); err != nil {
		t.Fatal(err)
	}
	w.k = nucleus.New(w.m, nucleus.Limits{}, nucleus.Hooks{
		Dead:  func(s *nucleus.Server, _ machine.Exit) { w.dead <- s },
		Ready: func(s *nucleus.Server) { w.ready <- s },
		Log:   func(_ *nucleus.Server, _ int, l string) { w.logs <- l },
	})
	t.Cleanup(func() {
		if err := w.k.Check(); err != nil {
			t.Error(err)
		}
		w.k.Stop()
		w.m.Close()
		if err := w.k.Check(); err != nil {
			t.Error(err)
		}
	})
	f, err := os.Create(filepath.Join(t.TempDir(), "pages"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := linux.HandleOf(fd)
	t.Cleanup(file.Release)
	server := func(name, kind string, files ...machine.Handle) *nucleus.Server {
		s := w.k.NewServer(nucleus.ServerSpec{Name: name, Process: machine.ServerSpec{Name: kind, Files: files, Isolation: machine.IsolateUser, Lenient: true}})
		for _, p := range []string{"svc", "pages"} {
			if _, err := s.MakePort(p); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	pager = server("pager", "pager", file)
	us := w.k.NewServer(nucleus.ServerSpec{Name: "us"})
	for i := range 2 {
		s := server(fmt.Sprint("mapper", i), "mapper")
		if _, err := s.GiveSend("pager", pager, "svc"); err != nil {
			t.Fatal(err)
		}
		if _, err := us.GiveSend(s.Name(), s, "svc"); err != nil {
			t.Fatal(err)
		}
		mappers = append(mappers, s)
	}
	far, err := us.Attach(nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := linux.TakeFD(far)
	if err != nil {
		t.Fatal(err)
	}
	if w.ask, err = ipc.Dial(own); err != nil {
		t.Fatal(err)
	}
	if w.in, err = ipc.Startup(w.ask); err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.ask.Run(&ipc.Handlers{}) }()
	w.start(pager)
	for _, s := range mappers {
		w.start(s)
	}
	return w, pager, mappers
}

func (w *world) start(s *nucleus.Server) {
	w.t.Helper()
	if err := s.Start(nil); err != nil {
		w.t.Fatal(err)
	}
	for {
		select {
		case r := <-w.ready:
			if r == s {
				return
			}
		case d := <-w.dead:
			line := ""
			for len(w.logs) > 0 {
				line = <-w.logs
			}
			if strings.Contains(line, "userfaultfd") || strings.Contains(line, "UFFDIO") {
				w.t.Skip("the host has no userfaultfd for this: ", line)
			}
			w.t.Fatalf("%s is started, %s ended: %s", s.Name(), d.Name(), line)
		case <-time.After(time.Minute):
			w.t.Fatalf("%s does not come to serve", s.Name())
		}
	}
}

// kill ends a server; no other has ended meanwhile.
func (w *world) kill(s *nucleus.Server) {
	w.t.Helper()
	s.Kill("the test")
	w.ended(s)
}

// ended waits for a server's end.
func (w *world) ended(s *nucleus.Server) {
	w.t.Helper()
	if d := <-w.dead; d != s {
		w.t.Fatalf("%s ended, not %s", d.Name(), s.Name())
	}
}

func (w *world) do(s *nucleus.Server, what uint32, n uint64) uint64 {
	w.t.Helper()
	b, e := w.ask.Ask(w.in.Send(s.Name()), what, binary.LittleEndian.AppendUint64(nil, n))
	if e != 0 || len(b) != 8 {
		w.t.Fatalf("%s: %d %d: %v", s.Name(), what, n, e)
	}
	return binary.LittleEndian.Uint64(b)
}

// TestPages: two tasks see the same pages, most of which are in a file at any time; what
// the pager refuses is a fault; what is given up is given up.
func TestPages(t *testing.T) {
	w, _, m := newWorld(t)
	for n := range uint64(3) {
		w.do(m[n%2], write, n+1)
		for _, s := range m {
			if bad := w.do(s, check, n+1); bad != 0 {
				t.Errorf("round %d: %s finds %d words that are others", n, s.Name(), bad)
			}
		}
	}
	for _, s := range m {
		if w.do(s, touch, pages-1) != 0 || w.do(s, touch, 0) != 1 {
			t.Errorf("%s: the page that is refused can be read, or another cannot", s.Name())
		}
	}
	w.do(m[0], drop, 0)
	if bad := w.do(m[1], check, 3); bad != 0 {
		t.Errorf("%d words", bad)
	}
}

// TestPagerDies: the pager is killed while others wait for its pages, again and again;
// they wait longer, and that is all.
func TestPagerDies(t *testing.T) {
	w, p, m := newWorld(t)
	kills := 12
	for n := range uint64(4) {
		over := make(chan bool)
		go func() {
			w.do(m[n%2], write, n+1)
			close(over)
		}()
		for range kills {
			w.kill(p)
			w.start(p)
		}
		<-over
		for _, s := range m {
			if bad := w.do(s, check, n+1); bad != 0 {
				t.Errorf("round %d: %s finds %d words that are others", n, s.Name(), bad)
			}
		}
	}
}

// TestMapperDies: a mapper that is killed while the pager takes pages back from it leaves
// nothing, its next incarnation maps the object again, and the pager hears of none of it.
// The same for one that unmaps without a word.
func TestMapperDies(t *testing.T) {
	w, p, m := newWorld(t)
	for n := range uint64(4) {
		over := make(chan bool)
		go func() {
			w.do(m[1], write, n+1)
			close(over)
		}()
		for range 12 {
			w.kill(m[0])
			w.start(m[0])
		}
		<-over
		w.kill(p)
		w.start(p)
		for _, s := range m {
			if bad := w.do(s, check, n+1); bad != 0 {
				t.Errorf("round %d: %s finds %d words that are others", n, s.Name(), bad)
			}
		}
	}
	w.do(m[0], lose, 0) // which is heard of all the same
	w.do(m[1], write, 5)
	w.kill(m[0])
	w.start(m[0])
	if bad := w.do(m[0], check, 5); bad != 0 {
		t.Errorf("%d words", bad)
	}
}
