// Command tool does what its first argument says; what it writes is the same wherever
// it runs.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	switch os.Args[1] {
	case "hello":
		fmt.Println("hello", os.Args[2:], os.Getenv("GREETING"))
		os.Exit(len(os.Args))
	case "exit":
		n, _ := strconv.Atoi(os.Args[2])
		os.Exit(n)
	case "upper":
		upper()
	case "files":
		files(os.Args[2])
	case "cat":
		for _, f := range os.Args[2:] {
			b, err := os.ReadFile(f)
			fmt.Printf("%s%v\n", b, reason(err))
		}
	case "env":
		for _, kv := range os.Environ() {
			fmt.Println(kv)
		}
		fmt.Println(os.Getwd())
	case "errors":
		fmt.Fprintln(os.Stderr, "to stderr")
		panic("over")
	case "sleep":
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "loop":
		fmt.Println("ready")
		for i := 0; ; i++ {
		}
	case "timers":
		timers()
	case "many":
		w := bufio.NewWriter(os.Stdout)
		for i := range 100000 {
			fmt.Fprintln(w, "line", i)
		}
		fmt.Println(w.Flush())
	}
}

func upper() {
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	s := bufio.NewScanner(os.Stdin)
	for s.Scan() {
		fmt.Fprintln(w, strings.ToUpper(s.Text()))
	}
	if s.Err() != nil {
		fmt.Fprintln(w, s.Err())
	}
}

// reason is an error's kind, without the names in it.
func reason(err error) string {
	for _, k := range []error{fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, io.EOF} {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return strings.ToLower(pe.Err.Error())
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return strings.ToLower(le.Err.Error())
	}
	return fmt.Sprint(err)
}

func timers() {
	start := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	for range 5 {
		<-tick.C
	}
	done := make(chan bool)
	go func() { time.Sleep(20 * time.Millisecond); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
	}
	d := time.Since(start)
	fmt.Println(d >= 70*time.Millisecond, d < 30*time.Second)
}

func files(dir string) {
	say := func(what string, v ...any) { fmt.Println(append([]any{what + ":"}, v...)...) }
	at := func(s ...string) string { return filepath.Join(append([]string{dir}, s...)...) }
	say("mkdir", reason(os.Mkdir(dir, 0o777)), reason(os.Mkdir(dir, 0o777)))
	say("mkdirall", reason(os.MkdirAll(at("a", "b", "c"), 0o777)))
	say("write", reason(os.WriteFile(at("f"), []byte("hello, world\n"), 0o666)))
	f, err := os.OpenFile(at("f"), os.O_RDWR|os.O_APPEND, 0)
	say("append", reason(err))
	n, err := f.WriteString("more\n")
	say("appended", n, reason(err))
	pos, err := f.Seek(7, io.SeekStart)
	say("seek", pos, reason(err))
	b, err := io.ReadAll(f)
	say("read", string(b), reason(err))
	m, err := f.ReadAt(b[:5], 0)
	say("readat", m, string(b[:5]), reason(err))
	m, err = f.ReadAt(b[:5], 1000)
	say("readat", m, reason(err))
	say("truncate", reason(f.Truncate(5)))
	st, err := f.Stat()
	say("stat", st.Size(), st.Mode().IsRegular(), reason(err))
	say("sync", reason(f.Sync()), reason(f.Close()))
	_, err = f.Write([]byte("x"))
	say("closed", errors.Is(err, os.ErrClosed))

	g, err := os.OpenFile(at("f"), os.O_RDONLY, 0)
	_, werr := g.Write([]byte("x"))
	say("rdonly", reason(err), werr != nil)
	g.Close()
	g, err = os.OpenFile(at("w"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	say("excl", reason(err))
	n, err = g.WriteAt([]byte("tail"), 10000)
	say("hole", n, reason(err))
	st, _ = g.Stat()
	say("hole", st.Size())
	g.Close()
	_, err = os.OpenFile(at("w"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	say("excl", reason(err))
	say("trunc", reason(os.Truncate(at("w"), 3)))
	w, err := os.ReadFile(at("w"))
	say("read", bytes.Equal(w, []byte{0, 0, 0}), reason(err))

	_, err = os.Open(at("none"))
	say("none", reason(err))
	_, err = os.Open(at("f", "x"))
	say("notdir", reason(err))
	_, err = os.ReadFile(at("a"))
	say("isdir", reason(err))
	_, err = os.OpenFile(at("a"), os.O_RDWR, 0)
	say("isdir", reason(err))

	say("symlink", reason(os.Symlink("f", at("l"))), reason(os.Symlink("none", at("dangling"))), reason(os.Symlink("f", at("l"))))
	t, err := os.Readlink(at("l"))
	say("readlink", t, reason(err))
	_, err = os.Readlink(at("f"))
	say("readlink", reason(err))
	b, err = os.ReadFile(at("l"))
	say("through", string(b), reason(err))
	_, err = os.Stat(at("dangling"))
	lst, lerr := os.Lstat(at("dangling"))
	say("dangling", reason(err), lst.Mode().Type(), reason(lerr))
	say("up", reason(os.Symlink("../../f", at("a", "b", "up"))))
	b, err = os.ReadFile(at("a", "b", "up"))
	say("up", string(b), reason(err))
	say("loop", reason(os.Symlink("loop", at("loop"))))
	_, err = os.Open(at("loop"))
	say("loop", err != nil)
	say("link", reason(os.Link(at("f"), at("hard"))), reason(os.Link(at("none"), at("x"))))
	s1, _ := os.Stat(at("f"))
	s2, err := os.Stat(at("hard"))
	say("same", os.SameFile(s1, s2), reason(err))

	when := time.Unix(1234567890, 123456789)
	say("chtimes", reason(os.Chtimes(at("f"), when, when)))
	st, err = os.Stat(at("hard"))
	say("mtime", st.ModTime().UnixNano(), reason(err))

	say("rename", reason(os.Rename(at("f"), at("a", "moved"))), reason(os.Rename(at("none"), at("x"))))
	say("rename", reason(os.Rename(at("a", "moved"), at("hard2"))))
	say("remove", reason(os.Remove(at("a"))), reason(os.Remove(at("none"))), reason(os.Remove(at("l"))))
	for i := range 300 {
		os.WriteFile(at("a", fmt.Sprintf("file-%03d-%s", i, strings.Repeat("x", i%200))), nil, 0o666)
	}
	list, err := os.ReadDir(at("a"))
	say("readdir", len(list), reason(err))
	d, _ := os.Open(at("a"))
	seen := 0
	for {
		names, err := d.Readdirnames(7)
		seen += len(names)
		if err != nil {
			say("readdirnames", seen, reason(err))
			break
		}
	}
	d.Close()
	sum := 0
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil {
			sum += len(e.Name())
		}
		if e.IsDir() {
			say("dir", e.Name())
		}
		return err
	})
	say("walk", sum, reason(err))
	root, err := os.OpenRoot(dir)
	say("root", reason(err))
	_, err = root.Open("../tool.linux")
	say("escape", err != nil)
	rf, err := root.Create("in-root")
	say("create", reason(err), reason(rf.Close()))
	say("stat", func() string { _, err := root.Stat("in-root"); return reason(err) }())
	say("root", reason(root.Close()))
	say("removeall", reason(os.RemoveAll(dir)))
	_, err = os.Stat(dir)
	say("gone", reason(err))
}
