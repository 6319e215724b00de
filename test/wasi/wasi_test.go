// Package wasi tries WebAssembly modules as programs of a machine: the same sources are
// built for wasip1 and for linux, and what they do must be the same.
package wasi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"hythe"
	"hythe/test/subject"
)

// m is the machine of all tests; work is the host's directory that it has at /w.
var (
	m    *hythe.Machine
	work string
)

func TestMain(t *testing.M) {
	hythe.Main()
	os.Exit(run(t))
}

func run(t *testing.M) int {
	var err error
	if work, err = os.MkdirTemp("", "wasi"); err == nil {
		defer os.RemoveAll(work)
		err = os.Chmod(work, 0o755)
	}
	if err == nil {
		var engine string
		if engine, err = filepath.Abs("../../bin/hythe-wasi"); err == nil {
			m, err = hythe.New(context.Background(), hythe.Config{WASI: engine, Mounts: []hythe.Mount{{Source: work, Target: "/w"}}})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err, "(run make build)")
		return 1
	}
	defer m.Close()
	return t.Run()
}

// limit bounds one program.
const limit = 60 * time.Second

// result is what a program wrote and how it ended.
type result struct {
	out, errs string
	status    int
}

// guest runs a program on the machine.
func guest(t *testing.T, in string, c *hythe.Cmd) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if in != "" {
		c.Stdin = bytes.NewReader([]byte(in))
	}
	if len(c.Args) > 0 && c.Path == "" {
		c.Path = c.Args[0]
	}
	err := m.Run(ctx, c)
	r := result{out.String(), errs.String(), 0}
	var x *hythe.ExitError
	switch {
	case errors.As(err, &x):
		r.status = x.Code
	case err != nil:
		t.Fatalf("%q: %v; out %q, err %q", c.Args, err, r.out, r.errs)
	}
	return r
}

// build builds a program of testdata for an operating system and answers its name below
// work.
func build(t *testing.T, name, goos string) string {
	t.Helper()
	out := name + "." + goos
	if _, err := os.Stat(filepath.Join(work, out)); err == nil {
		return out
	}
	arch := "amd64"
	if goos == "wasip1" {
		arch = "wasm"
	}
	c := exec.Command("go", "build", "-o", filepath.Join(work, out), "./testdata/"+name)
	c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0")
	if b, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return out
}

func TestHello(t *testing.T) {
	mod, native := build(t, "hello", "wasip1"), build(t, "hello", "linux")
	env := append(hythe.DefaultEnv(), "GREETING=hey", "GODEBUG=inittrace=1")
	for _, args := range [][]string{nil, {"a"}, {"a", "", "b c"}} {
		got := guest(t, "", &hythe.Cmd{Path: "/w/" + mod, Args: append([]string{"x"}, args...), Env: env})
		c := exec.Command(filepath.Join(work, native), args...)
		c.Env = append(os.Environ(), "GREETING=hey")
		out, _, status := subject.Run(t, limit, c)
		if got.out != out || got.status != status {
			t.Errorf("%q: %q, status %d; natively %q, %d; err %q", args, got.out, got.status, out, status, got.errs)
		}
	}
}
