//go:build plan9

// Command mount mounts servers of 9P that are its own: one that serves a tree, and such
// that serve nothing or anything. Each line that it writes says whether something is as the
// manual has it.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func ok(what string, good bool, more ...any) {
	if good {
		more = nil
	}
	fmt.Println(append([]any{what, good}, more...)...)
}

// pipe answers the ends of one.
func pipe() (*os.File, *os.File) {
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return os.NewFile(uintptr(p[0]), "client"), os.NewFile(uintptr(p[1]), "server")
}

func mount(f *os.File, at string, flag int, tree string) error {
	return syscall.Mount(int(f.Fd()), -1, at, flag, tree)
}

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

func says(err error, words string) bool { return err != nil && strings.Contains(err.Error(), words) }

func main() {
	if len(os.Args) == 2 && os.Args[1] != "fetch" {
		child(os.Args[1])
		return
	}
	if len(os.Args) >= 3 { // the other process: mounts what was posted
		other(os.Args[1], os.Args[2])
		return
	}
	dir, err := os.MkdirTemp("", "mount")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	at, local := dir+"/n", dir+"/local"
	os.Mkdir(at, 0o755)
	os.Mkdir(local, 0o755)
	if len(os.Args) == 2 {
		fetched(at)
		return
	}
	os.WriteFile(local+"/mine", []byte("local"), 0o644)

	client, end := pipe()
	s := newServer(end)
	done := make(chan error)
	go func() {
		err := s.run()
		end.Close()
		done <- err
	}()
	ok("no such tree", says(mount(client, at, 0, "other"), "there is no tree other"))
	ok("a tree on a file", mount(client, local+"/mine", 0, "") != nil)
	ok("no flag", mount(client, at, 1<<20, "") != nil)
	err = mount(client, at, 4, "")
	ok("mount", err == nil, err)
	files(at)
	ok("nothing is left open", s.count() == 1, s.count())

	was, _ := os.Getwd()
	ok("chdir", os.Mkdir(at+"/sub/in", 0o755) == nil && os.Chdir(at+"/sub/in") == nil)
	dot, err := os.Getwd()
	ok("getwd", err == nil && dot == at+"/sub/in", dot, err)
	ok("files there", os.WriteFile("f", []byte("here"), 0o644) == nil && read("./f") == "here" && read("../in/f") == "here" && read(at+"/sub/in/f") == "here")
	ok("chdir to a file", os.Chdir("f") != nil && os.Chdir("none") != nil)
	b, err := exec.Command(os.Args[0], "list").Output()
	ok("a program there", err == nil && string(b) == "f\n", string(b), err)
	b, err = exec.Command("/bin/pwd").Output()
	ok("another system's", err == nil && string(b) == "/\n", string(b), err)
	// Programs in the tree: this one, and one of another system, whose words at the end have
	// its name.
	self, err := os.ReadFile(os.Args[0])
	ok("program", err == nil && os.WriteFile(at+"/prog", self, 0o755) == nil, err)
	b, err = exec.Command(at+"/prog", "list").Output()
	ok("exec", err == nil && string(b) == "f\n", string(b), err)
	b, err = exec.Command(at+"/prog", "fail").Output()
	ok("exec of one that fails", says(err, "prog ") && says(err, ": 7"), string(b), err)
	b, err = exec.Command(at+"/prog", "text").Output()
	ok("its text", err == nil && bytes.Equal(b, self), len(b), err)
	sh, err := os.ReadFile("/bin/true")
	ok("program of another system", err == nil && os.WriteFile(at+"/true", sh, 0o755) == nil && exec.Command(at+"/true").Run() == nil, err)
	os.WriteFile(at+"/script", []byte("#!/bin/echo said\n"), 0o755)
	b, err = exec.Command(at+"/script", "x").Output()
	ok("script", err == nil && string(b) == "said "+at+"/script x\n", string(b), err)
	os.WriteFile(at+"/none", []byte("none"), 0o755)
	ok("no program", exec.Command(at+"/none").Run() != nil && exec.Command(at+"/nothing").Run() != nil && exec.Command(at+"/sub").Run() != nil)
	ok("not to be executed", os.Chmod(at+"/none", 0o644) == nil && says(exec.Command(at+"/none").Run(), "permission denied"))
	for _, name := range []string{"prog", "true", "script", "none"} {
		os.Remove(at + "/" + name)
	}
	ok("up", os.Chdir("..") == nil && os.RemoveAll("in") == nil)
	dot, err = os.Getwd()
	ok("getwd", err == nil && dot == at+"/sub", dot, err)
	ok("away", os.Chdir(was) == nil && list(".") == list(was))

	// A union of the server's tree and a local directory.
	ok("bind", syscall.Bind(local, at, 2) == nil)
	ok("union", list(at) == "mine sub" && read(at+"/mine") == "local", list(at))
	ok("into the union", os.WriteFile(at+"/new", []byte("x"), 0o644) == nil && s.root.find("new") != nil && list(local) == "mine")
	os.Remove(at + "/new")
	ok("no union", syscall.Unmount(local, at) == nil && list(at) == "sub")

	// Another process mounts the same by /srv.
	post := "mount" + fmt.Sprint(os.Getpid())
	fd, err := syscall.Create("/srv/"+post, syscall.O_WRONLY, 0o600)
	syscall.Write(fd, fmt.Append(nil, client.Fd()))
	syscall.Close(fd)
	ok("post", err == nil, err)
	b, err = exec.Command(os.Args[0], post, at).CombinedOutput()
	ok("another process", err == nil && string(b) == "other true\n" && read(at+"/other") == "from the other", string(b), err)
	ok("unpost", os.Remove("/srv/"+post) == nil)

	// Who waits for an answer that does not come is ended by a note, and others go on.
	os.WriteFile(at+"/hold", nil, 0o644)
	fd, _ = syscall.Create("/srv/"+post, syscall.O_WRONLY, 0o600)
	syscall.Write(fd, fmt.Append(nil, client.Fd()))
	syscall.Close(fd)
	c := exec.Command(os.Args[0], post, at, "hold")
	ok("start", c.Start() == nil)
	<-s.held
	ok("others go on", read(at+"/other") == "from the other")
	ok("note", c.Process.Signal(os.Interrupt) == nil)
	<-s.flushed
	ok("interrupted", c.Wait() != nil)
	os.Remove("/srv/" + post)
	h, err := os.Open(at + "/hold")
	ok("open", err == nil, err)
	got := make(chan error)
	go func() {
		_, err := syscall.Read(int(h.Fd()), make([]byte, 10))
		got <- err
	}()
	<-s.held
	// The end of the server is everybody's.
	o, err := os.Open(at + "/other")
	ok("open", err == nil, err)
	os.WriteFile(at+"/bye", nil, 0o644)
	ok("asked last", says(readErr(at+"/bye"), "mount rpc error") && <-done == errBye)
	err = <-got
	ok("hangup", says(err, "mount rpc error"), err)
	_, err = o.Read(make([]byte, 1))
	ok("read", says(err, "mount rpc error"), err)
	_, err = os.Stat(at + "/other")
	ok("stat", says(err, "mount rpc error"), err)
	ok("unmount", syscall.Unmount("", at) == nil && list(at) == "")
	ok("mount of nothing", mount(client, at, 0, "") != nil)
	client.Close()

	// Given up: the server sees the end.
	client, end = pipe()
	s = newServer(end)
	go func() { done <- s.run() }()
	err = mount(client, at, 4, "")
	ok("mount", err == nil, err)
	client.Close()
	ok("it stays", os.WriteFile(at+"/x", []byte("y"), 0o644) == nil && read(at+"/x") == "y")
	ok("unmount", syscall.Unmount("", at) == nil)
	ok("the end", <-done != nil) // of what it reads, or of whom it answers
	end.Close()

	authenticated(at)
	hostile(at)
}

// fetched has a program fetched from a server that waits for a line before each answer to
// the fetching.
func fetched(at string) {
	client, end := pipe()
	s := newServer(end)
	ask := &asker{File: end}
	s.conn = ask
	done := make(chan error)
	go func() { done <- s.run() }()
	ok("mount", mount(client, at, 4, "") == nil)
	self, err := os.ReadFile(os.Args[0])
	ok("program", err == nil && os.WriteFile(at+"/prog", self[:20000], 0o755) == nil && os.WriteFile(at+"/script", []byte("#!/bin/echo said\n"), 0o755) == nil, err)
	ask.types = []byte{111, 113, 117, 121}
	b, err := exec.Command(at+"/script", "x").Output()
	ok("script", err == nil && string(b) == "said "+at+"/script x\n", string(b), err)
	err = exec.Command(at + "/prog").Run() // which is cut
	ok("no program", says(err, "exec header invalid"), err)
	ask.types = nil
	ok("unmount", syscall.Unmount("", at) == nil)
	client.Close()
	ok("the end", <-done != nil)
}

// asker waits for a line before it answers what is of some types.
type asker struct {
	*os.File
	types []byte
}

func (s *asker) Write(b []byte) (int, error) {
	if bytes.IndexByte(s.types, b[4]) >= 0 {
		fmt.Println("go on?")
		os.Stdin.Read(make([]byte, 1))
	}
	return s.File.Write(b)
}

// authenticated are versions that are exchanged before a tree is mounted, and a server that
// wants to be told a secret.
func authenticated(at string) {
	client, end := pipe()
	s := newServer(end)
	s.secret = "sesame"
	done := make(chan error)
	go func() { done <- s.run() }()
	v, err := fversion(client, 512, "9P2000.x", 20)
	ok("fversion", err == nil && v == "9P2000", v, err)
	v, err = fversion(client, 8192, "9P2000", 6+1)
	ok("fversion again", err == nil && v == "9P2000", v, err)
	_, err = fversion(client, 8192, "9P1776", 20)
	ok("fversion of another", says(err, "incompatible"), err)
	_, err = fversion(client, 8192, "9P2000", 6)
	ok("fversion without end", err != nil)
	_, err = fversion(os.Stdout, 8192, "9P2000", 20)
	ok("fversion of no server", err != nil)
	ok("mount without authentication", says(mount(client, at, 0, ""), "not without authentication"))
	_, err = fauth(os.Stdout, "")
	ok("fauth of no server", err != nil)
	fd, err := fauth(client, "")
	ok("fauth", err == nil, err)
	ok("nothing was said", os.IsPermission(syscall.Mount(int(client.Fd()), fd, at, 0, "")))
	_, err = syscall.Pwrite(fd, []byte("sesame"), 0)
	ok("write", err == nil, err)
	err = syscall.Mount(int(client.Fd()), fd, at, 4, "")
	ok("mount", err == nil, err)
	ok("not as authentication", syscall.Mount(int(client.Fd()), int(client.Fd()), at, 0, "") != nil)
	syscall.Close(fd)
	ok("used", os.WriteFile(at+"/f", bytes.Repeat([]byte("x"), 2000), 0o644) == nil && len(read(at+"/f")) == 2000)
	ok("unmount", syscall.Unmount("", at) == nil)
	s.Lock()
	ok("one exchange", s.versions == 1, s.versions)
	s.secret = ""
	s.Unlock()
	_, err = fauth(client, "")
	ok("no authentication", says(err, "there is no authentication here"), err)
	client.Close()
	ok("the end", <-done != nil)
	end.Close()
}

func read(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func readErr(name string) error {
	_, err := os.ReadFile(name)
	return err
}

// files does what one does with files.
func files(at string) {
	ok("empty", list(at) == "", list(at))
	data := bytes.Repeat([]byte("0123456789"), 30000)
	err := os.WriteFile(at+"/big", data, 0o644)
	ok("write", err == nil, err)
	b, err := os.ReadFile(at + "/big")
	ok("read", err == nil && bytes.Equal(b, data), len(b), err)
	i, err := os.Stat(at + "/big")
	ok("stat", err == nil && i.Size() == int64(len(data)) && i.Name() == "big" && i.Mode() == 0o644, i, err)
	i, err = os.Stat(at)
	ok("stat of the root", err == nil && i.IsDir() && i.Name() == filepath.Base(at), i, err)
	_, err = os.Stat(at + "/none")
	ok("none", os.IsNotExist(err), err)
	_, err = os.Stat(at + "/big/x")
	ok("in a file", err != nil)
	ok("mkdir", os.MkdirAll(at+"/sub/dir", 0o755) == nil)
	for k := range 100 {
		if err := os.WriteFile(fmt.Sprintf("%s/sub/file%d", at, k), []byte("x"), 0o644); err != nil {
			ok("file", false, err)
		}
	}
	long := at // more names than one walk has
	for range 20 {
		long += "/d"
		os.Mkdir(long, 0o755)
	}
	ok("a long walk", os.WriteFile(long+"/f", []byte("deep"), 0o644) == nil && read(long+"/f") == "deep")
	_, err = os.Stat(long + "/none")
	ok("a long walk to nothing", os.IsNotExist(err), err)
	ok("remove all", os.RemoveAll(at+"/d") == nil, list(at))
	ok("list", len(strings.Fields(list(at+"/sub"))) == 101, list(at+"/sub"))
	ok("rename", os.Rename(at+"/sub/file1", at+"/sub/renamed") == nil && read(at+"/sub/renamed") == "x")
	ok("truncate", os.Truncate(at+"/big", 5) == nil && read(at+"/big") == "01234")
	ok("chmod", os.Chmod(at+"/big", 0o400) == nil)
	_, err = os.OpenFile(at+"/big", os.O_WRONLY, 0)
	ok("not to be written", os.IsPermission(err) && says(err, "no writing here"), err)
	ok("full directory", os.Remove(at+"/sub") != nil)
	ok("remove", os.Remove(at+"/big") == nil && list(at) == "sub", list(at))
	f, err := os.OpenFile(at+"/excl", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	ok("create", err == nil, err)
	f.Write([]byte("abc"))
	n, err := f.Seek(-1, io.SeekEnd)
	ok("seek", n == 2 && err == nil, n, err)
	name, err := syscall.Fd2path(int(f.Fd()))
	ok("fd2path", err == nil && name == at+"/excl", name, err)
	i, err = f.Stat()
	ok("fstat", err == nil && i.Size() == 3, i, err)
	f.Close()
	_, err = os.OpenFile(at+"/excl", os.O_CREATE|os.O_EXCL, 0o600)
	ok("create again", err != nil)
	const removeOnClose = 64
	fd, err := syscall.Open(at+"/excl", removeOnClose)
	ok("open", err == nil, err)
	syscall.Close(fd)
	_, err = os.Stat(at + "/excl")
	ok("removed on close", os.IsNotExist(err), err)
}

// child is what a program of the tree does.
func child(what string) {
	switch what {
	case "fail":
		os.Exit(7)
	case "text":
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/text", os.Getpid()))
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.Write(b)
	default:
		fmt.Println(list("."))
	}
}

// other is what the other process does.
func other(post, at string) {
	fd, err := syscall.Open("/srv/"+post, syscall.O_RDWR)
	if err == nil {
		syscall.RawSyscall(syscall.SYS_RFORK, syscall.RFCNAMEG, 0, 0)
	}
	if err == nil {
		err = syscall.Mount(fd, -1, at, 4, "")
	}
	if err == nil && len(os.Args) > 3 {
		_, err = os.ReadFile(at + "/hold")
	}
	if err == nil {
		err = os.WriteFile(at+"/other", []byte("from the other"), 0o644)
	}
	ok("other", err == nil && strings.Contains(list(at), "sub"), err, list(at))
}

// hostile are servers that answer anything, or nothing.
func hostile(at string) {
	version := []byte{19, 0, 0, 0, 101, 0xff, 0xff, 0, 16, 0, 0, 6, 0, '9', 'P', '2', '0', '0', '0'}
	for i, answer := range [][]byte{
		{},
		{0, 0, 0, 0},
		{6, 0, 0, 0, 101, 0xff},
		{0xff, 0xff, 0xff, 0xff, 101, 0xff, 0xff},
		{7, 0, 0, 0, 101, 0xff, 0xff},
		{7, 0, 0, 0, 101, 1, 0},
		{7, 0, 0, 0, 107, 0xff, 0xff},
		{9, 0, 0, 0, 107, 0xff, 0xff, 100, 0},
		{19, 0, 0, 0, 101, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 6, 0, '9', 'P', '2', '0', '0', '0'},
		{19, 0, 0, 0, 101, 0xff, 0xff, 1, 0, 0, 0, 6, 0, '9', 'P', '2', '0', '0', '0'},
		{19, 0, 0, 0, 101, 0xff, 0xff, 0, 16, 0, 0, 6, 0, '9', 'P', '3', '0', '0', '0'},
		append(slices.Clone(version), 7, 0, 0, 0, 105, 1, 0),
		append(slices.Clone(version), 20, 0, 0, 0, 105, 1, 0, 0xff),
		append(slices.Clone(version), 7, 0, 0, 0, 111, 1, 0),
		append(slices.Clone(version), version...),
		bytes.Repeat([]byte{0xff}, 1<<16),
		bytes.Repeat([]byte{7, 0, 0, 0, 101, 0xff, 0xff}, 1<<12),
	} {
		client, end := pipe()
		go func() {
			b := make([]byte, 8192)
			end.Read(b)
			end.Write(answer)
			if len(answer) > 19 && bytes.HasPrefix(answer, version) {
				end.Read(b)
			}
			end.Close()
		}()
		if err := mount(client, at, 0, ""); err == nil {
			ok("mount", false, i)
			syscall.Unmount("", at)
		}
		client.Close()
	}
	// A server of directories that are none, of more than was asked for, of stat messages
	// that are none.
	for i, answer := range []string{
		"\x75\xff\xff\xff\xff", "\x75\x00\x00\x00\x00x", "\x75\x05\x00\x00\x00abcde", "\x7d\xff\xff", "\x7d\x00\x00", "\x7d\x02\x00\x00\x00",
		"\x6f\xff\xff", "\x6f\x10\x00", "\x71\x80", "\x6b\xff\xff", "\x79x", "\x6d",
	} {
		client, end := pipe()
		s := newServer(end)
		s.root.files = []*file{{name: "f", path: 1, mode: 0o666, up: s.root, data: []byte("x")}}
		spoilt := &spoiler{File: end, typ: answer[0], with: answer[1:]}
		s.conn = spoilt
		done := make(chan error)
		go func() { done <- s.run(); end.Close() }()
		if err := mount(client, at, 0, ""); err != nil {
			ok("mount", false, i, err)
		}
		list(at)
		read(at + "/f")
		os.Stat(at + "/f")
		os.WriteFile(at+"/f", []byte("yy"), 0o644)
		syscall.Unmount("", at)
		client.Close()
		<-done
	}
	unmounted(at)
	// One that does not read what it is sent makes nobody wait but who asks it.
	client, end := pipe()
	got := make(chan error)
	go func() { got <- mount(client, at, 0, "") }()
	ok("others go on", list("/dev") != "")
	end.Close()
	ok("mount of a silent server", <-got != nil)
	client.Close()
	ok("hostile servers", true)
}

// unmounted has a tree unmounted while a file of it is created: between the answer that there
// is none and the request to make it.
func unmounted(at string) {
	client, end := pipe()
	s := newServer(end)
	s.conn = &remover{File: end, at: at}
	done := make(chan error)
	go func() { done <- s.run(); end.Close() }()
	ok("mount", mount(client, at, 4, "") == nil)
	client.Close()
	err := os.WriteFile(at+"/new", []byte("x"), 0o644)
	f := s.root.find("new")
	// A call that begins again after a death finds what is there now.
	ok("unmounted while it is created", err == nil && (f != nil && string(f.data) == "x" || read(at+"/new") == "x"), err)
	os.Remove(at + "/new")
	ok("the end", <-done != nil)
}

// remover unmounts what is at a name before it says that there is no such file.
type remover struct {
	*os.File
	at string
}

func (s *remover) Write(b []byte) (int, error) {
	if b[4] == 107 {
		ok("unmount", syscall.Unmount("", s.at) == nil)
	}
	return s.File.Write(b)
}

// spoiler puts something else into answers of a type.
type spoiler struct {
	*os.File
	typ  byte
	with string
}

func (s *spoiler) Write(b []byte) (int, error) {
	if b[4] == s.typ {
		b = append(slices.Clone(b[:7]), s.with...)
		le.PutUint32(b, uint32(len(b)))
	}
	return s.File.Write(b)
}
