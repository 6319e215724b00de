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
