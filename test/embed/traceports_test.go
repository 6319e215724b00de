package embed

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"hythe"
	"hythe/ipc"
)

// gate is a writer that takes nothing before it is opened.
type gate struct {
	open chan struct{}
	b    bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.b.Write(p)
}

// TestTracePorts: each message is told of, in order; what comes while the writer takes
// nothing holds nobody up and is counted.
func TestTracePorts(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	m, err := hythe.New(t.Context(), hythe.Config{Pids: 100, Servers: ledgers[:1], TracePorts: g})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := newSender(t, m, 3)
	if _, err := s.ask(); err != nil {
		t.Fatal(err)
	}
	if e := s.note(); e != 0 {
		t.Fatal(e)
	}
	l, err := m.Ports(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(l, func(p hythe.PortInfo) bool { return p.Receiver == "ledger" && p.Label == ipc.RequestLabel })
	if i < 0 || l[i].Messages != 2 || fmt.Sprint(l[i].Rights) != "[{names send 1} {embedder send 1}]" {
		t.Errorf("%+v", l)
	}
	for range 6000 {
		if _, err := s.ask(); err != nil {
			t.Fatal(err)
		}
	}
	close(g.open)
	if err := m.Run(t.Context(), sh(":")); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	text := g.b.String()
	for _, want := range []string{
		"embedder > ledger:requests sent 2, seq 1, 1 bytes, 1 queued\n",
		"ledger:requests received 2, seq 1, 1 bytes\n",
		"ledger > embedder sent answer 2, seq 1, 32 bytes, 1 queued\n",
		"embedder > ledger:requests sent 1, seq 2, 1 bytes, 1 queued\n",
		"ledger:requests received 1, seq 2, 1 bytes",
		" messages more\n",
		"supervisor > unix:control sent start, seq 0,",
		"unix > supervisor sent answer start, seq 0,",
	} {
		_, rest, ok := strings.Cut(text, want)
		if !ok {
			t.Fatalf("no %q behind what was looked for before, in\n%s...", want, text[:min(len(text), 1000)])
		}
		text = rest
	}
}
