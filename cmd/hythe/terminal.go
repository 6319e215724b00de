package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"hythe"
)

// terminal remembers how the host's terminal was set before the program ran.
// The console server changes it; it may be killed, so this process puts it back.
type terminal struct {
	fd    int
	saved *unix.Termios // nil: no terminal, nothing to put back
}

// connect gives the command its standard descriptors: input only with -i, as
// docker does, and for -t a terminal.
func (a *app) connect(c *hythe.Cmd, interactive bool) (*terminal, error) {
	c.Stdout, c.Stderr = a.std.out, a.std.err
	if interactive && a.std.in != nil {
		c.Stdin = a.std.in
	}
	t := &terminal{}
	if !c.TTY {
		return t, nil
	}
	if !interactive || a.std.in == nil {
		return t, nil // output looks like a terminal's, input is empty
	}
	fd := int(a.std.in.Fd())
	saved, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, errors.New("-i -t: standard input is not a terminal")
	}
	// A job in the background is stopped here, as any that changes its terminal.
	if err := unix.IoctlSetTermios(fd, unix.TCSETSW, saved); err != nil {
		return nil, fmt.Errorf("-i -t: %w", err)
	}
	t.fd, t.saved = fd, saved
	return t, nil
}

// restore sets the terminal as it was. A background job may not do that; the
// host would stop it, so it is told not to.
func (t *terminal) restore() {
	if t.saved == nil {
		return
	}
	ignoreTTOU(func() { unix.IoctlSetTermios(t.fd, unix.TCSETSW, t.saved) })
}

// stdFiles are the three files that exec hands over.
func stdFiles(c *hythe.Cmd) ([3]*os.File, func(), error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return [3]*os.File{}, nil, err
	}
	out := [3]*os.File{null, null, null}
	for i, v := range []any{c.Stdin, c.Stdout, c.Stderr} {
		if f, ok := v.(*os.File); ok && f != nil {
			out[i] = f
		}
	}
	return out, func() { null.Close() }, nil
}
