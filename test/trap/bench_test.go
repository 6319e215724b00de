package trap

import (
	"testing"

	"hythe/abi"
	hostlinux "hythe/machine/linux"
)

// BenchmarkStart starts and ends a machine's guest side: namespaces, reaper,
// zygote.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		z, err := hostlinux.StartZygote(hostlinux.GuestConfig{})
		if err != nil {
			b.Fatal(err)
		}
		if err := z.Wait(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		z.Stop()
		b.StartTimer()
	}
}

// benchCalls makes b.N calls of number nr from one guest.
func benchCalls(b *testing.B, nr string, desc map[int]abi.CallDesc, extra func(c *call) bool) {
	h := newHarness(b, desc, asmHead+`
	sys 902
	mov %rax, %rbx
	report $1
1:	mov $`+nr+`, %eax
	syscall
	dec %rbx
	jnz 1b
	report $2
	done`)
	h.extra = func(c *call) bool {
		if c.s.Nr == 902 {
			c.reply(uint64(b.N))
			return true
		}
		return extra(c)
	}
	task := h.run()
	h.expect("start", 1)
	b.ResetTimer()
	h.expect("end", 2)
	b.StopTimer()
	h.end(task)
}

// BenchmarkLocal is a call that the library answers itself.
func BenchmarkLocal(b *testing.B) { benchCalls(b, "39", localCalls, nil) }

// BenchmarkServer is a call to the test server, which sleeps on its doorbell.
func BenchmarkServer(b *testing.B) {
	benchCalls(b, "903", nil, func(c *call) bool { c.reply(0); return true })
}

// BenchmarkSpawn starts a fresh task up to its first call.
func BenchmarkSpawn(b *testing.B) {
	h := newHarness(b, nil, asmHead+"report $1\n done")
	for b.Loop() {
		task := h.run()
		h.expect("start", 1)
		h.end(task)
	}
}
