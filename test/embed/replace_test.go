package embed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hythe"
	"hythe/abi"
	"hythe/ipc"
	"hythe/store"
)

// ledgers are the versions of one server. The machine knows the first; the others take
// its place.
var ledgers = []hythe.Server{
	{Name: "ledger", Main: ledger(1)},
	{Name: "ledger-2", Main: ledger(2)},
	// Ends when it has inherited.
	{Name: "ledger-3", Main: func(*ipc.Conn, *ipc.Inheritance) error { return errors.New("on purpose") }},
	// Never serves.
	{Name: "ledger-4", Main: func(c *ipc.Conn, _ *ipc.Inheritance) error { return c.Run(&ipc.Handlers{}) }},
	// Does not stop when it is told to.
	{Name: "ledger-5", Main: func(c *ipc.Conn, in *ipc.Inheritance) error {
		_ = c.Ready()
		return c.Run(&ipc.Handlers{})
	}},
}

// Requests of a ledger (ipc.Message.ID). Their bodies are the number of the sender, and
// each has a Seq of its sender's.
const (
	note = 1 // no answer
	ask  = 2 // the answer is an account
)

// senders is how many there are.
const senders = 16

// account is what a ledger knows of a sender: its state of record.
type account struct {
	Last     uint64 // the number noted last
	Skipped  uint64 // notes that came where another should have
	Repeated uint64 // requests whose effect was there
	Version  uint64 // who noted last
}

// ledger is a server that notes numbers.
func ledger(version uint64) func(*ipc.Conn, *ipc.Inheritance) error {
	return func(c *ipc.Conn, in *ipc.Inheritance) error {
		heap, _, err := in.State(c, 1<<20, 1)
		if err != nil {
			return err
		}
		table, refs := store.NewTable[account](heap, 0, senders), []store.Ref[account]{}
		table.Each(func(r store.Ref[account], _ *account) bool { refs = append(refs, r); return true })
		for len(refs) < senders {
			heap.Begin()
			r, _ := table.New()
			heap.Commit()
			refs = append(refs, r)
		}
		return ipc.ServeWith(c, in, ipc.Handlers{Ahead: 64}, func(m *ipc.Message) *ipc.Message {
			if len(m.Body) != 1 || m.Body[0] >= senders {
				return &ipc.Message{}
			}
			heap.Begin()
			a := table.Mut(refs[m.Body[0]])
			a.Version = version
			switch m.Seq {
			case a.Last:
				a.Repeated++
			case a.Last + 1:
				a.Last++
			default:
				a.Skipped++
			}
			now := *a
			heap.Commit()
			var b bytes.Buffer
			_ = binary.Write(&b, binary.LittleEndian, &now)
			return &ipc.Message{Body: b.Bytes()}
		})
	}
}

// sender numbers what it sends to a ledger.
type sender struct {
	id   byte
	conn *ipc.Conn
	to   abi.Name
	seq  uint64
}

func newSender(t *testing.T, m *hythe.Machine, id int) *sender {
	t.Helper()
	c, in, err := m.Connect("ledger")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &sender{id: byte(id), conn: c, to: in.Send("ledger")}
}

func (s *sender) note() abi.Errno {
	s.seq++
	return s.conn.Send(s.to, &ipc.Message{ID: note, Seq: s.seq, Body: []byte{s.id}}, abi.NameNull)
}

// notes sends n at once.
func (s *sender) notes(n int) (failed abi.Errno) {
	b := s.conn.Batch()
	for range n {
		s.seq++
		if e := b.Send(s.to, &ipc.Message{ID: note, Seq: s.seq, Body: []byte{s.id}}, abi.NameNull, abi.Forever); e != 0 {
			return e
		}
	}
	if e := b.Do(func(_ int, _ ipc.Reply, e abi.Errno) { failed = cmp.Or(failed, e) }); e != 0 {
		return e
	}
	return failed
}

func (s *sender) ask() (a account, err error) {
	s.seq++
	m, e := s.conn.AskWith(s.to, &ipc.Message{ID: ask, Seq: s.seq, Body: []byte{s.id}})
	if e != 0 {
		return a, e
	}
	return a, binary.Read(bytes.NewReader(m.Body), binary.LittleEndian, &a)
}

func withLedger(t *testing.T) *hythe.Machine {
	t.Helper()
	m, err := hythe.New(t.Context(), hythe.Config{Pids: 100, Servers: ledgers[:1]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestReplace: a server is replaced by its other version, again and again, while some
// send to it as fast as they can and others ask it. Nothing is lost, doubled, or
// overtaken by what its sender sent later.
func TestReplace(t *testing.T) {
	m := withLedger(t)
	const hand = 20
	more := make(chan struct{}) // 2000 messages more
	var stop atomic.Bool
	var total atomic.Uint64
	var seen [3]atomic.Uint64 // answers of each version
	var wg sync.WaitGroup
	all := make([]*sender, senders)
	begun := time.Now()
	for i := range all {
		all[i] = newSender(t, m, i)
		wg.Add(1)
		go func(s *sender) {
			defer wg.Done()
			for !stop.Load() {
				n := uint64(1)
				if s.id%3 == 2 {
					n = 16
				}
				if now := total.Add(n); now/2000 != (now-n)/2000 {
					select {
					case more <- struct{}{}:
					default:
					}
				}
				if s.id%3 != 0 {
					e := abi.Errno(0)
					if n > 1 {
						e = s.notes(int(n))
					} else {
						e = s.note()
					}
					if e != 0 {
						t.Errorf("note %d of %d: %v", s.seq, s.id, e)
						return
					}
					continue
				}
				a, err := s.ask()
				if err != nil || a.Last != s.seq {
					t.Errorf("request %d of %d: %+v, %v", s.seq, s.id, a, err)
					return
				}
				seen[a.Version].Add(1)
			}
		}(all[i])
	}
	var longest time.Duration
	for i := range hand {
		select {
		case <-more:
		case <-t.Context().Done():
		}
		v := hythe.Version{Name: ledgers[(i+1)%2].Name}
		start := time.Now()
		if err := m.Replace(t.Context(), "ledger", v); err != nil {
			t.Errorf("hand-over %d: %v", i, err)
			break
		}
		longest = max(longest, time.Since(start))
	}
	stop.Store(true)
	wg.Wait()
	took := time.Since(begun)
	for _, s := range all {
		a, err := s.ask()
		if err != nil || a.Last != s.seq || a.Skipped != 0 {
			t.Errorf("sender %d: %d sent, %+v, %v", s.id, s.seq, a, err)
		}
		if s.id%3 != 0 && a.Repeated != 0 {
			t.Errorf("sender %d: %+v", s.id, a)
		}
	}
	if seen[1].Load() == 0 || seen[2].Load() == 0 {
		t.Errorf("answers of each version: %d, %d", seen[1].Load(), seen[2].Load())
	}
	t.Logf("%d messages, %.0f in a second, %d hand-overs, the longest %v", total.Load(), float64(total.Load())/took.Seconds(), hand, longest)
}

// TestReplaceFails: a version that does not come to serve changes nothing, and one
// that does not stop does not last.
func TestReplaceFails(t *testing.T) {
	m := withLedger(t)
	s := newSender(t, m, 1)
	check := func(version uint64) {
		t.Helper()
		if a, err := s.ask(); err != nil || a.Last != s.seq || a.Version != version || a.Skipped != 0 {
			t.Errorf("request %d: %+v, %v", s.seq, a, err)
		}
	}
	check(1)
	if err := m.Replace(t.Context(), "ledger", hythe.Version{Name: "ledger-3"}); err == nil || !strings.Contains(err.Error(), "before it served") {
		t.Errorf("ends: %v", err)
	}
	check(1)
	if err := m.Replace(t.Context(), "ledger", hythe.Version{Name: "none"}); err == nil {
		t.Error("a name that the program does not know")
	}
	check(1)
	for _, p := range []string{"/no/such", "/etc", "/etc/passwd"} {
		if err := m.Replace(t.Context(), "ledger", hythe.Version{Program: p}); err == nil {
			t.Error(p)
		}
	}
	check(1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Replace(ctx, "ledger", hythe.Version{Name: "ledger-4"}) }()
	for n := 0; n == 0; { // until it has inherited
		l, err := m.Services(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range l {
			if i.Name == "ledger" && i.State == "starting" {
				n++
			}
		}
	}
	if err := m.Replace(t.Context(), "ledger", hythe.Version{}); err == nil {
		t.Error("replaced twice at a time")
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("never serves")
	}
	check(1)
	if err := m.Replace(t.Context(), "ledger", hythe.Version{Name: "ledger-5"}); err != nil {
		t.Error(err)
	}
	if err := m.Replace(t.Context(), "ledger", hythe.Version{Name: "ledger-2"}); err != nil {
		t.Error(err)
	}
	check(2)
	// A restart stays with the version.
	if err := m.Restart(t.Context(), "ledger"); err != nil {
		t.Error(err)
	}
	check(2)
	if err := m.Replace(t.Context(), "none", hythe.Version{}); !errors.Is(err, hythe.ErrNoService) {
		t.Error(err)
	}
	if err := m.Replace(t.Context(), "unix", hythe.Version{Name: "names"}); err == nil {
		t.Error("a server of the machine under another name")
	}
}

// TestReplaceOwn: the machine's own servers are replaced by those of another program
// (the same one, in a file that is gone afterwards) under a program that runs.
func TestReplaceOwn(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	if out, err := exec.Command("cp", exe, other).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// Servers may run as nobody, who has to be let in.
	for d := filepath.Dir(other); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	m := withLedger(t)
	s := newSender(t, m, 1)
	out := make(chan string, 1)
	started := make(chan struct{})
	go func() {
		var b bytes.Buffer
		err := m.Run(t.Context(), &hythe.Cmd{Path: "sh", Stdout: &signalled{w: &b, first: started}, Args: []string{"sh", "-c",
			"echo go; i=0; while [ ! -e /dev/shm/stop ]; do i=$((i+1)); echo $i >/dev/shm/n; read n </dev/shm/n; [ $n = $i ] || exit 3; done; echo $((i>0))"}})
		out <- fmt.Sprint(b.String(), err)
	}()
	<-started
	for _, name := range []string{"unix", "overlay", "tmpfs", "host", "names", "ledger"} {
		if err := m.Replace(t.Context(), name, hythe.Version{Program: other}); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(other); err != nil {
		t.Error(err)
	}
	if a, err := s.ask(); err != nil || a.Last != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, name := range []string{"unix", "ledger"} {
		if err := m.Restart(t.Context(), name); err != nil { // the file is kept
			t.Error(err)
		}
	}
	if a, err := s.ask(); err != nil || a.Last != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := m.Run(t.Context(), sh("echo >/dev/shm/stop")); err != nil {
		t.Error(err)
	}
	if got := <-out; got != "go\n1\n<nil>" {
		t.Errorf("%q", got)
	}
}

// signalled says when the first bytes come.
type signalled struct {
	w     *bytes.Buffer
	first chan struct{}
	once  sync.Once
}

func (s *signalled) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.first) })
	return s.w.Write(p)
}

// TestReplaceTogether: what runs in one process is replaced as a whole, and comes back to the
// old program if the new one does not serve.
func TestReplaceTogether(t *testing.T) {
	m, err := hythe.New(t.Context(), hythe.Config{Placement: hythe.Together})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Run(t.Context(), sh("echo kept >/tmp/replaced; echo kept >/dev/shm/replaced")); err != nil {
		t.Fatal(err)
	}
	state := func() (pid, incarnation int) {
		t.Helper()
		l, err := m.Services(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, s := range l {
			switch {
			case s.Name == "unix":
				pid, incarnation = s.HostPID, s.Incarnation
				n++
			case s.In == "unix":
				n++
			}
		}
		for _, s := range l {
			if s.In == "unix" && (s.HostPID != pid || s.Incarnation != incarnation || s.State != "running") {
				t.Errorf("%+v beside unix in %d", s, pid)
			}
		}
		if n != 3 {
			t.Errorf("unix, overlay and tmpfs: %+v", l)
		}
		return pid, incarnation
	}
	was, first := state()
	if err := m.Replace(t.Context(), "overlay", hythe.Version{Program: "/bin/false"}); err == nil {
		t.Error("a program that ends at once")
	}
	if err := m.Restart(t.Context(), "tmpfs"); err != nil {
		t.Error(err)
	}
	if pid, n := state(); pid == was || n < first+3 {
		t.Errorf("process %d was incarnation %d, %d is %d", was, first, pid, n)
	}
	was, first = state()
	if err := m.Replace(t.Context(), "tmpfs", hythe.Version{}); err != nil {
		t.Error(err)
	}
	if pid, n := state(); pid == was || n != first+1 {
		t.Errorf("process %d was incarnation %d, %d is %d", was, first, pid, n)
	}
	if err := m.Run(t.Context(), sh("cat /tmp/replaced /dev/shm/replaced | grep -c kept | grep 2")); err != nil {
		t.Error(err)
	}
}
