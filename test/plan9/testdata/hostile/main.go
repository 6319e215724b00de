//go:build plan9

// Command hostile calls with addresses that are none, with numbers that are no calls,
// executes files that are no programs, and makes names, values and notes without end. As
// "hostile others PID" it tries to reach a process of another user, as "hostile close FILE"
// to have its own user remove a file that belongs to another by closing it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// calls are calls with their arguments; bad stands for an address.
var calls = []struct {
	name string
	nr   uintptr
	args []uintptr
}{
	{"bind", syscall.SYS_BIND, []uintptr{bad, bad, 0}}, {"chdir", syscall.SYS_CHDIR, []uintptr{bad}}, {"exec", syscall.SYS_EXEC, []uintptr{bad, 0}},
	{"exec arguments", syscall.SYS_EXEC, []uintptr{name, bad}}, {"open", syscall.SYS_OPEN, []uintptr{bad, 0}}, {"pipe", syscall.SYS_PIPE, []uintptr{bad}},
	{"create", syscall.SYS_CREATE, []uintptr{bad, 0, 0}}, {"fd2path", syscall.SYS_FD2PATH, []uintptr{zero, bad, 100}},
	{"remove", syscall.SYS_REMOVE, []uintptr{bad}}, {"unmount", syscall.SYS_UNMOUNT, []uintptr{0, bad}}, {"semacquire", syscall.SYS_SEMACQUIRE, []uintptr{bad, 0}},
	{"semrelease", syscall.SYS_SEMRELEASE, []uintptr{bad, 1}}, {"tsemacquire", syscall.SYS_TSEMACQUIRE, []uintptr{bad, 1}},
	{"seek", syscall.SYS_SEEK, []uintptr{bad, file, 0, 0}}, {"errstr", syscall.SYS_ERRSTR, []uintptr{bad, 100}}, {"stat", syscall.SYS_STAT, []uintptr{bad, bad, 100}},
	{"stat buffer", syscall.SYS_STAT, []uintptr{name, bad, 100}}, {"fstat", syscall.SYS_FSTAT, []uintptr{zero, bad, 100}},
	{"wstat", syscall.SYS_WSTAT, []uintptr{name, bad, 100}}, {"fwstat", syscall.SYS_FWSTAT, []uintptr{file, bad, 100}},
	{"pread", syscall.SYS_PREAD, []uintptr{zero, bad, 10, ^uintptr(0)}}, {"pread of a directory", syscall.SYS_PREAD, []uintptr{dir, bad, 1000, 0}},
	{"pread of a service", syscall.SYS_PREAD, []uintptr{env, bad, 1000, 0}}, {"pwrite", syscall.SYS_PWRITE, []uintptr{1, bad, 10, ^uintptr(0)}},
	{"nsec", syscall.SYS_NSEC, []uintptr{bad}}, {"fauth", syscall.SYS_FAUTH, []uintptr{zero, bad}},
	{"fversion", syscall.SYS_FVERSION, []uintptr{zero, 8192, bad, 100}},
}

// Arguments that are put in place.
const (
	bad = 1<<40 + iota
	dir
	env
	file
	name
	zero
)

func main() {
	switch {
	case os.Getenv("WAIT") != "":
		for {
			time.Sleep(time.Hour)
		}
	case len(os.Args) == 3 && os.Args[1] == "others":
		others("/proc/" + os.Args[2])
		return
	case len(os.Args) == 3 && os.Args[1] == "post":
		post(os.Args[2])
		return
	case len(os.Args) == 3:
		closes(os.Args[2])
		return
	case len(os.Args) == 2:
		os.Exit(3) // a program that was spoilt where it does not matter
	}
	tmp, err := os.MkdirTemp("", "hostile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(tmp)
	prog := filepath.Join(tmp, "a")
	os.WriteFile(prog, nil, 0o755)
	f, _ := syscall.Open(prog, syscall.O_RDWR)
	d, _ := syscall.Open("/", 0)
	v, _ := syscall.Open("/env", 0)
	z, _ := syscall.Open("/dev/zero", 0)
	p, _ := syscall.BytePtrFromString(prog)
	runtime.LockOSThread() // whose children these are
	exe, _ := os.Executable()
	// In a copy of this process, without a handler, the note of a call ends it.
	ends := func(what, how string, nr uintptr, a *[6]uintptr) {
		r, _, _ := syscall.RawSyscall(syscall.SYS_RFORK, syscall.RFPROC|syscall.RFFDG, 0, 0)
		if r == 0 {
			syscall.RawSyscall(syscall.SYS_NOTIFY, 0, 0, 0)
			syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
			for {
				syscall.RawSyscall(syscall.SYS_EXITS, 0, 0, 0)
			}
		}
		var w syscall.Waitmsg
		if err := syscall.Await(&w); err != nil || w.Pid != int(r) || !strings.Contains(w.Msg, how) {
			fmt.Printf("%s(%#x): %v %q\n", what, *a, err, w.Msg)
		}
	}
	for _, c := range calls {
		for _, at := range []uintptr{8, 0x7fff_ffff_0000, ^uintptr(0) - 7} {
			var a [6]uintptr
			for i, x := range c.args {
				switch x {
				case bad:
					x = at
				case dir:
					x = uintptr(d)
				case env:
					x = uintptr(v)
				case file:
					x = uintptr(f)
				case name:
					x = pointer(p)
				case zero:
					x = uintptr(z)
				}
				a[i] = x
			}
			ends(c.name, "sys: bad address in syscall", c.nr, &a)
		}
	}
	for _, nr := range []uintptr{1, 9, 54, 500, 767, 768, 1 << 20, 1<<31 - 1} {
		ends("number", "sys: bad sys call", nr, new([6]uintptr))
	}
	self, err := os.ReadFile(exe)
	if err != nil {
		fmt.Println(err)
	}
	for _, n := range []int{0, 1, 7, 16, 31, 32, 39, 40, 41, 100, 4095, 4096, 1 << 20} {
		try(filepath.Join(tmp, fmt.Sprint("short", n)), self[:n])
	}
	for _, i := range []int{0, 1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 33, 34, 35, 36} {
		// The first byte of a field of the header spoilt, or one of the magic number or
		// the upper half of the entry: an error, or a program that ends somehow.
		b := append([]byte(nil), self...)
		b[i] ^= 0xff
		try(filepath.Join(tmp, fmt.Sprint("spoilt", i)), b)
	}
	values()
	gone()
	names(tmp)
	notes()
	fmt.Println("done")
}

func try(prog string, b []byte) {
	if err := os.WriteFile(prog, b, 0o755); err != nil {
		fmt.Println(err)
	}
	p, err := os.StartProcess(prog, []string{prog, "again"}, &os.ProcAttr{})
	if err != nil {
		if !strings.Contains(err.Error(), "exec header invalid") && !strings.Contains(err.Error(), "memory") {
			fmt.Println(err)
		}
		return
	}
	if _, err := p.Wait(); err != nil {
		fmt.Println(prog, err)
	}
}

// expect says what went otherwise than it should: an error with such words, or none.
func expect(what, how string, err error) {
	if got := fmt.Sprint(err); how == "" && err != nil || !strings.Contains(got, how) {
		fmt.Println(what+":", got)
	}
}

// values makes variables that are too long, at places that are none, and too many.
func values() {
	f, err := os.Create("/env/hostile")
	expect("a variable", "", err)
	for _, at := range []int64{1<<20 - 1, 1 << 20, 1 << 40, 1<<63 - 2, 1<<63 - 1} {
		_, err := f.WriteAt([]byte("ab"), at)
		expect(fmt.Sprint("a variable at ", at), "file too big", err)
		_, err = f.Seek(at, 0)
		expect("seek", "", err)
		_, err = f.Write([]byte("ab"))
		expect(fmt.Sprint("a variable further than ", at), "file too big", err)
		n, err := f.ReadAt(make([]byte, 10), at)
		if n != 0 {
			fmt.Println("read", n, err)
		}
	}
	f.Close()
	os.Remove("/env/hostile")
	big := make([]byte, 1<<20)
	n := 0
	for ; n < 100 && (err == nil || errors.Is(err, io.ErrShortWrite)); n++ {
		err = os.WriteFile(fmt.Sprint("/env/big", n), big, 0o666) // the last one as far as there is room
	}
	expect(fmt.Sprint(n, " large variables"), "file system full", err)
	for i := range n {
		os.Remove(fmt.Sprint("/env/big", i))
	}
	expect("room again", "", os.WriteFile("/env/big", big, 0o666))
	os.Remove("/env/big")
}

// gone asks for the names of open files of what was removed.
func gone() {
	ctl, err := os.OpenFile("/net/tcp/clone", os.O_RDWR, 0)
	expect("a conversation", "", err)
	n, err := io.ReadAll(ctl)
	expect("its number", "", err)
	dir, err := os.Open("/net/tcp/" + string(n))
	expect("its directory", "", err)
	ctl.Close()
	srv, err := os.OpenFile("/srv/gone"+fmt.Sprint(os.Getpid()), os.O_CREATE|os.O_WRONLY, 0o600)
	expect("an entry", "", err)
	expect("remove it", "", os.Remove(srv.Name()))
	env, err := os.Create("/env/gone")
	expect("a variable", "", err)
	expect("remove it", "", os.Remove("/env/gone"))
	for f, want := range map[*os.File]string{dir: "/net", srv: "/srv", env: "/env"} {
		if name, err := syscall.Fd2path(int(f.Fd())); err != nil || name != want {
			fmt.Println("the name of", f.Name(), "is", name, err)
		}
		f.Close()
	}
}

// names makes name spaces whose names lead in circles, to other names without end, and to
// ever longer ones, and unions and name spaces of ever more.
func names(tmp string) {
	in := func(f func(at func(i int) string)) {
		// In a name space of its own.
		syscall.RawSyscall(syscall.SYS_RFORK, 1<<10, 0, 0) // RFCNAMEG
		f(func(i int) string { return filepath.Join(tmp, fmt.Sprint("d", i)) })
	}
	const many = 520
	for i := range many {
		os.Mkdir(filepath.Join(tmp, fmt.Sprint("d", i)), 0o777)
	}
	in(func(at func(i int) string) {
		expect("bind", "", syscall.Bind(at(0), at(1), syscall.MREPL))
		expect("bind back", "", syscall.Bind(at(1), at(0), syscall.MREPL))
		expect("to itself", "", syscall.Bind(at(2), at(2), syscall.MREPL))
		expect("the root", "", syscall.Bind("/", at(3), syscall.MREPL))
		expect("over the root", "", syscall.Bind(at(3), "/", syscall.MBEFORE))
		_, err := os.Stat(at(0) + strings.Repeat("/a", 1000))
		expect("in a circle", "not exist", err)
	})
	in(func(at func(i int) string) {
		// The last ones first, so that no name is followed when it is bound.
		for i := 40; i > 0; i-- {
			expect("a chain", "", bindTo(at(i), at(i-1)))
		}
		_, err := os.Stat(at(20))
		expect("the end of a chain", "", err)
		_, err = os.Stat(at(0))
		if err != nil {
			expect("a chain", "too many", err)
		}
	})
	in(func(at func(i int) string) {
		long := at(0) + strings.Repeat("/"+strings.Repeat("x", 200), 15)
		expect("a long name", "", os.MkdirAll(long, 0o777))
		expect("bind of it", "", syscall.Bind(long, at(1), syscall.MREPL))
		_, err := os.Stat(at(1) + strings.Repeat("/"+strings.Repeat("y", 200), 10))
		expect("a name that grows", "name too long", err)
	})
	in(func(at func(i int) string) {
		n := 0
		var err error
		for ; n < 100 && err == nil; n++ {
			err = syscall.Bind(at(1), at(0), syscall.MAFTER)
		}
		expect(fmt.Sprint("a union of ", n), "file system full", err)
		_, err = os.Stat(at(0) + "/nothing")
		expect("in a union", "not exist", err)
	})
	in(func(at func(i int) string) {
		n := 0
		var err error
		for ; n < many && err == nil; n++ {
			err = bindTo(tmp, at(n))
		}
		expect(fmt.Sprint(n, " names"), "file system full", err)
		expect("a name with a line in it", "bad arg", bindTo(tmp+"\n", at(0)))
	})
	in(func(func(int) string) {})
}

func bindTo(name, old string) error { return syscall.Bind(name, old, syscall.MREPL) }

// notes sends more of them than wait for a process that takes none.
func notes() {
	exe, _ := os.Executable()
	p, err := os.StartProcess(exe, []string{exe}, &os.ProcAttr{Env: []string{"WAIT=1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := fmt.Sprint("/proc/", p.Pid)
	expect("stop", "", os.WriteFile(at+"/ctl", []byte("stop"), 0))
	expect("a long note", "too large", os.WriteFile(at+"/note", []byte(strings.Repeat("x", 1000)), 0))
	for n := range 7 {
		how := ""
		if n >= 5 {
			how = "note not posted"
		}
		expect(fmt.Sprint("note ", n), how, os.WriteFile(at+"/note", []byte(fmt.Sprint("hello ", n)), 0))
	}
	expect("kill", "", os.WriteFile(at+"/ctl", []byte("kill"), 0))
	p.Wait()
}

// others tries to reach a process of another user.
func others(at string) {
	for _, name := range []string{"note", "notepg", "ctl"} {
		_, err := os.OpenFile(at+"/"+name, os.O_WRONLY, 0)
		expect(name, "permission denied", err)
	}
	for _, name := range []string{"ns", "fd"} {
		_, err := os.Open(at + "/" + name)
		expect(name, "permission denied", err)
	}
	_, err := os.ReadFile(at + "/status")
	expect("status", "", err)
	fmt.Println("done")
}

const (
	removeOnClose = 64
	posted        = "/srv/removed-on-close"
)

// post has others find an open file that is removed when it is closed last, and files that
// are told what to do.
func post(name string) {
	f, err := syscall.Open(name, removeOnClose)
	expect("open", "", err)
	ctl, err := syscall.Open("/net/tcp/clone", syscall.O_RDWR)
	expect("a conversation", "", err)
	for suffix, fd := range map[string]int{"": f, "-ctl": ctl} {
		srv, err := syscall.Create(posted+suffix, syscall.O_WRONLY, 0o666)
		expect("create", "", err)
		_, err = syscall.Write(srv, fmt.Append(nil, fd))
		expect("post", "", err)
		_, err = syscall.Write(srv, fmt.Append(nil, fd))
		expect("post again", "in use", err)
		syscall.Close(srv)
	}
	_, err = syscall.Write(ctl, []byte("announce 80"))
	expect("announce", "permission denied", err)
}

// closes closes such a file as the last one: of another user, who may not remove it, and
// its own, which has another name meanwhile; and writes to what such a user posted.
func closes(name string) {
	c := exec.Command("/usr/bin/setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", os.Args[0], "post", name)
	b, err := c.CombinedOutput()
	expect("another user: "+string(b), "", err)
	if len(b) > 0 {
		fmt.Printf("another user: %s", b)
	}
	ctl, err := os.OpenFile(posted+"-ctl", os.O_RDWR, 0)
	expect("open", "", err)
	_, err = ctl.WriteString("announce 80")
	expect("announce for another", "permission denied", err)
	ctl.Close()
	os.Remove(posted + "-ctl")
	fd, err := syscall.Open(posted, 0)
	expect("open", "", err)
	expect("remove the entry", "", os.Remove(posted))
	expect("close", "", syscall.Close(fd))
	_, err = os.Stat(name)
	expect("it is there", "", err)

	fd, err = syscall.Open(name, removeOnClose)
	expect("open", "", err)
	expect("remove it", "", os.Remove(name))
	expect("another of its name", "", os.WriteFile(name+" (deleted)", nil, 0o644))
	expect("close", "", syscall.Close(fd))
	_, err = os.Stat(name + " (deleted)")
	expect("the other is there", "", err)

	fd, err = syscall.Create(name, syscall.O_RDWR|removeOnClose, 0o600)
	expect("create", "", err)
	expect("rename", "", os.Rename(name, name+"2"))
	expect("close", "", syscall.Close(fd))
	_, err = os.Stat(name + "2")
	expect("renamed", "not exist", err)
	fmt.Println("done")
}
