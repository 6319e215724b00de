package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hythe"
	"hythe/cmd/hythe/internal/control"
)

// stub is a machine whose programs end when they are told.
type stub struct {
	fake
	err error
	p   echo
}

func (s *stub) Start(context.Context, *hythe.Cmd) (control.Process, error) { return s.p, s.err }

func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{p: echo{make(chan error, 2)}}
		k := keep(s, time.Minute)
		pass := func(d time.Duration) { <-time.After(d) } // the bubble's time
		over := func() bool {
			synctest.Wait()
			select {
			case <-k.idle:
				return true
			default:
				return false
			}
		}
		start := func() func() {
			p, err := k.Start(t.Context(), &hythe.Cmd{})
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				s.p.err <- nil
				if err := p.Wait(); err != nil {
					t.Error(err)
				}
			}
		}
		pass(59 * time.Second)
		first := start()
		second := start()
		pass(time.Hour)
		first()
		pass(time.Hour)
		if over() {
			t.Fatal("it ends with a program running")
		}
		second()
		pass(59 * time.Second)
		s.err = hythe.ErrNoProcess
		if _, err := k.Start(t.Context(), &hythe.Cmd{}); err != hythe.ErrNoProcess {
			t.Error(err)
		}
		s.err = nil
		pass(59 * time.Second)
		if over() {
			t.Error("it ends before its time")
		}
		pass(2 * time.Second)
		if !over() {
			t.Fatal("it stays")
		}
		if _, err := k.Start(t.Context(), &hythe.Cmd{}); !errors.Is(err, hythe.ErrClosed) {
			t.Errorf("started after the end: %v", err)
		}
		k.Stop() // once more harms nobody
		k = keep(s, 0)
		start()()
		pass(1000 * time.Hour)
		if over() {
			t.Error("it is never to end")
		}
		end := start()
		if k.Stop(); !over() {
			t.Error("it was stopped, and stays")
		}
		end()
	})
}

func TestExecFlags(t *testing.T) {
	top := t.TempDir()
	tmp, mod := filepath.Join(top, "tmp"), filepath.Join(top, "mod")
	pkg, work := filepath.Join(mod, "a", "b"), filepath.Join(top, "go-build1", "b001")
	for _, d := range []string{tmp, pkg, work, filepath.Join(mod, ".git")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(mod, "go.mod"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	v := func(d ...string) (f []string) {
		for _, d := range d {
			d, ro := strings.CutSuffix(d, ":ro")
			s := d + ":" + d
			if ro {
				s += ":ro"
			}
			f = append(f, "-v", s)
		}
		return f
	}
	git := filepath.Join(mod, ".git") + ":ro"
	for _, c := range []struct {
		tmp, dir, prog, more string
		want                 []string
	}{
		{tmp, pkg, filepath.Join(work, "b.test"), "", v(filepath.Dir(work), mod, tmp, git)},
		{tmp, mod, filepath.Join(mod, "b.test"), "", v(mod, tmp, git)},
		{top, pkg, filepath.Join(work, "b.test"), "", v(top, git)},
		{filepath.Join(mod, "a"), pkg, "/b.test", "--network none", append(v(mod, git), "--network", "none")},
		{"/", tmp, "/b.test", "", v(tmp)},
		{tmp, "/", "/b.test", "", v(tmp)},
		{tmp, top + ":", "/b.test", "", nil},
	} {
		t.Setenv("TMPDIR", c.tmp)
		t.Setenv("HYTHE_EXEC_FLAGS", c.more)
		got, err := execFlags(c.dir, c.prog)
		if !slices.Equal(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
	one, err := machineOf([]string{"a b"})
	two, err2 := machineOf([]string{"a", "b"})
	if err != nil || err2 != nil || one == two {
		t.Errorf("%q, %v; %q, %v", one, err, two, err2)
	}
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	for _, path := range []string{"/bin", "/bin:" + dir} {
		t.Setenv("PATH", path)
		out, errs, status := command("install-exec", dir)
		if in := strings.Contains(path, dir); status != 0 || in == (errs != "") || strings.Count(out, "\n") != len(execSystems) {
			t.Errorf("PATH=%s: status %d, out %q, err %q", path, status, out, errs)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	links, err := os.ReadDir(dir)
	if err != nil || len(links) != len(execSystems) {
		t.Fatal(links, err)
	}
	for _, l := range links {
		if to, err := os.Readlink(filepath.Join(dir, l.Name())); err != nil || to != exe {
			t.Errorf("%s: %q, %v", l.Name(), to, err)
		}
		if s, ok := execSystem(l.Name()); !ok || !slices.Contains(execSystems, s) {
			t.Errorf("%s is not known by its name", l.Name())
		}
	}
	name := filepath.Join(dir, links[0].Name())
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("mine"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, errs, status := command("install-exec", dir); status != 125 || strings.Count(errs, "\n") != 1 {
		t.Errorf("over another's program: status %d, %q", status, errs)
	}
	if b, err := os.ReadFile(name); string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
}
