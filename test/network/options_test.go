package network

import "testing"

// TestErrorQueue: a socket that asks hears what became of each of its datagrams.
func TestErrorQueue(t *testing.T) { likeHost(t, "recverr.py") }

// TestErrorQueueDeath: what it has not read yet it hears when the unix server has died.
func TestErrorQueueDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "recverrdeath.py")
	m.kill("unix")
	m.say("")
	m.line("one 1 111")
	m.line("two 1 0")
	m.line("queue EAGAIN")
	m.end()
}

// TestGroups: what goes to a group on the loopback interface reaches whom it does on the host.
func TestGroups(t *testing.T) { likeHost(t, "multicast.py") }

// TestGroupsDeath: memberships outlive the unix server.
func TestGroupsDeath(t *testing.T) {
	m := start(t, []string{"--network", "none"}, "multicastdeath.py")
	m.kill("unix")
	m.say("")
	m.line("heard b'x'")
	m.kill("unix")
	m.say("")
	m.line("heard EAGAIN")
	m.end()
}
