package core

import (
	"encoding/binary"
	"fmt"
	"testing"

	"hythe/abi"
	"hythe/store"
)

// runs are processes of one program.
type runs struct {
	t  *testing.T
	tk *testKernel
}

// begin begins one, of a user.
func (r runs) begin(uid uint32, program string) store.Ref[Thread] {
	r.t.Helper()
	th := r.tk.newProc(uid)
	r.tk.do(th, func(c *Call) {
		v, _, e := c.OpenExec(AtCwd, program, WalkFollow)
		if e != 0 {
			r.t.Fatal(e)
		}
		c.MutProc().Exe = v
	})
	return th
}

// ask asks for a name's attributes as a library does, and answers what comes along: the result, or the size of what is
// stored.
func (r runs) ask(th store.Ref[Thread], path string) map[string]string {
	told := map[string]string{}
	r.tk.do(th, func(c *Call) {
		c.Task, c.WantNear = c.Proc().Task, true
		_, e := c.StatAt(AtCwd, path, WalkFollow)
		if e == 0 {
			c.CopyOut(guestBase, make([]byte, 144))
		}
		c.Foresee(Wish{Nr: 4, A: 7, Path: path}, func(s *Call, w *Wish) (uint64, abi.Errno) {
			s.PathAt(0)
			name, e := s.PathArg(0)
			if e != 0 || w.Nr != 4 || w.A != 7 || w.Path != name {
				r.t.Errorf("asked for %v", w)
			}
			_, e = s.StatAt(AtCwd, name, WalkFollow)
			if e == 0 {
				s.CopyOut(guestBase, make([]byte, 144))
			}
			return 0, e
		})
		for _, a := range c.Acts {
			if a.Op != abi.ActForesee {
				continue
			}
			if w := r.tk.host.told[c.Task]; a.A[0] == 0 || a.A[0] != w[abi.ToldNames] {
				r.t.Errorf("number %d, told %d", a.A[0], w[abi.ToldNames])
			}
			for i := range a.A[1] {
				b := c.Chan.Out()[a.A[2]-abi.SlotOutOff+i*abi.ForeseeSize:][:abi.ForeseeSize]
				v := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
				if v(0) != 4 || v(1) != 7 || v(2) != 0 || v(5) > abi.NameMax || v(6) > 144 || (v(4) != 0) != (v(6) != 0) {
					r.t.Fatalf("item %v", b[:abi.ForeseeHead])
				}
				told[string(b[abi.ForeseeHead:][:v(5)])] = fmt.Sprint(int64(v(3)), v(6))
			}
		}
	})
	return told
}

// Processes of a program are told of the names that the ones before asked for, as they are; those of another user are not.
func TestForesee(t *testing.T) {
	tk := newTestKernel(t)
	r, n := runs{t, tk}, namer{t, tk}
	for _, name := range []string{"/prog", "/other", "/a", "/c", "/secret"} {
		n.do(func(c *Call) abi.Errno {
			fd, e := open(c, name, rw, OpenCreate, 0o755)
			if e == 0 {
				e = c.CloseFD(fd)
			}
			return e
		})
	}
	names := []string{"/a", "/b", "/c", "/d"}
	all := func(th store.Ref[Thread], of []string) (told []map[string]string) {
		for _, name := range of {
			told = append(told, r.ask(th, name))
		}
		return told
	}
	is := func(what string, got map[string]string, want string) {
		t.Helper()
		if fmt.Sprint(got) != want {
			t.Errorf("%s: told %v, want %s", what, got, want)
		}
	}
	const rest = "map[/b:-2 0 /c:0 144 /d:-2 0]"
	for i := range trailFirst {
		for _, told := range all(r.begin(0, "/prog"), append(names, fmt.Sprintf("/tmp%d", i))) {
			is("at first", told, "map[]")
		}
	}
	th := r.begin(0, "/prog")
	is("then", r.ask(th, "/a"), rest)
	is("told already", r.ask(th, "/b"), "map[]")
	is("a name that nobody asked for", r.ask(th, "/tmp0"), "map[]")
	is("by another program", r.ask(r.begin(0, "/other"), "/a"), "map[]")
	// What changes ends it, and is told as it is then.
	n.do(func(c *Call) abi.Errno { return c.Unlink(AtCwd, "/c") })
	n.do(func(c *Call) abi.Errno { return c.Mkdir(AtCwd, "/d", 0o700) })
	if w := tk.host.told[tk.Procs.Get(tk.Threads.Get(th).Proc).Task]; w[abi.ToldNames] != 0 {
		t.Error("what was told holds still")
	}
	again := map[string]string{}
	for range nameRest + 1 {
		again = r.ask(th, "/a")
	}
	is("after a change", again, "map[/b:-2 0 /c:-2 0 /d:0 144]")
	// Nobody is asked for what is not known.
	tk.Enter()
	tk.forgetKid(tk.vfs.root.root, "b")
	tk.Leave()
	is("not known", r.ask(r.begin(0, "/prog"), "/a"), "map[/c:-2 0 /d:0 144]")
	// Others learn nothing by it, and what they ask for is not told to the first.
	for range trailFirst {
		for _, told := range all(r.begin(1, "/prog"), []string{"/a", "/secret"}) {
			is("another user", told, "map[]")
		}
	}
	is("another user", r.ask(r.begin(1, "/prog"), "/a"), "map[/secret:0 144]")
	is("the first one again", r.ask(r.begin(0, "/prog"), "/a"), "map[]")
	// Who becomes another user is not told any more.
	for range trailFirst + 1 {
		all(r.begin(1, "/other"), names)
	}
	th = r.begin(1, "/other")
	tk.do(th, func(c *Call) {
		cr := *c.Cred()
		cr.FSUID = 2
		if !c.SetCred(&cr) {
			t.Error("no memory")
		}
	})
	is("who is another one now", r.ask(th, "/a"), "map[]")
	// A new incarnation begins without.
	tk.reopen()
	is("a new incarnation", r.ask(r.begin(0, "/prog"), "/a"), "map[]")
	tk.checkVFS()
}

// What is noted is bounded, whatever programs there are and whatever they ask for; what few ask for makes room.
func TestForeseeBounds(t *testing.T) {
	x := &trail{at: map[Wish]int{}, maybe: map[Wish]TaskID{}}
	for run := range TaskID(40) {
		x.see()
		d := &taskTrail{t: x}
		d.note(run, Wish{Path: "always"})
		for i := range 700 {
			d.note(run, Wish{Path: fmt.Sprint(int(run)/4, i)})
			d.note(run, Wish{Path: fmt.Sprint("once", run, i)})
		}
		if len(x.list) > mostWishes || len(x.maybe) > mostMaybe || len(x.at) != len(x.list) {
			t.Fatalf("%d noted, %d asked for once, %d places", len(x.list), len(x.maybe), len(x.at))
		}
		for w, i := range x.at {
			if x.list[i].Wish != w {
				t.Fatalf("%v is at %d, where %v is", w, i, x.list[i].Wish)
			}
		}
	}
	if i, ok := x.at[Wish{Path: "always"}]; !ok || !x.list[i].likely(x) {
		t.Error("what all ask for is not noted")
	}
	tk := newTestKernel(t)
	r := runs{t, tk}
	for i := range mostTrails + 10 {
		name := fmt.Sprintf("/p%d", i)
		namer{t, tk}.do(func(c *Call) abi.Errno {
			fd, e := open(c, name, rw, OpenCreate, 0o755)
			if e == 0 {
				e = c.CloseFD(fd)
			}
			return e
		})
		r.ask(r.begin(0, name), "/none")
		if f := &tk.names.foresight; len(f.trails) > mostTrails || len(f.order) != len(f.trails) {
			t.Fatalf("%d programs, %d in order", len(f.trails), len(f.order))
		}
	}
}
