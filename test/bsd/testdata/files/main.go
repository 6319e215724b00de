// Command files does with files what the library of Go can do, below a new directory.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func say(what string, err error) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		// Numbers and texts differ between systems; what the library makes of them does not.
		fmt.Println(what, "exists", errors.Is(err, fs.ErrExist), "not", errors.Is(err, fs.ErrNotExist), "may", errors.Is(err, fs.ErrPermission))
		return
	}
	fmt.Println(what, err)
}

func main() {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	defer os.RemoveAll(dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	say("write", os.WriteFile(in("a"), []byte("some text\n"), 0o640))
	say("mkdir", os.Mkdir(in("d"), 0o755))
	say("mkdir again", os.Mkdir(in("d"), 0o755))
	say("link", os.Link(in("a"), in("b")))
	say("symlink", os.Symlink("a", in("s")))
	to, err := os.Readlink(in("s"))
	fmt.Println(to, err)
	say("rename", os.Rename(in("b"), in("d/c")))
	say("chmod", os.Chmod(in("a"), 0o600))
	when := time.Unix(1234567890, 987654321)
	say("times", os.Chtimes(in("a"), when, when))
	for _, n := range []string{"a", "d", "s", "d/c"} {
		st, err := os.Lstat(in(n))
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(n, st.Mode(), st.Mode().IsRegular() && st.Size() == 10, st.ModTime().Equal(when))
	}
	_, err = os.Stat(in("none"))
	say("stat of nothing", err)
	for i := range 300 {
		if err := os.WriteFile(in(fmt.Sprintf("d/file-with-a-name-%03d", i)), nil, 0o600); err != nil {
			fmt.Println(err)
		}
	}
	l, err := os.ReadDir(in("d"))
	fmt.Println(len(l), err, l[0].Name(), l[0].Type(), l[len(l)-1].Name())
	f, err := os.OpenFile(in("a"), os.O_RDWR|os.O_APPEND, 0)
	say("open", err)
	fmt.Fprint(f, "more\n")
	f.Seek(0, io.SeekStart)
	b, err := io.ReadAll(f)
	fmt.Printf("%q %v\n", b, err)
	n, err := f.ReadAt(b[:4], 5)
	fmt.Printf("%d %q %v\n", n, b[:4], err)
	say("truncate", f.Truncate(3))
	st, _ := f.Stat()
	fmt.Println(st.Size())
	say("sync", f.Sync())
	say("close", f.Close())
	fmt.Println(errors.Is(f.Close(), os.ErrClosed))
	say("remove a directory that is full", os.Remove(in("d")))
	_, err = os.OpenFile(in("a"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	say("exclusive", err)
	_, err = os.ReadFile(in("d"))
	say("read of a directory", err)
	say("chdir", os.Chdir(in("d")))
	wd, err := os.Getwd()
	fmt.Println(strings.TrimPrefix(wd, dir), err)
	r, w, err := os.Pipe()
	say("pipe", err)
	go func() { time.Sleep(10 * time.Millisecond); fmt.Fprint(w, "through a pipe"); w.Close() }()
	b, err = io.ReadAll(r)
	fmt.Printf("%q %v\n", b, err)
	r, w, _ = os.Pipe()
	r.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	_, err = r.Read(b)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	r.Close()
	_, err = w.Write(b)
	fmt.Println(errors.Is(err, syscall.EPIPE))
	exe, err := os.Executable()
	fmt.Println(filepath.Base(exe) == filepath.Base(os.Args[0]), err)
	say("remove all", os.RemoveAll(dir))
}
