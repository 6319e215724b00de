package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"hythe/abi"
	"hythe/idl/fs"
	"hythe/server/fs/object"
	"hythe/server/fs/tree"
	"hythe/store"
)

// listRig is an overlay with a clock that the test sets.
func listRig(t *testing.T, low fs.Server, at *time.Time) (*tree.Server, *below) {
	t.Helper()
	h, err := store.Format(make([]byte, 16<<20), Version)
	if err != nil {
		t.Fatal(err)
	}
	objs := object.NewLocal()
	t.Cleanup(objs.Close)
	s, b, e := open(h, Config{Inodes: 5000, Flows: 500}, low, objs, clock, nil)
	if e != 0 {
		t.Fatal(e)
	}
	b.now = func() time.Time { return *at }
	return s, b
}

// names lists a directory, in pieces of about max bytes.
func listNames(t *testing.T, s *tree.Server, dir fs.NodeID, max int, plus uint32) (names []string) {
	t.Helper()
	for cookie := uint64(0); ; {
		l, err := s.ReadDirPlus(fs.Req{}, dir, cookie, max, plus)
		if err != 0 {
			t.Fatal(err)
		}
		if len(l) == 0 {
			return names
		}
		for _, e := range l {
			if e.Known > 1 {
				t.Errorf("%s: known %d", e.Name, e.Known)
			}
			if e.Known == 1 {
				if at, err := s.GetAttr(fs.Req{}, e.Found.Node); err != 0 || at.Attr.Ino != e.Ino || at.Attr.Ino != e.Found.Attr.Ino {
					t.Errorf("%s is %+v, %+v %v", e.Name, e, at, err)
				}
				s.Forget(fs.Req{}, e.Found.Node, 1)
			}
			names = append(names, e.Name)
		}
		cookie = l[len(l)-1].Next
	}
}

// TestListed: what a lower directory lists is asked for once in the time that the lower server gives; the tree's own
// changes are seen at once, the host's after that time, and by who removes the directory.
func TestListed(t *testing.T) {
	low := &counted{Server: plainFor(t, 1e9)}
	at := time.Unix(1000, 0)
	d, err := low.MkDir(fs.Req{}, fs.RootID, "d", 0o755, fs.Cred{})
	if err != 0 {
		t.Fatal(err)
	}
	file := func(name string) {
		t.Helper()
		if _, err := low.MkNod(fs.Req{}, d.Node, name, fs.TypeReg|0o600, 0, fs.Cred{}); err != 0 {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 20 {
		want = append(want, fmt.Sprint("f", i))
		file(want[i])
	}
	s, _ := listRig(t, low, &at)
	dir, err := s.Lookup(fs.Req{}, fs.RootID, "d")
	if err != 0 {
		t.Fatal(err)
	}
	check := func(what string, lists int) {
		t.Helper()
		low.lists = 0
		got := listNames(t, s, dir.Node, 1000, 600)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
		if low.lists != lists {
			t.Errorf("%s: %d questions, want %d", what, low.lists, lists)
		}
	}
	check("at first", 2)
	check("again", 0)
	for _, max := range []int{1, 3, 4, 7, 30} {
		if got := listNames(t, s, dir.Node, max, 3); len(got) != len(want) || low.lists != 0 {
			t.Errorf("in pieces of %d: %q, %d questions", max, got, low.lists)
		}
	}
	if _, err := s.MkNod(fs.Req{Client: 1, Seq: 1}, dir.Node, "own", fs.TypeReg|0o600, 0, fs.Cred{}); err != 0 {
		t.Fatal(err)
	}
	if err := s.Unlink(fs.Req{Client: 1, Seq: 2}, dir.Node, "f3"); err != 0 {
		t.Fatal(err)
	}
	want = append(slices.DeleteFunc(want, func(s string) bool { return s == "f3" }), "own")
	check("with the tree's own", 0)
	file("late")
	check("what the host has made", 0)
	at = at.Add(2 * time.Second)
	want = append(want, "late")
	check("that later", 2)
	for _, name := range want {
		if err := s.Unlink(fs.Req{Client: 1, Seq: uint64(100 + slices.Index(want, name))}, dir.Node, name); err != 0 {
			t.Fatal(name, err)
		}
	}
	want = nil
	file("latest")
	if err := s.RmDir(fs.Req{Client: 1, Seq: 1000}, fs.RootID, "d"); err != abi.ENOTEMPTY {
		t.Errorf("a directory in which the host has made a file: %v", err)
	}
}

// TestListedRandom: an overlay that keeps what was listed lists what one does that keeps nothing.
func TestListedRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(17, 4))
	for range 30 {
		at := time.Unix(1000, 0)
		var both [2]*tree.Server
		var lists [2]*below
		for i, ttl := range []uint64{1e9, 0} {
			low := plainFor(t, ttl)
			for d := range 3 {
				dir, err := low.MkDir(fs.Req{}, fs.RootID, fmt.Sprint("d", d), 0o755, fs.Cred{})
				if err != 0 {
					t.Fatal(err)
				}
				for f := range 6 * d {
					if _, err := low.MkNod(fs.Req{}, dir.Node, fmt.Sprint("n", f), fs.TypeReg|0o600, 0, fs.Cred{}); err != 0 {
						t.Fatal(err)
					}
				}
			}
			both[i], lists[i] = listRig(t, low, &at)
		}
		seq := uint64(0)
		for step := range 200 {
			seq++
			op, d, d2 := rnd.IntN(6), fmt.Sprint("d", rnd.IntN(3)), fmt.Sprint("d", rnd.IntN(3))
			name, to := fmt.Sprint("n", rnd.IntN(14)), fmt.Sprint("n", rnd.IntN(14))
			max, plus := 1+rnd.IntN(40), uint32(rnd.IntN(10))
			var said [2]string
			for i, s := range both {
				dir, e1 := s.Lookup(fs.Req{}, fs.RootID, d)
				other, e2 := s.Lookup(fs.Req{}, fs.RootID, d2)
				if e1 != 0 || e2 != 0 {
					t.Fatal(e1, e2)
				}
				req := fs.Req{Client: 1, Seq: seq}
				var err abi.Errno
				switch op {
				case 0:
					_, err = s.MkNod(req, dir.Node, name, fs.TypeReg|0o600, 0, fs.Cred{})
				case 1:
					err = s.Unlink(req, dir.Node, name)
				case 2:
					err = s.Rename(req, dir.Node, name, other.Node, to, 0)
				case 3:
					_, err = s.Lookup(fs.Req{}, dir.Node, name)
				default:
					l := listNames(t, s, dir.Node, max, plus)
					slices.Sort(l)
					said[i] = fmt.Sprint(l)
				}
				said[i] += fmt.Sprint(err)
			}
			if said[0] != said[1] {
				t.Fatalf("step %d, op %d in %s: %s, and without: %s", step, op, d, said[0], said[1])
			}
			if rnd.IntN(30) == 0 {
				at = at.Add(2 * time.Second)
			}
		}
		if len(lists[0].lists.dirs) == 0 || len(lists[1].lists.dirs) != 0 {
			t.Errorf("%d and %d directories are kept", len(lists[0].lists.dirs), len(lists[1].lists.dirs))
		}
	}
}

// TestListingsBounded: directories that are too large, or too many, are not kept, and neither is one of which the
// answers do not follow each other.
func TestListingsBounded(t *testing.T) {
	var l listings
	now := time.Unix(1000, 0)
	part := func(from, n int) (list []fs.DirPlus) {
		for i := range n {
			list = append(list, fs.DirPlus{Name: fmt.Sprint("f", from+i), Next: uint64(from + i + 1)})
		}
		return list
	}
	fill := func(r tree.Ref, n int) {
		l.add(dirKey{r: r}, 0, part(0, n), now)
		l.add(dirKey{r: r}, uint64(n), nil, now)
	}
	fill(1, 10)
	if got, ok := l.from(dirKey{r: 1}, 3, 1000, now); !ok || len(got) != 7 || got[0].Name != "f3" {
		t.Errorf("%+v %v", got, ok)
	}
	if _, ok := l.from(dirKey{r: 1}, 30, 1000, now); ok {
		t.Error("a cookie that nobody was given")
	}
	if _, ok := l.from(dirKey{r: 1, gen: 1}, 0, 1000, now); ok {
		t.Error("another directory in its place")
	}
	l.add(dirKey{r: 2}, 0, part(0, 10), now)
	if _, ok := l.from(dirKey{r: 2}, 0, 1000, now); ok {
		t.Error("a directory of which not all is known")
	}
	l.add(dirKey{r: 2}, 5, part(5, 10), now)
	l.add(dirKey{r: 2}, 10, nil, now)
	if _, ok := l.from(dirKey{r: 2}, 0, 1000, now); ok || l.names != 10 {
		t.Error("two parts that do not follow each other", l.names)
	}
	fill(3, listedDir+1)
	if _, ok := l.from(dirKey{r: 3}, 0, 1000, now); ok || l.names != 10 {
		t.Error("a large one", l.names)
	}
	for r := range tree.Ref(100) {
		fill(10+r, 1000)
		n := 0
		for _, d := range l.dirs {
			n += len(d.list)
		}
		if n != l.names || n > listedNames {
			t.Fatal(n, "names,", l.names, "counted")
		}
	}
}
