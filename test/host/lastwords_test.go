package host

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/machine"
	"hythe/machine/linux"
)

// heard is a sink that is slow with the first datagram.
type heard struct {
	first chan struct{} // told when it has it
	go_   chan struct{} // and then it waits for this
	got   []string
	end   chan struct{}
}

func (h *heard) Datagram(d machine.Datagram) {
	h.got = append(h.got, string(d.Bytes))
	if len(h.got) == 1 {
		close(h.first)
		<-h.go_
	}
}

func (h *heard) Exited(machine.Exit) { close(h.end) }

// TestLastWords: what a server has said counts, also if it ends before it has read
// what was said to it. (Grants were lost so.)
func TestLastWords(t *testing.T) {
	for _, unread := range []bool{false, true} {
		m, err := linux.New(linux.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := &heard{first: make(chan struct{}), go_: make(chan struct{}), end: make(chan struct{})}
		c, far, err := m.NewChannel(h)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := linux.TakeFD(far)
		if err != nil {
			t.Fatal(err)
		}
		say := func(s string) {
			if err := unix.Sendto(fd, []byte(s), 0, nil); err != nil {
				t.Fatal(err)
			}
		}
		say("one")
		<-h.first
		if unread && !c.Post(machine.Datagram{Bytes: []byte("never read")}) {
			t.Error("post")
		}
		say("two")
		say("three")
		_ = unix.Close(fd)
		close(h.go_)
		<-h.end
		if want := []string{"one", "two", "three"}; !slices.Equal(h.got, want) {
			t.Errorf("unread %v: heard %q, want %q", unread, h.got, want)
		}
		c.Close()
		m.Close()
	}
}
