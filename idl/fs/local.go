package fs

import (
	"sync"
	"sync/atomic"

	"hythe/ipc"
)

// Local is a file server that runs in its client's process
// (docs/decisions/0017-placement.md). It has a control channel, rights and a state of
// record of its own, and a binding to the client, as if it were in another process. But
// what the client asks is a call of its method on the client's goroutine: the two die
// together, so that a request which is under way then is one that the client repeats
// under the same numbers.
//
// One request is served at a time, by whoever holds mu. Who holds it may wait for
// another server's answer, which the goroutine that has the role of the client's Poller
// finds; so the one that has the role never waits for mu with it.
//
// The methods that are for the server itself do nothing on a nil *Local: then its process
// is its own.
type Local struct {
	poller *ipc.Poller
	made   atomic.Pointer[service] // nil until it serves

	mu   sync.Mutex // held while a request is served
	from *ipc.Lead  // guarded by mu: how the request's goroutine gives the role away, nil: it has none
	lead ipc.Lead   // how requests to others are made with the role; from is not nil
}

// NewLocal makes the place of a file server beside a client that has p.
func NewLocal(p *ipc.Poller) *Local {
	l := &Local{poller: p}
	l.lead = ipc.Lead{Poller: p, Pass: l.Waits}
	return l
}

// Ask gives the file server at the other end of b to the server in l, whose requests make
// use of it. For the server.
func (l *Local) Ask(b *ipc.ClientBinding) *Client {
	if l != nil {
		l.poller.AddClient(b)
	}
	return &Client{b: b, local: l}
}

// Waits is called by the server before it waits for others: what it serves is then no
// more on the time of who has the role of the Poller.
func (l *Local) Waits() {
	if l.leads() {
		from := l.from
		l.from = nil
		from.Pass()
	}
}

// leads says whether the goroutine that serves a request has the role of the Poller.
func (l *Local) leads() bool { return l != nil && l.from != nil }

// serves notes that s is ready.
func (l *Local) serves(s *service) {
	if l != nil {
		l.made.Store(s)
	}
}

// enter begins a request of a goroutine that can give the role of the Poller away by from,
// or has none (nil).
func (l *Local) enter(from *ipc.Lead) {
	if l == nil {
		return
	}
	if !l.mu.TryLock() {
		if from != nil {
			from.Pass()
			from = nil
		}
		l.mu.Lock()
	}
	l.from = from
}

// leave ends a request. One that panics keeps the server to itself, so that nobody sees what
// is half done: the process ends.
func (l *Local) leave() {
	if l == nil {
		return
	}
	if v := recover(); v != nil {
		panic(v)
	}
	l.from = nil
	l.mu.Unlock()
}

// Server gives the server to its client, whose way to it else is far: until it serves, and
// for what the last incarnation had asked. With lead it is for the goroutine that has the
// role of the Poller, as what Client.Lead answers is.
func (l *Local) Server(far *Client, lead *ipc.Lead) *Near {
	n := &Near{l: l, far: far, lead: lead, away: far}
	if lead != nil {
		n.away = far.Lead(lead)
	}
	return n
}

// Near is a file server in this process, as Client is one in another: it implements Server.
type Near struct {
	l    *Local
	far  *Client
	lead *ipc.Lead // of who has the role; nil: who calls has none
	away Server    // far, as who calls may use it
}

var _ Server = (*Near)(nil)

// begin begins a request of which r is the number: by whom it is served, and whom to leave
// afterwards.
func (n *Near) begin(r *Req) (Server, *Local) {
	s := n.l.made.Load()
	if s == nil {
		return n.away, nil
	}
	lead, b := n.lead, n.far.made()
	if b == nil {
		if lead != nil { // to make a binding is to wait for others
			lead.Pass()
			lead = nil
		}
		if b = n.far.Binding(); b == nil {
			return n.far, nil // which says so
		}
	}
	r.Binding = b.ID
	n.l.enter(lead)
	return s.impl, n.l
}
