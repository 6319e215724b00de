package fs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
	"hythe/idl/wire"
	"hythe/ipc"
	"hythe/ipc/ipctest"
)

// mirror is a Server that notes its arguments and answers with values made from
// a seed.
type mirror struct {
	mu   sync.Mutex
	log  []string // guarded by mu
	seed atomic.Uint64
	fail atomic.Uint32 // the errno of every answer
	obj  atomic.Uint64
	many atomic.Pointer[[]DirPlus] // what ReadDirPlus answers, if not nil
}

func (m *mirror) failing() abi.Errno { return abi.Errno(m.fail.Load()) }

func (m *mirror) set(seed uint64, err abi.Errno) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = nil
	m.seed.Store(seed)
	m.fail.Store(uint32(err))
}

func (m *mirror) noted() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.log
}

func (m *mirror) note(args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log = append(m.log, fmt.Sprintf("%+v", args))
}

// fill gives a value of type T of random numbers; the same for the same seed.
func fill[T any](m *mirror) (t T) {
	rnd := rand.New(rand.NewPCG(m.seed.Load(), 1))
	var set func(v reflect.Value)
	set = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					set(v.Field(i))
				}
			}
		case reflect.Uint32, reflect.Uint64:
			v.SetUint(rnd.Uint64() >> (64 - v.Type().Bits()))
		case reflect.Int64:
			v.SetInt(int64(rnd.Uint64()))
		case reflect.String:
			v.SetString(strings.Repeat("é", rnd.IntN(20)))
		case reflect.Slice:
			n := rnd.IntN(20)
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				set(v.Index(i))
			}
		case reflect.Uint8:
			v.SetUint(uint64(byte(rnd.Uint32())))
		case reflect.Bool:
			v.SetBool(rnd.IntN(2) == 1)
		default:
			panic(v.Kind())
		}
	}
	set(reflect.ValueOf(&t).Elem())
	return t
}

func (m *mirror) entry() (e Entry, err abi.Errno) {
	if m.failing() != 0 {
		return e, m.failing()
	}
	return fill[Entry](m), 0
}

func (m *mirror) Lookup(r Req, d NodeID, n string) (Entry, abi.Errno) {
	m.note("lookup", r, d, n)
	return m.entry()
}
func (m *mirror) Forget(r Req, d NodeID, n uint64) { m.note("forget", r, d, n) }
func (m *mirror) GetAttr(r Req, d NodeID) (Entry, abi.Errno) {
	m.note("getattr", r, d)
	return m.entry()
}
func (m *mirror) SetAttr(r Req, d NodeID, in *SetAttrIn) (Entry, abi.Errno) {
	m.note("setattr", r, d, *in)
	return m.entry()
}
func (m *mirror) ReadLink(r Req, d NodeID) (string, abi.Errno) {
	m.note("readlink", r, d)
	if m.failing() != 0 {
		return "", m.failing()
	}
	return fill[string](m), 0
}
func (m *mirror) MkNod(r Req, d NodeID, n string, mode uint32, rdev uint64, c Cred) (Entry, abi.Errno) {
	m.note("mknod", r, d, n, mode, rdev, c)
	return m.entry()
}
func (m *mirror) MkDir(r Req, d NodeID, n string, mode uint32, c Cred) (Entry, abi.Errno) {
	m.note("mkdir", r, d, n, mode, c)
	return m.entry()
}
func (m *mirror) Symlink(r Req, d NodeID, n, target string, c Cred) (Entry, abi.Errno) {
	m.note("symlink", r, d, n, target, c)
	return m.entry()
}
func (m *mirror) Link(r Req, node, d NodeID, n string) (Entry, abi.Errno) {
	m.note("link", r, node, d, n)
	return m.entry()
}
func (m *mirror) Unlink(r Req, d NodeID, n string) abi.Errno {
	m.note("unlink", r, d, n)
	return m.failing()
}
func (m *mirror) ReadDirPlus(r Req, d NodeID, cookie uint64, max int, plus uint32) ([]DirPlus, abi.Errno) {
	m.note("readdirplus", r, d, cookie, max, plus)
	if m.failing() != 0 {
		return nil, m.failing()
	}
	if many := m.many.Load(); many != nil {
		return *many, 0
	}
	return fill[[]DirPlus](m), 0
}
func (m *mirror) OpenRead(r Req, d NodeID, most int) (Entry, bool, []byte, abi.Errno) {
	m.note("openread", r, d, most)
	e, err := m.entry()
	if err != 0 {
		return e, false, nil, err
	}
	return e, true, fill[[]byte](m), 0
}
func (m *mirror) ReadFiles(r Req, nodes []NodeID, most int) ([]FileData, abi.Errno) {
	m.note("readfiles", r, nodes, most)
	if m.failing() != 0 {
		return nil, m.failing()
	}
	list := fill[[]FileData](m)
	for i := range list {
		if len(list[i].Data) == 0 {
			list[i].Data = nil
		}
	}
	return list, 0
}
func (m *mirror) Discard(r Req, d NodeID, n string, node NodeID, opens uint32) abi.Errno {
	m.note("discard", r, d, n, node, opens)
	return m.failing()
}
func (m *mirror) RmDir(r Req, d NodeID, n string) abi.Errno {
	m.note("rmdir", r, d, n)
	return m.failing()
}
func (m *mirror) Rename(r Req, f NodeID, o string, t NodeID, n string, flags uint32) abi.Errno {
	m.note("rename", r, f, o, t, n, flags)
	return m.failing()
}
func (m *mirror) Open(r Req, d NodeID, w, t bool) (Entry, abi.Errno) {
	m.note("open", r, d, w, t)
	return m.entry()
}
func (m *mirror) Create(r Req, d NodeID, n string, mode uint32, excl bool, c Cred) (Entry, bool, abi.Errno) {
	m.note("create", r, d, n, mode, excl, c)
	e, err := m.entry()
	return e, err == 0 && fill[bool](m), err
}
func (m *mirror) CreateTemp(r Req, d NodeID, mode uint32, c Cred) (Entry, abi.Errno) {
	m.note("tmpfile", r, d, mode, c)
	return m.entry()
}
func (m *mirror) Release(r Req, d NodeID) { m.note("release", r, d) }
func (m *mirror) Read(r Req, d NodeID, off uint64, buf []byte) (int, abi.Errno) {
	if m.failing() != 0 {
		return 0, m.failing()
	}
	// A file of 300,000 bytes.
	n := 0
	for ; n < len(buf) && off+uint64(n) < 300000; n++ {
		buf[n] = byte((off + uint64(n)) * 7 >> 3)
	}
	return n, 0
}
func (m *mirror) Write(r Req, d NodeID, off uint64, data []byte) (int, uint64, uint64, abi.Errno) {
	m.note("write", r, d, off, string(data))
	if m.failing() != 0 {
		return 0, 0, 0, m.failing()
	}
	return len(data) / 2, off + 1, off + 2, 0
}
func (m *mirror) ReadDir(r Req, d NodeID, cookie uint64, max int) ([]DirEntry, abi.Errno) {
	m.note("readdir", r, d, cookie, max)
	if m.failing() != 0 {
		return nil, m.failing()
	}
	return fill[[]DirEntry](m), 0
}
func (m *mirror) Statfs(r Req, d NodeID) (Statfs, abi.Errno) {
	m.note("statfs", r, d)
	if m.failing() != 0 {
		return Statfs{}, m.failing()
	}
	return fill[Statfs](m), 0
}
func (m *mirror) Fsync(r Req, d NodeID, data bool) abi.Errno {
	m.note("fsync", r, d, data)
	return m.failing()
}
func (m *mirror) Fallocate(r Req, d NodeID, mode uint32, off, n uint64) (Entry, abi.Errno) {
	m.note("fallocate", r, d, mode, off, n)
	return m.entry()
}
func (m *mirror) Seek(r Req, d NodeID, off uint64, w uint32) (uint64, abi.Errno) {
	m.note("seek", r, d, off, w)
	if m.failing() != 0 {
		return 0, m.failing()
	}
	return fill[uint64](m), 0
}
func (m *mirror) GetXattr(r Req, d NodeID, n string) ([]byte, abi.Errno) {
	m.note("getxattr", r, d, n)
	if m.failing() != 0 {
		return nil, m.failing()
	}
	return fill[[]byte](m), 0
}
func (m *mirror) SetXattr(r Req, d NodeID, n string, v []byte, flags uint32) abi.Errno {
	m.note("setxattr", r, d, n, v, flags)
	return m.failing()
}
func (m *mirror) ListXattr(r Req, d NodeID) ([]byte, abi.Errno) {
	m.note("listxattr", r, d)
	if m.failing() != 0 {
		return nil, m.failing()
	}
	return fill[[]byte](m), 0
}
func (m *mirror) RemoveXattr(r Req, d NodeID, n string) abi.Errno {
	m.note("removexattr", r, d, n)
	return m.failing()
}
func (m *mirror) Map(r Req, d NodeID, u MapUse) (MapOut, abi.Errno) {
	m.note("map", r, d, u)
	return MapOut{Tag: m.obj.Load(), Writable: u == MapToWrite, Stable: true}, m.failing()
}

// every calls each method of s once and answers what they answered.
func every(s Server, r Req) (out []any) {
	add := func(v ...any) { out = append(out, v...) }
	add2 := func(a any, e abi.Errno) { out = append(out, a, e) }
	add2(s.Lookup(r, 1, "name"))
	s.Forget(r, 2, 3)
	add2(s.GetAttr(r, 4))
	add2(s.SetAttr(r, 5, &SetAttrIn{1, 2, 3, 4, 5, Time{Sec: -6, Nsec: 7}, Time{Sec: 8, Nsec: 9}}))
	add2(s.ReadLink(r, 6))
	add2(s.MkNod(r, 7, "nod", 8, 1<<40, Cred{9, 10}))
	add2(s.MkDir(r, 11, strings.Repeat("d", 255), 12, Cred{^uint32(0), 13}))
	add2(s.Symlink(r, 14, "from", "../../to/there", Cred{15, 16}))
	add2(s.Link(r, 17, 18, "ln"))
	add(s.Discard(r, 18, "z", 1<<40, 3), s.Unlink(r, 19, "x"), s.RmDir(r, 20, "y"), s.Rename(r, 21, "old", 22, "new", 2))
	for _, b := range [][2]bool{{false, false}, {true, false}, {false, true}, {true, true}} {
		add2(s.Open(r, 23, b[0], b[1]))
		e, made, err := s.Create(r, 24, "new", 25, b[0], Cred{26, 27})
		add(e, made, err, s.Fsync(r, 28, b[0]))
	}
	add2(s.CreateTemp(r, 29, 30, Cred{31, 32}))
	s.Release(r, 33)
	n, at, size, err := s.Write(r, 34, AppendOff-5, []byte("some data"))
	add(n, at, size, err)
	add2(s.ReadDir(r, 35, 36, 37))
	add2(s.ReadDirPlus(r, 35, 36, 37, 38))
	oe, whole, first, err := s.OpenRead(r, 36, 37)
	add(oe, whole, first, err)
	add2(s.ReadFiles(r, []NodeID{37, 1 << 40}, 38))
	add2(s.Statfs(r, 38))
	add2(s.Fallocate(r, 39, 40, 41, 42))
	add2(s.Seek(r, 43, 44, 3))
	add2(s.GetXattr(r, 45, "user.x"))
	add(s.SetXattr(r, 46, "user.y", []byte{0, 1, 2}, 1))
	add2(s.ListXattr(r, 47))
	add(s.RemoveXattr(r, 48, "user.z"))
	return out
}

// rig is a mirror served over a binding of the stand-in nucleus.
type rig struct {
	n      *ipctest.Nucleus
	m      *mirror
	srv    *ipctest.Task
	c      *Client
	served chan error
}

func newRig(t testing.TB) *rig {
	r := &rig{n: ipctest.New(t), m: &mirror{}, served: make(chan error, 1)}
	r.start(t)
	cl := r.n.Start("client", "", "fs")
	r.c = NewLazyClient(func() (*ipc.ClientBinding, error) { return cl.In.Client(cl.Conn, "root", "fs", 8) })
	return r
}

func (r *rig) start(t testing.TB) {
	srv := r.n.Start("fs", "")
	r.srv = srv
	go func() { r.served <- Serve(srv.Conn, srv.In, r.m) }()
	<-srv.Ready
}

// TestAsManyAsFit: of a list that is too long for an answer the first ones travel, as many as have room.
func TestAsManyAsFit(t *testing.T) {
	r := newRig(t)
	for _, n := range []int{1, 500, 800, 1000, 2000, 50000} {
		want := make([]DirPlus, n)
		size := 4
		room := 0
		for i := range want {
			want[i] = DirPlus{Ino: uint64(i), Next: uint64(i + 1), Name: fmt.Sprint("n", i)}
			if size += len(appendDirPlus(nil, &want[i])); size <= MaxRead {
				room = i + 1
			}
		}
		r.m.many.Store(&want)
		got, err := r.c.ReadDirPlus(Req{}, 1, 0, 1<<20, 600)
		if err != 0 || len(got) != room || !reflect.DeepEqual(got, want[:room]) {
			t.Errorf("of %d there were %d, not %d; %v", n, len(got), room, err)
		}
	}
}

func TestEveryMethod(t *testing.T) {
	r := newRig(t)
	for seed := range uint64(30) {
		direct := &mirror{}
		var fail abi.Errno
		if seed%5 == 4 {
			fail = abi.ENOTEMPTY
		}
		direct.set(seed, fail)
		r.m.set(seed, fail)
		b := r.c.Binding().ID
		want := every(direct, Req{Binding: b, Client: 77, Seq: 1<<60 + seed})
		got := every(r.c, Req{Client: 77, Seq: 1<<60 + seed})
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) && !(reflect.ValueOf(got[i]).Kind() == reflect.Slice && reflect.ValueOf(got[i]).Len() == 0 && reflect.ValueOf(want[i]).Len() == 0) {
				t.Fatalf("seed %d, answer %d: got %+v, want %+v", seed, i, got[i], want[i])
			}
		}
		if !reflect.DeepEqual(r.m.noted(), direct.log) {
			t.Fatalf("seed %d: arguments\n%q\nwant\n%q", seed, r.m.noted(), direct.log)
		}
	}
	buf := make([]byte, 400000)
	if n, err := r.c.Read(Req{}, 1, 5, buf); n != 0 || err != abi.ENOTEMPTY {
		t.Fatal(n, err)
	}
	r.m.fail.Store(0)
	n, err := r.c.Read(Req{}, 1, 5, buf)
	if n != 299995 || err != 0 {
		t.Fatal(n, err)
	}
	for i := range n {
		if buf[i] != byte((i+5)*7>>3) {
			t.Fatalf("byte %d is %d", i, buf[i])
		}
	}
	if n, _ := r.c.Read(Req{}, 1, 5, buf[:0]); n != 0 {
		t.Fatal(n)
	}
	if n, _, _, err := r.c.Write(Req{}, 1, 0, make([]byte, 1<<20)); n != MaxWrite/2 || err != 0 {
		t.Fatal(n, err)
	}
	if _, err := r.c.Lookup(Req{}, 1, strings.Repeat("x", abi.SlotInSize)); err != abi.ENAMETOOLONG {
		t.Fatal(err)
	}
	if err := r.c.SetXattr(Req{}, 1, "n", make([]byte, 1<<20), 0); err != abi.E2BIG {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "a/b", "a\x00b", "/"} {
		if _, err := r.c.Lookup(Req{}, 1, bad); err != abi.EINVAL {
			t.Errorf("name %q: %v", bad, err)
		}
		if err := r.c.Rename(Req{}, 1, "ok", 1, bad, 0); err != abi.EINVAL {
			t.Errorf("new name %q: %v", bad, err)
		}
	}
	if c := NewLazyClient(func() (*ipc.ClientBinding, error) { return nil, unix.EIO }); c.Unlink(Req{}, 1, "x") != abi.EIO {
		t.Error("no binding")
	}
	r.srv.Stop()
	if err := <-r.served; err != nil {
		t.Error(err)
	}
}

func TestMap(t *testing.T) {
	r := newRig(t)
	obj, fd, e := r.srv.Conn.CreateObject(8192, "file")
	if e != 0 {
		t.Fatal(e)
	}
	r.m.obj.Store(uint64(obj))
	if _, err := unix.Pwrite(fd, []byte("mapped"), 4096); err != nil {
		t.Fatal(err)
	}
	for _, use := range []MapUse{MapToRead, MapToShow, MapToWrite} {
		write := use == MapToWrite
		fd, out, err := r.c.MapFD(Req{}, 5, use)
		if err != 0 || out.Writable != write || !out.Stable {
			t.Fatal(out, err)
		}
		b := make([]byte, 6)
		if _, err := unix.Pread(fd, b, 4096); err != nil || string(b) != "mapped" {
			t.Fatal(err, b)
		}
		if _, err := unix.Pwrite(fd, b, 0); (err == nil) != write {
			t.Errorf("write=%v: pwrite %v", write, err)
		}
		ipc.CloseFD(fd)
	}
	if out, err := r.c.Map(Req{}, 5, MapToShow); err != 0 || out.Tag == 0 {
		t.Fatal(out, err)
	}
	r.m.obj.Store(9999)
	if _, _, err := r.c.MapFD(Req{}, 5, MapToShow); err != abi.EINVAL {
		t.Fatal(err)
	}
}

// TestRestart ends the server again and again under load: no call fails.
func TestRestart(t *testing.T) {
	r := newRig(t)
	var stop atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				e, err := r.c.GetAttr(Req{Client: uint32(g), Seq: uint64(i)}, NodeID(i))
				if err != 0 || e != fill[Entry](r.m) {
					t.Error(err)
					return
				}
				calls.Add(1)
			}
		})
	}
	for range 20 {
		for n := calls.Load(); calls.Load() < n+20; runtime.Gosched() {
		}
		r.srv.Stop()
		if err := <-r.served; err != nil {
			t.Error(err)
		}
		r.start(t)
	}
	stop.Store(true)
	wg.Wait()
}

type parallel struct {
	*mirror
	in   chan struct{}
	gone chan uint64
}

func (p *parallel) Workers() int     { return 2 }
func (p *parallel) Unbind(id uint64) { p.gone <- id }
func (p *parallel) Lookup(r Req, d NodeID, n string) (Entry, abi.Errno) {
	if n == "slow" {
		<-p.in // answered by the other call
	} else {
		p.in <- struct{}{}
	}
	return Entry{}, 0
}

func TestWorkersAndUnbind(t *testing.T) {
	n := ipctest.New(t)
	srv := n.Start("fs", "")
	p := &parallel{&mirror{}, make(chan struct{}), make(chan uint64, 1)}
	served := make(chan error, 1)
	go func() { served <- Serve(srv.Conn, srv.In, p) }()
	<-srv.Ready
	cl := n.Start("client", "", "fs")
	b, err := cl.In.Client(cl.Conn, "root", "fs", 8)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(b)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { c.Lookup(Req{}, 1, "slow") })
		c.Lookup(Req{}, 1, "fast")
		wg.Wait()
	}
	if e := cl.Conn.Unbind(b.ID); e != 0 {
		t.Fatal(e)
	}
	if id := <-p.gone; id != b.ID {
		t.Fatal(id)
	}
	if err := c.Unlink(Req{}, 1, "x"); err != abi.EIO {
		t.Error("call on a binding that was ended:", err)
	}
	// The server ends a binding while a call is in progress.
	if b, err = cl.In.Client(cl.Conn, "again", "fs", 8); err != nil {
		t.Fatal(err)
	}
	got := make(chan abi.Errno)
	go func() {
		_, err := NewClient(b).Lookup(Req{}, 1, "fast")
		got <- err
	}()
	if e := srv.Conn.Unbind(b.ID); e != 0 {
		t.Fatal(e)
	}
	if err := <-got; err != abi.EIO {
		t.Error("call in progress:", err)
	}
	select { // the call may have reached a worker
	case <-p.in:
	default:
	}
	srv.Kill()
	if err := <-served; err == nil {
		t.Error("Serve ended well on a dead channel")
	}
}

type noGrant struct{}

func (noGrant) Grant(uint64, abi.Name, bool, uint64) abi.Errno { return 0 }

// FuzzDispatch feeds any request to the decoders: no panic, no answer beyond the
// area.
func FuzzDispatch(f *testing.F) {
	for op := range uint64(52) {
		b := wire.AppendString(wire.AppendString(nil, "name"), "other")
		f.Add(op, uint64(1), uint64(2), uint64(3), uint64(4), b)
		f.Add(op, ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), bytes.Repeat([]byte{0xff}, 70))
	}
	out := make([]byte, abi.SlotOutSize)
	f.Fuzz(func(t *testing.T, op, a0, a1, a2, a3 uint64, in []byte) {
		m := &mirror{}
		m.seed.Store(a1)
		q := ipc.Request{Kind: abi.KindService, Nr: op, Args: [8]uint64{a0, a1, a2, a3, 0, 0, a0, a1}}
		_, n, _ := dispatch(1, &q, in, out, m, granting{m, noGrant{}})
		if n < 0 || n > len(out) {
			t.Fatalf("%d bytes", n)
		}
	})
}

// FuzzEntries: entries of directories that are read go back, as far as they fit.
func FuzzEntries(f *testing.F) {
	m := &listing{list: []DirEntry{{1, 2, 3, "name"}, {4, 5, 6, ""}}}
	out := make([]byte, abi.SlotOutSize)
	_, n, _ := dispatch(1, &ipc.Request{Nr: OpReadDir}, nil, out, m, nil)
	f.Add(bytes.Clone(out[:n]))
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, ok := loadReadDir(0, b)
		if !ok {
			return
		}
		m.list = list
		_, n, err := dispatch(1, &ipc.Request{Nr: OpReadDir}, nil, out, m, nil)
		if again, ok := loadReadDir(0, out[:n]); err != 0 || !ok || len(list) > 0 && !reflect.DeepEqual(again, list[:len(again)]) || len(b) < MaxRead && len(again) != len(list) {
			t.Fatalf("entries do not go back: %v", err)
		}
	})
}

type listing struct {
	Server
	list []DirEntry
}

func (l *listing) ReadDir(Req, NodeID, uint64, int) ([]DirEntry, abi.Errno) { return l.list, 0 }

func BenchmarkGetAttr(b *testing.B) {
	r := newRig(b)
	r.c.GetAttr(Req{}, 1)
	b.ReportAllocs()
	for b.Loop() {
		r.c.Fsync(Req{}, 1, false)
	}
}

func BenchmarkRead4K(b *testing.B) {
	r := newRig(b)
	buf := make([]byte, 4096)
	b.SetBytes(4096)
	for b.Loop() {
		r.c.Read(Req{}, 1, 0, buf)
	}
}
