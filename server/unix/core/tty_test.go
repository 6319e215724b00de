package core

import (
	"strings"
	"testing"

	"hythe/abi"
	"hythe/idl/fs"
)

// pty opens a pseudo-terminal and answers both sides; the caller, if it leads a
// session without a terminal, gets it as its own.
func (th *ioThread) pty() (master, slave int32) {
	th.tk.t.Helper()
	var e abi.Errno
	th.do(func(c *Call) {
		f, err := c.K.openPtmx(c, AccessRead|AccessWrite, 0)
		if err != 0 {
			e = err
			return
		}
		master, e = c.InstallFD(f, 0, 0)
	})
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	if _, e := th.ioctl(master, ioTIOCGPTPEER, 2); e != abi.EIO {
		th.tk.t.Fatal("locked:", e)
	}
	putLE32(th.mem, 0)
	th.ioctl(master, ioTIOCSPTLCK, ioBase)
	v, e := th.ioctl(master, ioTIOCGPTPEER, 2)
	if e != 0 {
		th.tk.t.Fatal(e)
	}
	th.nonblock(master, true)
	th.nonblock(int32(v), true)
	return master, int32(v)
}

// set changes the settings of a terminal.
func (th *ioThread) set(fd int32, change func(t *Termios)) {
	th.tk.t.Helper()
	th.ioctl(fd, ioTCGETS2, ioBase)
	t := getTermios(th.mem[:termios2Size], Termios{})
	change(&t)
	putTermios(th.mem[:termios2Size], &t)
	if _, e := th.ioctl(fd, ioTCSETS2, ioBase); e != 0 {
		th.tk.t.Fatal(e)
	}
}

func TestTTYCanonical(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	m, s := p.pty()
	for _, x := range []struct{ in, line, echo string }{
		{"abc\n", "abc\n", "abc\r\n"},
		{"abc\r", "abc\n", "abc\r\n"},
		{"abx\x7fc\n", "abc\n", "abx\b \bc\r\n"},
		{"\x7f\x7fz\n", "z\n", "z\r\n"},
		{"one two\x17x\n", "one x\n", "one two\b \b\b \b\b \bx\r\n"},
		{"gone\x15new\n", "new\n", "gone\b \b\b \b\b \b\b \bnew\r\n"},
		{"a\x01b\x7f\x7fc\n", "ac\n", "a^Ab\b \b\b \b\b \bc\r\n"},
		{"q\x16\x03\n", "q\x03\n", "q^\b^C\r\n"},
		{"a\tb\x7f\x7f\n", "a\n", "a\tb\b \b\b\b\b\b\b\b\b\r\n"},
		{"ab\x12c\n", "abc\n", "ab^R\r\nabc\r\n"},
		{"\x04", "", ""},
		{"part\x04", "part", "part"},
	} {
		if n, e := p.write(m, x.in); n != len(x.in) || e != 0 {
			t.Fatal(n, e)
		}
		if line, e := p.read(s, 100); line != x.line || e != 0 {
			t.Errorf("%q: read %q %v, want %q", x.in, line, e, x.line)
		}
		if echo, _ := p.read(m, 1000); echo != x.echo {
			t.Errorf("%q: echo %q, want %q", x.in, echo, x.echo)
		}
	}
	// A line is complete or it is not there; a restart forgets nothing.
	p.write(m, "uncomp")
	if _, e := p.read(s, 10); e != abi.EAGAIN || p.poll(s)&PollIn != 0 {
		t.Fatal(e)
	}
	tk.restart()
	p.write(m, "\x7flete\nmore\n")
	if l, _ := p.read(s, 4); l != "unco" {
		t.Fatal(l)
	}
	if l, _ := p.read(s, 100); l != "mlete\n" {
		t.Fatal(l)
	}
	if _, e := p.ioctl(s, ioFIONREAD, ioBase); e != 0 || le32(p.mem) != 5 {
		t.Fatal(e, le32(p.mem))
	}
	p.ioctl(s, ioTCFLSH, 0)
	if _, e := p.read(s, 10); e != abi.EAGAIN {
		t.Fatal(e)
	}
	// A line that is too long loses characters but can be ended.
	p.write(m, strings.Repeat("x", 5000)+"\n")
	total := 0
	for {
		l, e := p.read(s, 1000)
		if e != 0 {
			break
		}
		total += len(l)
		if strings.HasSuffix(l, "\n") {
			break
		}
	}
	if total != inSize-1 {
		t.Fatal(total)
	}
}

func TestTTYRaw(t *testing.T) {
	tk := newIOKernel(t)
	p, q := tk.proc(nil), tk.proc(nil)
	m, s := p.pty()
	raw := func(minimum, time uint8) {
		p.set(s, func(t *Termios) {
			t.Iflag &^= icrnl | ixon
			t.Oflag &^= opost
			t.Lflag &^= icanon | echo | isig | iexten
			t.CC[vmin], t.CC[vtime] = minimum, time
		})
	}
	raw(1, 0)
	p.write(m, "\x03\r\x04")
	if l, e := p.read(s, 10); l != "\x03\r\x04" || e != 0 {
		t.Fatalf("%q %v", l, e)
	}
	p.write(s, "a\nb")
	if o, _ := p.read(m, 10); o != "a\nb" {
		t.Fatalf("%q", o)
	}
	p.nonblock(s, false)
	qm := p.share(q, m)
	raw(3, 0)
	var n uint64
	var e abi.Errno
	read := func(c *Call) { n, e = c.ReadFD(s, ioBase, 10, -1) }
	done := p.start(read)
	q.write(qm, "12")
	q.write(qm, "34")
	p.wait(done)
	if n < 3 || e != 0 {
		t.Fatal(n, e)
	}
	p.ioctl(s, ioTCFLSH, 0)
	raw(0, 0)
	if l, e := p.read(s, 10); l != "" || e != 0 {
		t.Fatal(l, e)
	}
	raw(0, 5)
	done = p.start(read)
	tk.clock.advance(6e8)
	p.wait(done)
	if n != 0 || e != 0 {
		t.Fatal(n, e)
	}
	raw(5, 1)
	for len(tk.clock.armed) > 0 {
		<-tk.clock.armed
	}
	done = p.start(read)
	q.write(qm, "ab")
	<-tk.clock.armed // it waits again, now for the next character
	tk.clock.advance(2e8)
	p.wait(done)
	if n != 2 || e != 0 {
		t.Fatal(n, e)
	}
	// Bytes that lie there when the terminal becomes canonical are a line.
	raw(1, 0)
	p.write(m, "left")
	p.set(s, func(t *Termios) { t.Lflag |= icanon })
	if l, e := p.read(s, 10); l != "left" || e != 0 {
		t.Fatal(l, e)
	}
}

func TestTTYOutputAndFlow(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	m, s := p.pty()
	p.write(s, "a\n\tb")
	if o, _ := p.read(m, 100); o != "a\r\n\tb" {
		t.Fatalf("%q", o)
	}
	p.set(s, func(t *Termios) { t.Oflag |= xtabs })
	p.write(s, "\rx\ty")
	if o, _ := p.read(m, 100); o != "\rx       y" {
		t.Fatalf("%q", o)
	}
	p.write(m, "\x13")
	if _, e := p.write(s, "x"); e != abi.EAGAIN {
		t.Fatal("stopped:", e)
	}
	if p.poll(s)&PollOut != 0 {
		t.Fatal("writable although stopped")
	}
	p.write(m, "\x11")
	if n, e := p.write(s, "x"); n != 1 || e != 0 {
		t.Fatal(n, e)
	}
	n := 0
	for {
		k, e := p.write(s, strings.Repeat("\n", 10000))
		n += k
		if e == abi.EAGAIN {
			break
		}
		if e != 0 || n > 1<<20 {
			t.Fatal(n, e)
		}
	}
	if n < outSize/2-16 || n > outSize/2 {
		t.Fatal(n)
	}
}

func TestTTYPacketMode(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	m, s := p.pty()
	putLE32(p.mem, 1)
	p.ioctl(m, ioTIOCPKT, ioBase)
	p.write(s, "x")
	if o, _ := p.read(m, 10); o != "\x00x" {
		t.Fatalf("%q", o)
	}
	p.set(s, func(t *Termios) { t.Iflag &^= ixon })
	if p.poll(m)&PollPri == 0 {
		t.Fatal("no event")
	}
	if o, _ := p.read(m, 10); o != string(rune(pktNoStop)) {
		t.Fatalf("%q", o)
	}
}

func TestTTYSignalsAndJobs(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	m, s := p.pty()
	job := tk.proc(p)
	bg := tk.proc(p)
	if tk.Procs.Get(p.p).CTTY == 0 || tk.Procs.Get(job.p).CTTY == 0 {
		t.Fatal("no controlling terminal")
	}
	js, bs := p.share(job, s), p.share(bg, s)
	jpg := tk.Procs.Get(job.p).Pgid
	putLE32(p.mem, uint32(jpg))
	if _, e := p.ioctl(s, ioTIOCSPGRP, ioBase); e != 0 {
		t.Fatal(e)
	}
	p.ioctl(s, ioTIOCGPGRP, ioBase)
	if int32(le32(p.mem)) != jpg {
		t.Fatal(le32(p.mem))
	}
	p.write(m, "half\x03")
	if !tk.Procs.Get(job.p).Pending.Has(SIGINT) || tk.Procs.Get(bg.p).Pending != 0 || tk.Procs.Get(p.p).Pending != 0 {
		t.Fatal("SIGINT went elsewhere")
	}
	if o, _ := p.read(m, 100); o != "^C" && o != "half^C" {
		t.Fatalf("%q", o)
	}
	_ = js
	// The background may write, unless TOSTOP, but not read.
	if n, e := bg.write(bs, "x"); n != 1 || e != 0 {
		t.Fatal(n, e)
	}
	bg.nonblock(bs, true)
	if _, e := bg.read(bs, 1); e != abi.ErrRestart || !tk.Procs.Get(bg.p).Pending.Has(SIGTTIN) {
		t.Fatal(e)
	}
	tk.Enter()
	tk.discard(bg.p, ^SigSet(0))
	tk.Threads.Mut(bg.t).Mask = SigBit(SIGTTIN) | SigBit(SIGTTOU)
	tk.Leave()
	if _, e := bg.read(bs, 1); e != abi.EIO {
		t.Fatal("blocked SIGTTIN:", e)
	}
	// Size.
	copy(p.mem, "\x18\x00\x50\x00\x00\x00\x00\x00")
	p.ioctl(m, ioTIOCSWINSZ, ioBase)
	p.mem[0] = 0
	job.ioctl(js, ioTIOCGWINSZ, ioBase)
	if job.mem[0] != 24 || job.mem[2] != 80 {
		t.Fatal(job.mem[:8])
	}
	// Another session may not have it.
	x := tk.proc(nil)
	xs := p.share(x, s)
	if _, e := x.ioctl(xs, ioTIOCGPGRP, ioBase); e != abi.ENOTTY {
		t.Fatal(e)
	}
	if _, e := x.ioctl(xs, ioTIOCSCTTY, 0); e != abi.EPERM {
		t.Fatal(e)
	}
	if _, e := x.ioctl(xs, ioTIOCSTI, ioBase); e != abi.EIO {
		t.Fatal(e)
	}
	if _, e := x.ioctl(xs, 0x12345, 0); e != abi.ENOTTY {
		t.Fatal(e)
	}
	tk.Enter()
	dev, pg := tk.ttyNumbers(tk.Procs.Get(p.p).CTTY)
	tk.Leave()
	if Major(uint64(dev)) != 136 || pg != jpg {
		t.Fatal(dev, pg)
	}
	// The master closes: hang-up.
	tk.restart()
	p.close(m)
	if !tk.Procs.Get(p.p).Pending.Has(SIGHUP) || !tk.Procs.Get(job.p).Pending.Has(SIGHUP) {
		t.Fatal("no SIGHUP")
	}
	if tk.Procs.Get(job.p).CTTY != 0 {
		t.Fatal("the session kept its terminal")
	}
	if l, e := x.read(xs, 1); l != "" || e != 0 {
		t.Fatal(l, e)
	}
	if _, e := x.write(xs, "x"); e != abi.EIO {
		t.Fatal(e)
	}
	if x.poll(xs)&PollHup == 0 {
		t.Fatal("no hang-up")
	}
	for _, y := range []struct {
		th *ioThread
		fd int32
	}{{p, s}, {job, js}, {bg, bs}, {x, xs}} {
		y.th.close(y.fd)
	}
	if tk.TTYs.Len() != 0 {
		t.Fatal(tk.TTYs.Len())
	}
}

func TestPtySlaveClosed(t *testing.T) {
	tk := newIOKernel(t)
	p := tk.proc(nil)
	m, s := p.pty()
	p.write(s, "bye")
	p.close(s)
	if o, e := p.read(m, 10); o != "bye" || e != 0 {
		t.Fatal(o, e)
	}
	if _, e := p.read(m, 10); e != abi.EIO {
		t.Fatal(e)
	}
	if p.poll(m)&PollHup == 0 {
		t.Fatal("no hang-up")
	}
	tk.Enter()
	d := tk.NewDevPts()
	c := tk.KernelCall()
	list, e := d.ReadDir(c, fs.RootID, 0, 1000)
	if e != 0 || len(list) != 2 || list[1].Name != "0" {
		t.Error(list, e)
	}
	if rest, _ := d.ReadDir(c, fs.RootID, list[1].Next, 1000); len(rest) != 0 {
		t.Error(rest)
	}
	n, e := d.Lookup(c, fs.RootID, "0")
	a, e2 := d.Attr(c, n)
	if e != 0 || e2 != 0 || a.Rdev != MakeDev(136, 0) || a.Mode != fs.TypeChr|0o620 {
		t.Error(a, e, e2)
	}
	if _, e := d.Lookup(c, fs.RootID, "00"); e != abi.ENOENT {
		t.Error(e)
	}
	tk.Leave()
}
