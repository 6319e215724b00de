package network

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"hythe/test/subject"
)

// kills is how often a test kills a server.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("HYTHE_KILLS")); err == nil && n > 0 {
		return n
	}
	if subject.Long() {
		return 100
	}
	return 4
}

func random(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if v, err := strconv.ParseUint(os.Getenv("HYTHE_SEED"), 10, 64); err == nil {
		seed = v
	}
	t.Logf("HYTHE_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// busy runs rounds of busy.py and kills a server in some of them. A server that is
// killed once in each of ten milliseconds that a round takes meets all there is.
func busy(t *testing.T, victim string, args ...string) *machine {
	s := serve(t)
	n := kills()
	rng := random(t)
	rounds := 3 * n
	m := start(t, allow(s.port()), "busy.py", append([]string{"10.0.2.2", s.port(), fmt.Sprint(rounds)}, args...)...)
	for i := range rounds {
		m.line(fmt.Sprintf("round %d", i))
		if i%3 == 1 {
			for range rng.IntN(1_000_000) { // idle turns: another moment each time
				spin++
			}
			m.kill(victim)
		}
	}
	m.line("end")
	m.end()
	t.Log(m.errs.String())
	return m
}

var spin int

// TestUnixDies: streams to the outside lose and repeat no byte when the unix server
// dies.
func TestUnixDies(t *testing.T) { busy(t, "unix") }

// TestNetDies: when the net server dies, streams are reset: none hangs, none has
// wrong bytes, and new ones are made.
func TestNetDies(t *testing.T) { busy(t, "net", "may") }

// TestPublishedOutlives: clients of published ports find them whichever server has
// died; a connection to one is reset at worst.
func TestPublishedOutlives(t *testing.T) {
	m := start(t, published, "published.py")
	tcp, udp := m.port("8000"), m.port("9000/udp")
	rng := random(t)
	for range kills() {
		for _, victim := range []string{"net", "unix"} {
			var wg sync.WaitGroup
			stop := make(chan struct{})
			for range 3 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if err := echo(tcp, 200_000); err != nil {
							if ne, ok := err.(net.Error); ok && ne.Timeout() {
								t.Errorf("%s dies: %v", victim, err)
								return
							}
							if victim == "unix" {
								t.Errorf("%s dies: %v", victim, err)
							}
						}
						if err := ask(udp, "a datagram"); err != nil {
							t.Errorf("%s dies: %v", victim, err)
						}
					}
				})
			}
			for range rng.IntN(1_000_000) {
				spin++
			}
			m.kill(victim)
			if err := echo(tcp, 1000); err != nil && victim == "unix" {
				t.Errorf("after %s has died: %v", victim, err)
			}
			close(stop)
			wg.Wait()
		}
		if err := echo(tcp, 100_000); err != nil {
			t.Error(err)
		}
	}
	m.end()
}

// TestIdleIsReset: a connection on which nobody says anything hears of the net
// server's end, too.
func TestIdleIsReset(t *testing.T) {
	s := serve(t)
	m := start(t, allow(s.port()), "idle.py", "10.0.2.2", s.port())
	begin := time.Now()
	m.kill("net")
	m.line("ECONNRESET")
	t.Logf("told after %v, which services took part of", time.Since(begin))
	m.line("again")
	m.end()
}
