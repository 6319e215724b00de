// Package test holds the checks of the tree as a whole: here who may import
// what, and below this folder the tests that need a running machine.
package test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "hythe"

// A rule says what the packages of a room must not import, directly or through
// other packages of this module. Patterns are import paths; those of this
// module start with "./". A trailing "/..." takes in everything below.
//
// The rules are the design, not a description of the code: a rule is not
// edited to make a build pass. Whoever thinks one is wrong writes a decision
// record in docs/decisions first.
type rule struct {
	room   string   // which packages
	except []string // of these, not
	never  []string // what they never import
	only   []string // when set: of all imports but the standard library, only these
	std    []string // when set: of the standard library, only these
	direct bool     // looks at direct imports only
	reason string
}

var rules = []rule{
	{
		room: "./abi/...", only: []string{}, std: []string{},
		reason: "both sides of an address-space boundary import the ABI, and one has no Go runtime: it must be a leaf",
	},
	{
		room: "./emul/...", only: []string{"./abi/..."}, std: []string{"unsafe", "sync/atomic", "math/bits"},
		reason: "the emulation library runs inside guests without a Go runtime",
	},
	{
		room:   "./nucleus/...",
		never:  []string{"os", "os/...", "syscall", "net", "net/...", "time", "unsafe", "reflect", "golang.org/x/...", "./machine/linux/...", "./machine/sim/...", "./server/...", "./personality/...", "./ipc/...", "./idl/...", "./emul/...", "./store/...", "./confine/..."},
		reason: "the nucleus is a pure object model: mechanisms of the host live in machine/, policy lives in servers",
	},
	{
		room:   "./machine",
		never:  []string{"os", "os/...", "syscall", "net", "net/...", "unsafe", "golang.org/x/...", "./nucleus/...", "./machine/linux/...", "./machine/sim/...", "./server/...", "./personality/...", "./ipc/...", "./emul/..."},
		reason: "the machine is an interface with several implementations and names no host",
	},
	{
		room:   "./machine/sim/...",
		never:  []string{"os", "os/...", "syscall", "net", "net/...", "unsafe", "golang.org/x/...", "./machine/linux/...", "./nucleus/...", "./server/...", "./personality/..."},
		reason: "the simulated machine must be deterministic, so nothing of the real one may leak in",
	},
	{
		room:   "./machine/linux/...",
		never:  []string{"./nucleus/...", "./server/...", "./personality/...", "./ipc/...", "./idl/...", "./machine/sim/..."},
		reason: "an implementation of the machine knows its interface and the host, nothing above",
	},
	{
		room:   "./store/...",
		only:   []string{"./abi/...", "golang.org/x/sys/..."},
		reason: "the state of record must be readable by itself, whatever server it belongs to",
	},
	{
		room:   "./confine/...",
		only:   []string{"./abi/...", "golang.org/x/sys/..."},
		reason: "what confines the servers must be small enough to be read in one go",
	},
	{
		room:   "./idl/...",
		never:  []string{"./nucleus/...", "./machine/...", "./server/...", "./personality/...", "./emul/...", "./confine/..."},
		reason: "an interface is known to both of its sides and knows neither",
	},
	{
		room:   "./cmd/idlgen/...",
		only:   []string{"./abi/..."},
		reason: "the compiler of protocols has to build when what it writes does not",
	},
	{
		room:   "./ipc/...",
		never:  []string{"./nucleus/...", "./machine/...", "./server/...", "./personality/...", "./emul/...", "./idl/..."},
		reason: "the user side of ports reaches the nucleus by messages only, else it could not be in another process",
	},
	{
		room:   "./personality/...",
		never:  []string{"os", "os/...", "syscall", "golang.org/x/...", "./ipc/..."},
		direct: true,
		reason: "a personality gives calls their meaning in terms of the unix server's core and touches neither the host nor ports",
	},
	{
		room:   "./personality/...",
		never:  []string{"./nucleus/...", "./machine/...", "./emul/..."},
		reason: "a personality is user-level: nucleus, machine and library know nothing of it, nor it of them",
	},
	{
		room:   "./personality/wasi",
		only:   []string{"./abi/...", "github.com/tetratelabs/wazero/..."},
		reason: "the engine of modules is a program in a guest: it has Linux's calls, and knows neither ports nor the unix server",
	},
	{
		room:   "./cmd/hythe-wasi",
		only:   []string{"./abi/...", "./personality/wasi", "github.com/tetratelabs/wazero/...", "golang.org/x/sys/..."},
		reason: "the engine of modules is a program in a guest: what it is linked with costs each of its starts",
	},
	{
		room: "./...", except: []string{"./personality/wasi", "./cmd/hythe-wasi", "./test/..."},
		never:  []string{"./personality/wasi", "github.com/tetratelabs/wazero/..."},
		reason: "a compiler of untrusted code belongs into the guest's process, not into the supervisor's or a server's; its initialization would cost each of their starts",
	},
	{
		room: "./...", except: []string{"./server/net/stack", "./cmd/hythe-net", "./test/..."},
		never:  []string{"./server/net/stack", "gvisor.dev/..."},
		reason: "one package knows gVisor's stack of protocols, and one program has it: its initialization costs each start (0.4 ms and 3.4 MB), and it changes without notice",
	},
	{
		room:   "./server/net/stack",
		only:   []string{"./abi/...", "./idl/...", "./ipc/...", "./store/...", "./server/net/core", "gvisor.dev/gvisor/pkg/tcpip/...", "gvisor.dev/gvisor/pkg/buffer", "gvisor.dev/gvisor/pkg/waiter", "golang.org/x/sys/..."},
		reason: "of gVisor the network's protocols are taken, not its kernel",
	},
	{
		room:   "./cmd/hythe-net",
		only:   []string{"./abi/...", "./idl/...", "./ipc/...", "./confine/...", "./store/...", "./server/net/...", "gvisor.dev/gvisor/...", "golang.org/x/sys/..."},
		reason: "the net server of networks of packets meets what strangers send: it is linked with nothing that it does not need",
	},
	{
		room:   "./server/netswitch",
		only:   []string{"./idl/vnet", "golang.org/x/sys/..."},
		reason: "the switch stands between machines that do not trust each other: it is small enough to be read in one go",
	},
	{
		room:   "./server/...",
		never:  []string{"./nucleus/...", "./machine/..."},
		reason: "a server's authority is its port rights: a nucleus linked into it would be a way around them",
	},
	{
		room: "./...", except: []string{"./cmd/...", "./test/...", "./bench/...", "./examples/..."},
		never:  []string{"./cmd/...", "./test/...", "./bench/..."},
		reason: "commands and tests wire all together and are imported by nobody",
	},
	{
		room: "./...", except: []string{"./cmd/...", "./test/...", "./bench/...", "./examples/..."},
		never:  []string{"."},
		direct: true,
		reason: "the public package sits on top; what it is made of must not look back at it",
	},
}

// dependencies are the modules outside the standard library that code may
// import, with what for. A new one is weighed like code of our own.
var dependencies = map[string]string{
	"golang.org/x/sys":              "host calls and constants that package syscall froze without",
	"golang.org/x/net/bpf":          "assembler of the guest filter",
	"golang.org/x/arch":             "disassembler of the freestanding check (tests only)",
	"github.com/tetratelabs/wazero": "compiler of WebAssembly (cmd/hythe-wasi only, a program in guests)",
	"gvisor.dev/gvisor":             "stack of network protocols (cmd/hythe-net only, by server/net/stack), pinned: it has no stable interface",
	"github.com/spf13/cobra":        "the command's flags, help and completion (cmd only)",
	"github.com/spf13/pflag":        "flag types of cobra (cmd only)",
}

// hostRooms are the packages that may import syscall or x/sys/unix: those whose
// purpose is the host.
var hostRooms = []string{
	".", "./machine/linux/...", "./store/...", "./ipc/...", "./confine/...", "./idl/...", "./control/...",
	"./server/fs/...", "./server/console/...", "./server/net/...", "./server/netswitch", "./server/unix", "./server/supervisor/...", "./cmd/...", "./test/...", "./bench/...",
}

// rawRooms are the packages that may make host calls by number
// (Syscall, RawSyscall, SyscallNoError...).
var rawRooms = []string{"./machine/linux/...", "./store/...", "./ipc/...", "./confine/...", "./emul/...", "./server/fs/host/...", "./test/trap/...",
	"./cmd/hythe-wasi"} // signal actions, which Go has no call for; it runs in guests only

// unsafeRooms are packages whose whole subject is foreign memory: there unsafe
// is not bound to files named *_unsafe.go.
var unsafeRooms = []string{"./machine/linux/...", "./ipc/...", "./emul/...", "./store/...", "./test/trap/..."}

// asmRooms may hold assembly.
var asmRooms = []string{"./machine/linux/...", "./emul/...", "./ipc/...", "./store/...", "./test/...", "./bench/..."}

// nucleusBudget is how many lines of Go the nucleus may have, tests apart.
const nucleusBudget = 8000

// file is one source file as the checks see it.
type file struct {
	name string // slash-separated, from the root of the tree
	pkg  string // "./dir"
	test bool
	src  []byte
	fset *token.FileSet
	ast  *ast.File // nil for assembly
}

func (f *file) pos(p token.Pos) string { return fmt.Sprintf("%s:%d", f.name, f.fset.Position(p).Line) }

// imports answers the paths that the file imports, those of this module as "./...".
func (f *file) imports() []string {
	var out []string
	if f.ast == nil {
		return nil
	}
	for _, s := range f.ast.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			continue
		}
		out = append(out, local(p))
	}
	return out
}

func local(p string) string {
	if p == module {
		return "."
	}
	if rest, ok := strings.CutPrefix(p, module+"/"); ok {
		return "./" + rest
	}
	return p
}

func isStd(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.HasPrefix(p, ".") && !strings.Contains(first, ".")
}

// match reports whether import path p is taken in by pattern pat.
func match(pat, p string) bool {
	if root, ok := strings.CutSuffix(pat, "/..."); ok {
		return p == root || strings.HasPrefix(p, root+"/")
	}
	return p == pat
}

func matchAny(pats []string, p string) bool {
	return slices.ContainsFunc(pats, func(pat string) bool { return match(pat, p) })
}

// load parses every Go and assembly file below root that belongs to the module.
func load(root string) ([]*file, error) {
	var out []*file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			base := d.Name()
			if rel != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || rel == "bin" || rel == "out") {
				return fs.SkipDir
			}
			if rel != "." {
				if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
					return fs.SkipDir // a module of its own
				}
			}
			return nil
		}
		ext := path.Ext(rel)
		if ext != ".go" && ext != ".s" {
			return nil
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		f, err := newFile(rel, src)
		if err != nil {
			return err
		}
		out = append(out, f)
		return nil
	})
	return out, err
}

func newFile(rel string, src []byte) (*file, error) {
	f := &file{name: rel, pkg: "./" + path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), src: src, fset: token.NewFileSet()}
	if path.Dir(rel) == "." {
		f.pkg = "."
	}
	if path.Ext(rel) == ".go" {
		var err error
		if f.ast, err = parser.ParseFile(f.fset, rel, src, parser.ParseComments); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// lattice answers every breach of the rules among files. Tests of a package
// may import more than the package: they are not looked at.
func lattice(files []*file, rules []rule) []string {
	imports := map[string]map[string]string{} // package -> import -> the file that has it
	for _, f := range files {
		if f.test || f.ast == nil {
			continue
		}
		if imports[f.pkg] == nil {
			imports[f.pkg] = map[string]string{}
		}
		for _, p := range f.imports() {
			if imports[f.pkg][p] == "" {
				imports[f.pkg][p] = f.name
			}
		}
	}
	// reach answers what pkg imports in the end, each with the way there. Only
	// packages of this module are followed.
	reach := func(pkg string, direct bool) map[string]string {
		got := map[string]string{}
		var walk func(pkg, way string)
		walk = func(pkg, way string) {
			for p := range imports[pkg] {
				if _, ok := got[p]; ok {
					continue
				}
				got[p] = way + " -> " + p
				if !direct {
					walk(p, got[p])
				}
			}
		}
		walk(pkg, pkg)
		return got
	}
	var out []string
	for pkg := range imports {
		for _, r := range rules {
			room := match(r.room, pkg) || r.room == "./..." && pkg != "."
			if !room || matchAny(r.except, pkg) {
				continue
			}
			bad := func(way string) { out = append(out, fmt.Sprintf("%s\n\t(%s)", way, r.reason)) }
			for p, way := range reach(pkg, r.direct) {
				switch {
				case match(strings.TrimSuffix(r.room, "/...")+"/...", p) && r.room != "./..." && r.room != "./machine":
					// within the room
				case matchAny(r.never, p):
					bad(way)
				case r.only != nil && !isStd(p) && !matchAny(r.only, p):
					bad(way)
				}
			}
			for p := range imports[pkg] {
				if r.std != nil && isStd(p) && !slices.Contains(r.std, p) {
					bad(pkg + " -> " + p)
				}
			}
		}
		out = append(out, siblings(pkg, reach(pkg, false), imports[pkg])...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// personalityShared are packages below personality that are none themselves: what
// several of them have in common, with what that is. They know no single one.
var personalityShared = map[string]string{
	"./personality/image": "reading, checking and mapping ELF files and their interpreters, start-up stacks",
	"./personality/calls": "the type of a table of calls: dispatch, what the library is told, the support table",
	"./personality/bsd":   "calls, numbers and layouts that 4.4BSD's descendants share; each system's package gives its table",
}

// siblings are the rules that speak of "another": a server never imports
// another server, a personality never another personality, and a core has no
// ports in it (an interface that it speaks may: idl holds both ends).
func siblings(pkg string, reach, direct map[string]string) []string {
	var out []string
	if match("./server/...", pkg) && path.Base(pkg) == "core" {
		for p := range direct {
			if match("./ipc/...", p) {
				out = append(out, pkg+" -> "+p+"\n\t(a core has no ports in it, so that it can be tested without a machine)")
			}
		}
	}
	elem := func(p string, n int) string {
		parts := strings.Split(p, "/")
		if len(parts) > n {
			return parts[n]
		}
		return ""
	}
	for p, way := range reach {
		switch {
		case match("./server/...", pkg) && match("./server/...", p) && elem(p, 2) != elem(pkg, 2):
			out = append(out, way+"\n\t(servers reach each other by ports only, so that each can die alone)")
		case match("./personality/...", pkg) && match("./personality/...", p) && elem(p, 2) != elem(pkg, 2) && personalityShared[p] == "":
			out = append(out, way+"\n\t(a personality must be removable without another one noticing)")
		case match("./personality/...", pkg) && match("./server/...", p) && !match("./server/unix/core/...", p):
			out = append(out, way+"\n\t(a personality is a front end of the unix server's core and of nothing else)")
		}
	}
	return out
}

// words answers the breaches that are seen in a single file: unsafe, assembly,
// cgo, raw host calls, go:linkname, time.Sleep in tests, foreign modules.
func words(files []*file) []string {
	var out []string
	for _, f := range files {
		unsafeOK := matchAny(unsafeRooms, f.pkg) || strings.HasSuffix(strings.TrimSuffix(f.name, "_test.go"), "_unsafe") || strings.HasSuffix(f.name, "_unsafe.go")
		if f.ast == nil {
			if !matchAny(asmRooms, f.pkg) {
				out = append(out, f.name+": assembly outside the rooms that may have it")
			}
			continue
		}
		for _, s := range f.ast.Imports {
			p, err := strconv.Unquote(s.Path.Value)
			if err != nil {
				continue
			}
			at := f.pos(s.Pos())
			switch {
			case p == "C":
				out = append(out, at+": cgo; the product is Go and assembly only")
			case p == "unsafe" && !unsafeOK:
				out = append(out, at+": unsafe outside a file named *_unsafe.go")
			case (p == "syscall" || p == "golang.org/x/sys/unix") && !f.test && !matchAny(hostRooms, f.pkg):
				out = append(out, at+": "+p+" in a package that has no business with the host")
			case !isStd(p) && p != module && !strings.HasPrefix(p, module+"/"):
				ok := false
				for mod := range dependencies {
					ok = ok || p == mod || strings.HasPrefix(p, mod+"/")
				}
				if !ok {
					out = append(out, at+": "+p+" is not among the dependencies that test/policy_test.go allows")
				}
				if strings.HasPrefix(p, "github.com/spf13/") && !match("./cmd/...", f.pkg) {
					out = append(out, at+": "+p+" outside cmd")
				}
			}
		}
		for _, g := range f.ast.Comments {
			for _, c := range g.List {
				if strings.HasPrefix(c.Text, "//go:linkname ") && !unsafeOK {
					out = append(out, f.pos(c.Pos())+": go:linkname outside a file named *_unsafe.go")
				}
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if !ok {
				return true
			}
			if x.Name == "time" && s.Sel.Name == "Sleep" && (f.test || match("./test/...", f.pkg)) {
				out = append(out, f.pos(s.Pos())+": time.Sleep in a test: wait for the event itself")
			}
			if x.Name == "syscall" || x.Name == "unix" {
				n := strings.TrimPrefix(strings.TrimPrefix(s.Sel.Name, "Raw"), "All")
				n = strings.TrimPrefix(n, "Threads")
				if strings.HasPrefix(n, "Syscall") && len(n) <= len("SyscallNoError") && !matchAny(rawRooms, f.pkg) {
					out = append(out, f.pos(s.Pos())+": a host call by number outside the rooms that may make them")
				}
			}
			return true
		})
	}
	return out
}

// tree loads the module that this test is part of.
func tree(t *testing.T) []*file {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	files, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no source files found")
	}
	return files
}

func TestPolicyImports(t *testing.T) {
	for _, v := range lattice(tree(t), rules) {
		t.Error(v)
	}
}

func TestPolicyWords(t *testing.T) {
	for _, v := range words(tree(t)) {
		t.Error(v)
	}
}

func TestPolicyNucleusBudget(t *testing.T) {
	n := 0
	for _, f := range tree(t) {
		if match("./nucleus/...", f.pkg) && !f.test {
			n += bytes.Count(f.src, []byte("\n"))
		}
	}
	if n > nucleusBudget {
		t.Errorf("the nucleus has %d lines, its budget is %d: move something out", n, nucleusBudget)
	}
	t.Logf("nucleus: %d of %d lines", n, nucleusBudget)
}

// heavy are packages of the standard library that the executable must not hold:
// each server and each start of a machine would pay for their initialisation.
var heavy = []string{"net/http", "crypto/tls", "crypto/x509", "html/template", "expvar", "plugin", "testing"}

func TestPolicyWeight(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/hythe")
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.Lines(string(out)) {
		if p = strings.TrimSpace(p); slices.Contains(heavy, p) {
			t.Errorf("%s is in the executable, and every server pays for its initialisation", p)
		}
	}
}

// TestPolicyChecker shows the checks something to find: each file breaks one
// rule, and a check that is silent is broken itself.
func TestPolicyChecker(t *testing.T) {
	for _, c := range []struct {
		name, src string
		bad       bool
	}{
		{"abi/x.go", `package abi; import "fmt"`, true},
		{"abi/y.go", `package abi`, false},
		{"nucleus/port/x.go", `package port; import "os"`, true},
		{"nucleus/port/y.go", `package port; import "hythe/machine"`, false},
		{"nucleus/port/z.go", `package port; import "hythe/nucleus/core"`, false},
		{"nucleus/w.go", `package nucleus; import "golang.org/x/sys/unix"`, true},
		{"nucleus/v_test.go", `package nucleus; import "os"`, false},
		{"machine/x.go", `package machine; import "hythe/machine/linux"`, true},
		{"machine/sim/x.go", `package sim; import "unsafe"`, true},
		{"machine/linux/x.go", `package linux; import "hythe/nucleus"`, true},
		{"machine/linux/y.go", `package linux; import ("unsafe"; "syscall"; "hythe/emul")`, false},
		{"emul/x.go", `package emul; import ("unsafe"; "hythe/abi")`, false},
		{"emul/y.go", `package emul; import "fmt"`, true},
		{"store/x.go", `package store; import "hythe/ipc"`, true},
		{"ipc/x.go", `package ipc; import "hythe/server/unix"`, true},
		{"idl/fs/x.go", `package fs; import "hythe/ipc"`, false},
		{"cmd/idlgen/x.go", `package main; import "hythe/ipc"`, true},
		{"cmd/idlgen/y.go", `package main; import ("hythe/abi"; "hythe/cmd/idlgen/internal/idl")`, false},
		{"server/unix/x.go", `package unix; import "hythe/server/console"`, true},
		{"server/fs/overlay/x.go", `package overlay; import "hythe/server/fs/tmpfs/core"`, false},
		{"server/fs/tmpfs/core/x.go", `package core; import "hythe/ipc"`, true},
		{"server/unix/y.go", `package unix; import "hythe/nucleus"`, true},
		{"personality/linux/x.go", `package linux; import "hythe/personality/plan9"`, true},
		{"personality/linux/w.go", `package linux; import "hythe/personality/image"`, false},
		{"personality/image/x.go", `package image; import "hythe/personality/linux"`, true},
		{"personality/linux/y.go", `package linux; import "hythe/server/unix/core"`, false},
		{"personality/linux/z.go", `package linux; import "syscall"`, true},
		{"server/unix/z.go", `package unix; import "hythe"`, true},
		{"ipc/y.go", `package ipc; import "hythe/cmd/hythe"`, true},
		{"cmd/hythe/x.go", `package main; import ("hythe"; "github.com/spf13/cobra")`, false},
		{"server/unix/w.go", `package unix; import "github.com/spf13/cobra"`, true},
		{"server/unix/q.go", `package unix; import "example.org/left"`, true},
		{"server/unix/core/s.go", `package core; import "syscall"`, true},
		{"server/unix/u.go", `package unix; import "unsafe"`, true},
		{"server/unix/u_unsafe.go", `package unix; import "unsafe"`, false},
		{"server/unix/c.go", `package unix; import "C"`, true},
		{"server/unix/s_test.go", `package unix; import "time"; func f() { time.Sleep(1) }`, true},
		{"server/unix/s.go", `package unix; import "time"; func f() { time.Sleep(1) }`, false},
		{"server/console/r.go", `package console; import "syscall"; func f() { syscall.RawSyscall6(1, 0, 0, 0, 0, 0, 0) }`, true},
		{"server/console/l.go", "package console\n//go:linkname a b\nfunc a()", true},
		{"server/unix/a.s", `TEXT x(SB)`, true},
		{"emul/a.s", `TEXT x(SB)`, false},
	} {
		f, err := newFile(c.name, []byte(c.src))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := append(lattice([]*file{f}, rules), words([]*file{f})...)
		if c.bad != (len(got) > 0) {
			t.Errorf("%s: %s\n\tfound %q, want something: %v", c.name, c.src, got, c.bad)
		}
	}
	// Through another package.
	var files []*file
	for name, src := range map[string]string{
		"nucleus/x.go":  `package nucleus; import "hythe/machine"`,
		"machine/x.go":  `package machine; import "hythe/helper"`,
		"helper/x.go":   `package helper; import "os"`,
		"helper/y.go":   `package helper; import "hythe/helper/z"`,
		"helper/z/z.go": `package z`,
	} {
		f, err := newFile(name, []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	if got := lattice(files, rules); len(got) != 2 {
		t.Errorf("indirect imports: found %q, want one for the nucleus and one for the machine", got)
	}
}
