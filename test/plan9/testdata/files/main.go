// Command files does with files what the library of Go can do on Plan 9 and Linux alike,
// below a new directory, and with the environment.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

func say(what string, err error) {
	fmt.Println(what, err == nil, "not", errors.Is(err, fs.ErrNotExist), "may", errors.Is(err, fs.ErrPermission), errors.Is(err, os.ErrClosed))
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
	say("write", os.WriteFile(in("d/b"), []byte("some text\n"), 0o640))
	say("rename", os.Rename(in("d/b"), in("d/c")))
	say("rename onto another", os.Rename(in("d/c"), in("d/c2")))
	say("chmod", os.Chmod(in("a"), 0o600))
	when := time.Unix(1234567890, 0)
	say("times", os.Chtimes(in("a"), when, when))
	for _, n := range []string{"a", "d", "d/c2"} {
		st, err := os.Stat(in(n))
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(n, st.Name(), st.Mode(), st.Mode().IsRegular() && st.Size() == 10, st.ModTime().Equal(when))
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
	say("close", f.Close())
	fmt.Println(errors.Is(f.Close(), os.ErrClosed))
	say("remove a directory that is full", os.Remove(in("d")))
	_, err = os.OpenFile(in("a"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	fmt.Println("exclusive", errors.Is(err, fs.ErrExist))
	say("chdir", os.Chdir(in("d")))
	wd, err := os.Getwd()
	fmt.Println(strings.TrimPrefix(wd, dir), err)
	_, err = os.Stat("c2")
	say("stat of a relative name", err)
	r, w, err := os.Pipe()
	say("pipe", err)
	go func() { time.Sleep(10 * time.Millisecond); fmt.Fprint(w, "through a pipe"); w.Close() }()
	b, err = io.ReadAll(r)
	fmt.Printf("%q %v\n", b, err)
	os.Setenv("ANOTHER", "value")
	env := os.Environ()
	sort.Strings(env)
	fmt.Println(os.Getenv("NAME"), os.Getenv("ANOTHER"), os.Getenv("NONE") == "")
	exe, err := os.Executable()
	fmt.Println(filepath.Base(exe) == filepath.Base(os.Args[0]), err)
	f, err = os.OpenFile("/dev/null", os.O_RDWR, 0)
	fmt.Fprint(f, "nothing")
	n, err2 := f.Read(b)
	fmt.Println(err, n, err2)
	say("remove all", os.RemoveAll(dir))
	_, err = os.Stat(dir)
	say("gone", err)
}
