//go:build plan9

// Command names uses what only Plan 9 has: name spaces, the environment and processes as
// files, notes, semaphores, rendezvous, words as errors. Each line that it writes says
// whether something is as the manual has it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

func ok(what string, good bool) { fmt.Println(what, good) }

func read(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(b)
}

// dot is what the system says of the current directory.
func dot() string {
	first, _, _ := strings.Cut(read(fmt.Sprintf("/proc/%d/fd", os.Getpid())), "\n")
	return first
}

// pwd is where a program of another system is.
func pwd() string {
	b, err := exec.Command("/bin/pwd", "-P").Output()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// list are the names in a directory, sorted.
func list(dir string) string {
	f, err := os.Open(dir)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	l, err := f.Readdirnames(-1)
	if err != nil {
		return err.Error()
	}
	slices.Sort(l)
	return strings.Join(l, " ")
}

func main() {
	runtime.LockOSThread()
	dir, err := os.MkdirTemp("", "names")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	a, b := dir+"/a", dir+"/b"
	for _, d := range []string{a, b} {
		os.Mkdir(d, 0o755)
		os.WriteFile(d+"/same", []byte(d), 0o644)
	}
	os.WriteFile(a+"/only-a", []byte("a"), 0o644)
	os.WriteFile(b+"/only-b", []byte("b"), 0o644)

	// A name space of its own, so that nobody else sees what is bound.
	_, _, e := syscall.RawSyscall(syscall.SYS_RFORK, syscall.RFNAMEG, 0, 0)
	ok("rfork", e == 0)
	ok("bind", syscall.Bind(a, b, 0) == nil)
	ok("replaced", read(b+"/same") == a && read(b+"/only-a") == "a" && strings.Contains(read(b+"/only-b"), "does not exist"))
	ok("ns", strings.Contains(read(fmt.Sprintf("/proc/%d/ns", os.Getpid())), "bind "+a+" "+b))
	was, _ := os.Getwd()
	ok("chdir to what is bound", os.Chdir(b) == nil && dot() == b && read("only-a") == "a" && read("../a/same") == a && pwd() == a)
	ok("chdir", os.Chdir("../a") == nil && dot() == a && pwd() == a)
	ok("chdir to a service", os.Chdir("/env") == nil && dot() == "/env" && os.WriteFile("fruit", []byte("pear"), 0o666) == nil && read("../env/fruit") == "pear" && pwd() == "/")
	ok("chdir to a file", os.Chdir("fruit") != nil && dot() == "/env")
	ok("and back", os.Chdir(was) == nil && dot() == was && pwd() == was)
	ok("unmount", syscall.Unmount("", b) == nil)
	ok("as before", read(b+"/same") == b && read(b+"/only-b") == "b")
	ok("bind before", syscall.Bind(a, b, 1|4) == nil)
	ok("union", read(b+"/same") == a && read(b+"/only-a") == "a" && read(b+"/only-b") == "b")
	ok("list of a union", list(b) == "only-a only-b same same" && list(b) == list(b+"/."))
	union, _ := syscall.Open(b, syscall.O_RDONLY)
	unionName, err := syscall.Fd2path(union)
	ok("name of a union", err == nil && unionName == b)
	syscall.Close(union)
	ok("create in the first", os.WriteFile(b+"/new", nil, 0o644) == nil && read(a+"/new") == "")
	ok("unmount one", syscall.Unmount(a, b) == nil && read(b+"/same") == b)
	ok("bind of nothing", syscall.Bind(dir+"/none", b, 0) != nil)
	ok("a file on a directory", syscall.Bind(a+"/same", b, 0) != nil)

	// The environment.
	ok("env", os.WriteFile("/env/fruit", []byte("apple"), 0o666) == nil && read("/env/fruit") == "apple" && read("#e/fruit") == "apple")
	ok("env list", strings.Contains(list("/env"), "fruit"))
	ok("env remove", os.Remove("/env/fruit") == nil && strings.Contains(read("/env/fruit"), "does not exist"))

	// What the starter, of another system, calls otherwise.
	ok("path of PATH", read("/env/path") == strings.ReplaceAll(read("/env/PATH"), ":", "\x00") && strings.Contains(read("/env/path"), "\x00"))
	ok("a program in path", exec.Command("true").Run() == nil)
	ok("home", read("/env/home") == read("/env/HOME"))
	ok("roots of trust", strings.Contains(read("/sys/lib/tls/ca.pem"), "BEGIN CERTIFICATE") && read("/sys/lib/tls/ca.pem") == read("/etc/ssl/certs/ca-certificates.crt"))

	roots := read("/etc/ssl/certs/ca-certificates.crt")
	ok("roots are not removed", os.Remove("/sys/lib/tls/ca.pem") != nil && read("/etc/ssl/certs/ca-certificates.crt") == roots)
	ok("roots are not made anew", os.WriteFile("/sys/lib/tls/ca.pem", []byte("others"), 0o644) != nil && read("/etc/ssl/certs/ca-certificates.crt") == roots)

	// Removed on close, with the last descriptor.
	const orclose = 64
	os.WriteFile(dir+"/gone", []byte("x"), 0o644)
	fd, err := syscall.Open(dir+"/gone", orclose)
	twice, _ := syscall.Dup(fd, -1)
	syscall.Close(fd)
	ok("open still", err == nil && read(dir+"/gone") == "x")
	syscall.Close(twice)
	ok("removed on close", strings.Contains(read(dir+"/gone"), "does not exist"))
	// A process with nothing but system calls, since Go's have several of them.
	made, _ := syscall.BytePtrFromString(dir + "/made")
	child, _, _ := syscall.RawSyscall(syscall.SYS_RFORK, syscall.RFPROC|syscall.RFFDG, 0, 0)
	if child == 0 {
		syscall.RawSyscall(syscall.SYS_CREATE, addrOf(made), orclose, 0o600)
		syscall.RawSyscall(syscall.SYS_EXITS, 0, 0, 0)
	}
	var w syscall.Waitmsg
	err = syscall.Await(&w)
	ok("removed at the end", err == nil && w.Pid == int(child) && strings.Contains(read(dir+"/made"), "does not exist"))

	// What is posted for others.
	var ends [2]int
	syscall.Pipe(ends[:])
	post := "names" + fmt.Sprint(os.Getpid())
	s, err := syscall.Create("/srv/"+post, syscall.O_WRONLY, 0o600)
	ok("srv", err == nil)
	_, err = syscall.Open("/srv/"+post, syscall.O_RDWR)
	ok("srv of nothing", err != nil)
	_, err = syscall.Write(s, []byte("1000"))
	ok("srv of what is not open", err != nil)
	_, err = syscall.Write(s, []byte(fmt.Sprint(ends[0])))
	ok("posted", err == nil && strings.Contains(list("/srv"), post) && list("/srv") == list("#s"))
	_, err = syscall.Write(s, []byte(fmt.Sprint(ends[1])))
	ok("posted twice", err != nil)
	syscall.Close(s)
	syscall.Close(ends[0])
	s, err = syscall.Open("#s/"+post, syscall.O_RDWR)
	fmt.Fprint(os.NewFile(uintptr(s), post), "hello")
	var hello [10]byte
	n, _ := syscall.Read(ends[1], hello[:])
	ok("opened", err == nil && string(hello[:n]) == "hello")
	_, err = syscall.Create("/srv/"+post, syscall.O_WRONLY, 0o600)
	ok("srv once", err != nil)
	ok("srv removed", os.Remove("/srv/"+post) == nil && !strings.Contains(list("/srv"), post))
	syscall.Close(s)
	n, err = syscall.Read(ends[1], hello[:])
	ok("nobody has it", n == 0 && err == nil)

	// Processes and devices.
	me := fmt.Sprint(os.Getpid())
	ok("pid", strings.TrimSpace(read("/dev/pid")) == me || runtime.NumCPU() > 0 && strings.TrimSpace(read("#c/pid")) != "")
	ok("status", strings.HasPrefix(read("/proc/"+me+"/status"), "names"))
	ok("time", len(read("/dev/time")) == 12+3*22)
	ok("sysname", read("/dev/sysname") != "" && read("/dev/user") != "")
	ok("no process", strings.Contains(read("/proc/999999/status"), "does not exist"))
	ok("null", read("/dev/null") == "")
	fd, _ = syscall.Open("/dev/zero", syscall.O_RDONLY)
	ok("fd", strings.HasPrefix(strings.TrimSpace(read(fmt.Sprintf("#d/%dctl", fd))), fmt.Sprint(fd)))
	name, err := syscall.Fd2path(fd)
	ok("fd2path", err == nil && name == "/dev/zero")
	again, err := syscall.Open(fmt.Sprintf("/fd/%d", fd), syscall.O_RDONLY)
	ok("dup by name", err == nil && again != fd)
	_, err = syscall.Open(fmt.Sprintf("/fd/%d", fd), syscall.O_WRONLY)
	ok("dup for what it is not open for", err != nil)
	ok("an unknown device", strings.Contains(read("#z/x"), "no such device"))

	// Semaphores, shared by processes that share memory.
	sem := new(int32)
	ok("semacquire without one", call(syscall.SYS_SEMACQUIRE, addr(sem), 0) == 0)
	ok("semrelease", call(syscall.SYS_SEMRELEASE, addr(sem), 2) == 2)
	ok("semacquire", call(syscall.SYS_SEMACQUIRE, addr(sem), 0) == 1 && *sem == 1)
	ok("tsemacquire", call(syscall.SYS_TSEMACQUIRE, addr(sem), 10) == 1 && call(syscall.SYS_TSEMACQUIRE, addr(sem), 10) == 0)
	ok("a negative count", call(syscall.SYS_SEMRELEASE, addr(sem), ^uintptr(0)) == -1)
	got := make(chan int)
	go func() {
		runtime.LockOSThread()
		got <- call(syscall.SYS_SEMACQUIRE, addr(sem), 1)
	}()
	call(syscall.SYS_SEMRELEASE, addr(sem), 1)
	ok("from another process", <-got == 1)
	go func() {
		runtime.LockOSThread()
		got <- call(syscall.SYS_RENDEZVOUS, 77, 5)
	}()
	ok("rendezvous", call(syscall.SYS_RENDEZVOUS, 77, 6) == 5 && <-got == 6)

	// Segments: zero, shared with who shares memory, gone when they are detached.
	class, _ := syscall.BytePtrFromString("memory")
	other, _ := syscall.BytePtrFromString("physical")
	none := ^uintptr(0)
	attach := func(class *byte, at, size uintptr) uintptr {
		r, _, _ := syscall.Syscall6(syscall.SYS_SEGATTACH, 0, addrOf(class), at, size, 0, 0)
		if int32(r) == -1 {
			return none
		}
		return r
	}
	at := attach(class, 0, 100_000)
	ok("segattach", at != none && *word(at) == 0 && *word(at + 98_000) == 0)
	ok("another class", attach(other, 0, 4096) == none)
	ok("in its place", attach(class, at+4096, 4096) == none && attach(class, 1<<40, 4096) == none)
	second := attach(class, at-1<<20, 4096)
	ok("where it is wanted", second == at-1<<20)
	*word(at) = 7
	go func() {
		runtime.LockOSThread()
		*word(at + 4096) = *word(at) + 1
		got <- 0
	}()
	<-got
	ok("shared", *word(at + 4096) == 8)
	ok("segfree", call(syscall.SYS_SEGFREE, at, 4096) == 0 && *word(at) == 0 && *word(at + 4096) == 8)
	ok("segbrk", call(syscall.SYS_SEGBRK, second, second+8192) == 0 && *word(second + 4096) == 0 && call(syscall.SYS_SEGBRK, second, at+1) == -1)
	ok("brk into it", call(syscall.SYS_BRK_, second+1, 0) == -1)
	ok("segdetach", call(syscall.SYS_SEGDETACH, second, 0) == 0 && call(syscall.SYS_SEGDETACH, second, 0) == -1)
	ok("of what is none", call(syscall.SYS_SEGDETACH, addr(sem), 0) == -1 && call(syscall.SYS_SEGDETACH, 4096, 0) == -1)
	*word(at + 8192) = 9
	ok("anew", call(syscall.SYS_SEGDETACH, at, 0) == 0 && attach(class, at, 100_000) == at && *word(at + 8192) == 0)
	for range 10 {
		second = attach(class, 0, 4096)
	}
	ok("no more than there may be", second == none && attach(class, 0, none) == none)
	ok("rfork of both", call(syscall.SYS_RFORK, syscall.RFNAMEG|syscall.RFCNAMEG, 0) == -1)
	ok("alarm", call(syscall.SYS_ALARM, 5000, 0) == 0 && call(syscall.SYS_ALARM, 0, 0) > 1000)
}
