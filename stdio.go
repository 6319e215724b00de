package hythe

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
)

// stdio makes host files of a command's standard descriptors, and moves the
// bytes of those that are none.
type stdio struct {
	child []*os.File // for the program: closed once it is started
	pumps []func() error
	in    *os.File // the end of stdin's pipe that a pump writes to

	wg  sync.WaitGroup
	mu  sync.Mutex
	err error // guarded by mu
}

func newStdio() *stdio { return &stdio{} }

// open answers the three files. On an error the caller calls abandon.
func (s *stdio) open(c *Cmd) ([3]*os.File, error) {
	var out [3]*os.File
	null := func() (*os.File, error) {
		f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err == nil {
			s.child = append(s.child, f)
		}
		return f, err
	}
	var err error
	switch r := c.Stdin.(type) {
	case nil:
		out[0], err = null()
	case *os.File:
		out[0] = r
	default:
		var pr, pw *os.File
		if pr, pw, err = os.Pipe(); err == nil {
			s.child = append(s.child, pr)
			s.in = pw
			out[0] = pr
			s.pumps = append(s.pumps, func() error {
				_, err := io.Copy(pw, r)
				pw.Close()
				if errors.Is(err, fs.ErrClosed) || isPipeGone(err) {
					err = nil // the program ended without reading all
				}
				return err
			})
		}
	}
	if err != nil {
		return out, err
	}
	for i, w := range []io.Writer{c.Stdout, c.Stderr} {
		switch w := w.(type) {
		case nil:
			out[i+1], err = null()
		case *os.File:
			out[i+1] = w
		default:
			if i == 1 && sameWriter(c.Stdout, w) {
				out[2] = out[1] // one pipe keeps the order of the two
				continue
			}
			var pr, pw *os.File
			if pr, pw, err = os.Pipe(); err == nil {
				s.child = append(s.child, pw)
				out[i+1] = pw
				s.pumps = append(s.pumps, func() error {
					defer pr.Close()
					_, err := io.Copy(w, pr)
					return err
				})
			}
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// sameWriter compares two interface values of which the type may not be comparable.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// abandon drops everything: the program was not started.
func (s *stdio) abandon() {
	for _, f := range s.child {
		f.Close()
	}
	if s.in != nil {
		s.in.Close()
	}
	// The pumps' own ends of output pipes belong to pumps that never ran: run
	// them; their peers are closed, so they end at once. Stdin's ends at its
	// closed pipe, but may block in the caller's reader: it does not run.
	for i, p := range s.pumps {
		if i == 0 && s.in != nil {
			continue
		}
		p()
	}
}

// started closes what is the program's and starts the pumps.
func (s *stdio) started() {
	for _, f := range s.child {
		f.Close()
	}
	for i, p := range s.pumps {
		run := func() {
			if err := p(); err != nil {
				s.mu.Lock()
				if s.err == nil {
					s.err = err
				}
				s.mu.Unlock()
			}
		}
		if i == 0 && s.in != nil {
			// Nobody waits for stdin: its reader may block for ever.
			go run()
			continue
		}
		s.wg.Go(run)
	}
}

// pumping says whether finish waits for the end of the program's descriptors.
func (s *stdio) pumping() bool { return len(s.pumps) > 0 }

// finish waits until all output has been written.
func (s *stdio) finish() error {
	s.wg.Wait()
	if s.in != nil {
		s.in.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
