package fs

import (
	"testing"

	"hythe/abi"
	"hythe/ipc"
)

// asking is a server of which GetAttr does what the test says; it is asked for nothing else.
type asking struct {
	Server
	getAttr func(node NodeID)
}

func (a asking) GetAttr(_ Req, node NodeID) (Entry, abi.Errno) {
	a.getAttr(node)
	return Entry{Node: node}, 0
}

// local makes a Local that serves with f, and how its client asks without and with the role of
// the Poller; passed counts how often that was given away.
func local(f func(l *Local, node NodeID)) (l *Local, plain, led *Near, passed *int) {
	l, passed = NewLocal(nil), new(int)
	l.made.Store(&service{impl: asking{getAttr: func(n NodeID) { f(l, n) }}})
	far := NewClient(&ipc.ClientBinding{ID: 7})
	return l, l.Server(far, nil), l.Server(far, &ipc.Lead{Pass: func() { *passed++ }}), passed
}

// TestLocal: who has the role of the Poller gives it away before he waits, be it for the server,
// which another's request has, or for whom the server asks; and not otherwise.
func TestLocal(t *testing.T) {
	in, out := make(chan bool), make(chan bool)
	_, plain, led, passed := local(func(l *Local, n NodeID) {
		switch n {
		case 2:
			l.Waits()
			l.Waits() // once it is given away it is another's
		case 3:
			in <- true
			<-out
		}
	})
	ask := func(n *Near, node NodeID, want int) {
		t.Helper()
		if e, err := n.GetAttr(Req{}, node); err != 0 || e.Node != node || *passed != want {
			t.Errorf("node %d: %v, %v; passed %d times, want %d", node, e, err, *passed, want)
		}
	}
	ask(led, 1, 0)
	ask(led, 2, 1)
	ask(plain, 2, 1)
	ask(led, 1, 1)
	done := make(chan bool)
	go func() {
		ask(plain, 3, 2) // by the other, meanwhile
		done <- true
	}()
	<-in
	given := make(chan bool)
	led.lead.Pass = func() {
		*passed++
		close(given)
	}
	go func() {
		ask(led, 2, 2) // and it has none any more that it could give away
		done <- true
	}()
	<-given
	out <- true
	<-done
	<-done
}

// TestLocalPanics: nobody sees what a request that panicked has left half done.
func TestLocalPanics(t *testing.T) {
	l, plain, _, _ := local(func(_ *Local, n NodeID) { panic(n) })
	func() {
		defer func() {
			if v := recover(); v != NodeID(4) {
				t.Errorf("recovered %v", v)
			}
		}()
		plain.GetAttr(Req{}, 4)
	}()
	if l.mu.TryLock() {
		t.Error("the server can be asked again")
	}
}

// TestLocalNames: what is no name does not get to the server, as on the way to another process.
func TestLocalNames(t *testing.T) {
	_, plain, _, _ := local(nil)
	for _, name := range []string{"", "a/b", "a\x00b"} {
		if _, err := plain.Lookup(Req{}, 1, name); err != abi.EINVAL {
			t.Errorf("%q: %v", name, err)
		}
		if err := plain.Rename(Req{}, 1, "a", 1, name, 0); err != abi.EINVAL {
			t.Errorf("%q: %v", name, err)
		}
	}
}
