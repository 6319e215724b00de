package nucleus_test

import (
	"encoding/binary"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// hello is a guest task's process, which introduces itself.
func (g *guest) hello() {
	g.task.Send(message.PutCall(nil, &abi.CallHeader{Op: abi.CallHello}))
	g.w.run()
	g.w.check()
}

// runs says where the process was told to run, all of it; 0: nobody said.
func (g *guest) runs() uint64 { return g.task.Runs[0][0] }

func (p *proc) assign(g *guest, thread, set uint64, own ...byte) abi.Errno {
	p.w.t.Helper()
	return abi.Errno(p.callData(abi.CallTaskAssign, own, g.name, thread, set).Err)
}

// fork lets g fork in the nucleus's eyes: its child's process does not run yet.
func (p *proc) fork(g *guest) *guest {
	p.w.t.Helper()
	name := p.ok(abi.CallTaskCreate, g.name, 4, 7)
	d, ok := g.task.Next()
	if !ok || len(d.Handles) != 3 {
		p.w.t.Fatal("no EventChannel")
	}
	far := d.Handles[0].(*sim.Handle)
	far.Channel.Adopt()
	for _, h := range d.Handles {
		h.Release()
	}
	return &guest{proc: &proc{w: p.w}, name: name, task: far.Channel}
}

func TestProcessorSets(t *testing.T) {
	w := newWorld(t, nucleus.Limits{}) // processors 0 to 3
	u := w.server("unix", nucleus.PowerTasks)
	before := used(u.s)
	for _, b := range [][]byte{nil, {0}, {16}, {1, 1}, make([]byte, 129)} {
		if e := u.callData(abi.CallProcessorSet, b); abi.Errno(e.Err) != abi.EINVAL {
			t.Errorf("a set of %v: %v", b, abi.Errno(e.Err))
		}
	}
	set := func(b ...byte) uint64 {
		t.Helper()
		e := u.callData(abi.CallProcessorSet, b)
		if e.Err != 0 {
			t.Fatal(abi.Errno(e.Err))
		}
		return e.A[0]
	}
	info := func(set, n, tasks uint64, first byte) {
		t.Helper()
		if e := u.call(abi.CallProcessorInfo, set); e.Err != 0 || e.A[0] != n || e.A[1] != tasks || len(e.data) != 128 || e.data[0] != first {
			t.Errorf("set %#x: %+v % x", set, e.CallHeader, e.data[:8])
		}
	}
	a, b := set(3), set(12, 0, 0)
	g := u.guest()
	info(0, 4, 1, 15)
	g.hello()
	if g.task.Runs != nil {
		t.Error("a task that nobody assigned was placed")
	}
	if err := u.assign(g, 0, a); err != 0 || g.runs() != 3 {
		t.Errorf("assign: %v, runs on %#x", err, g.runs())
	}
	info(0, 4, 0, 15)
	info(a, 2, 1, 3)

	// Of the set, what it or a thread of it wants.
	g.task.Threads = []uint64{5}
	for _, x := range []struct {
		err    abi.Errno
		thread uint64
		set    uint64
		own    byte
	}{
		{abi.EINVAL, 0, uint64(abi.NameDead), 4}, {abi.EINVAL, 5, uint64(abi.NameDead), 12}, {abi.EINVAL, 5, b, 4}, {abi.EINVAL, 5, 0, 1},
		{abi.ESRCH, 6, uint64(abi.NameDead), 1}, {abi.EBADF, 0, 0x7700, 1}, {abi.EPERM, 0, g.name, 1},
	} {
		if err := u.assign(g, x.thread, x.set, x.own); err != x.err {
			t.Errorf("%+v: %v", x, err)
		}
	}
	if err := u.assign(g, 5, uint64(abi.NameDead), 6); err != 0 || g.task.Runs[5][0] != 2 {
		t.Errorf("a thread: %v, %v", err, g.task.Runs)
	}
	if err := u.assign(g, 0, uint64(abi.NameDead), 1); err != 0 || g.runs() != 1 || len(g.task.Runs) != 1 {
		t.Errorf("the task: %v, %v", err, g.task.Runs)
	}
	w.server("other", 0).want(abi.EBADF, abi.CallTaskAssign, g.name)

	// A fork is in its parent's set. Moved meanwhile it is told when it begins.
	f := u.fork(g)
	info(a, 2, 2, 3)
	f.hello()
	if f.task.Runs != nil {
		t.Error("a fork was placed: it had what its parent had")
	}
	late := u.fork(g)
	if err := u.assign(g, 0, b); err != 0 || g.runs() != 12 {
		t.Errorf("assign: %v, %#x", err, g.runs())
	}
	late.hello()
	if late.runs() != 3 { // its own set; its parent had left it before it forked
		t.Errorf("the fork runs on %#x", late.runs())
	}
	mine := u.fork(g)
	if err := u.assign(mine, 0, uint64(abi.NameDead), 8); err != 0 || mine.task.Runs != nil {
		t.Errorf("before it begins: %v", err)
	}
	mine.hello()
	if mine.runs() != 8 {
		t.Errorf("it begins on %#x", mine.runs())
	}

	// Refused by the host.
	w.m.FailNext(sim.OpSchedule, 1)
	if err := u.assign(g, 5, uint64(abi.NameDead), 4); err != abi.ESRCH && err != abi.EINVAL {
		t.Errorf("refused: %v", err)
	}

	// The server's next process has the sets; with the last right a set's tasks leave it.
	u.die()
	told := 0
	for _, e := range u.start() {
		if e.Op == abi.EventInherit && e.A[1] == abi.RightCPUs && (e.A[0] == a || e.A[0] == b) {
			told++
		}
	}
	if told != 2 {
		t.Errorf("told of %d sets", told)
	}
	u.ok(abi.CallPortDeallocate, b)
	if g.runs() != 15 || mine.runs() != 15 || f.task.Runs != nil {
		t.Errorf("after the set's end: %#x, %#x, %v", g.runs(), mine.runs(), f.task.Runs)
	}
	u.want(abi.EBADF, abi.CallProcessorInfo, b)
	for _, x := range []*guest{f, late} {
		x.task.Die(machine.Exit{})
	}
	w.run()
	w.check()
	info(a, 2, 0, 3)
	u.ok(abi.CallPortDeallocate, a)
	if n := used(u.s); n != before {
		t.Errorf("%d bytes are left", n-before)
	}
	if err := u.assign(f, 0, 0); err != abi.ESRCH {
		t.Errorf("a dead task: %v", err)
	}
	w.end()
}

// What a machine's tasks may be given is decided by the machine, then by the host.
func TestPolicies(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	u := w.server("unix", nucleus.PowerTasks)
	g := u.guest()
	g.hello()
	g.task.Threads = []uint64{5}
	deadline := func(r, d, p uint64) []byte {
		b := binary.LittleEndian.AppendUint64(nil, r)
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, d), p)
	}
	neg := func(n int64) uint64 { return uint64(n) }
	ask := func(err abi.Errno, data []byte, a ...uint64) {
		t.Helper()
		if e := u.callData(abi.CallThreadPolicy, data, append([]uint64{g.name}, a...)...); abi.Errno(e.Err) != err {
			t.Errorf("%v with %d bytes: %v, want %v", a, len(data), abi.Errno(e.Err), err)
		}
	}
	for _, a := range [][]uint64{{0, 0, 0}, {0, 7, 0}, {0, abi.ClassNormal, 20}, {0, abi.ClassNormal, neg(-21)}, {0, abi.ClassNormal, 0, 2},
		{0, abi.ClassFixed, 0}, {0, abi.ClassRound, 100}, {5, abi.ClassDeadline, 0}, {0, abi.ClassFixed, 1<<32 + 1}} {
		ask(abi.EINVAL, nil, a...)
	}
	ask(abi.EINVAL, deadline(1e6, 1e7, 1e7), 0, abi.ClassDeadline, 0) // of all threads
	ask(abi.EINVAL, deadline(1e6, 1e7, 1e7), 5, abi.ClassNormal, 0)
	for _, d := range [][]byte{deadline(1000, 1e7, 1e7), deadline(2e7, 1e7, 1e7), deadline(1e6, 1e7, 1e6), deadline(1e6, 1e7, 1<<63), {1}} {
		ask(abi.EINVAL, d, 5, abi.ClassDeadline, 0)
	}

	// Nothing was given.
	ask(abi.EPERM, nil, 5, abi.ClassNormal, neg(-1))
	ask(abi.EPERM, nil, 5, abi.ClassFixed, 1)
	ask(abi.EPERM, deadline(1e6, 1e7, 1e7), 5, abi.ClassDeadline, 0)
	ask(0, nil, 5, abi.ClassBatch, 7, 1)
	if p := g.task.Policies[5]; p != (machine.Policy{Class: abi.ClassBatch, Nice: 7, Reset: true}) {
		t.Errorf("the host was told %+v", p)
	}
	ask(0, nil, 0, abi.ClassIdle, 19)
	if p := g.task.Policies[0]; p != (machine.Policy{Class: abi.ClassIdle, Nice: 19}) || len(g.task.Policies) != 1 {
		t.Errorf("the host was told %+v", g.task.Policies)
	}
	ask(abi.ESRCH, nil, 6, abi.ClassIdle, 0)

	w.m.May = machine.Scheduling{Classes: ^uint32(0), Nice: -5, Priority: 10}
	if e := u.call(abi.CallProcessorInfo, 0); uint32(e.A[2]) != ^uint32(0) || int64(e.A[3]) != -5 || e.A[4] != 10 {
		t.Errorf("what may be: %+v", e.CallHeader)
	}
	ask(0, nil, 5, abi.ClassNormal, neg(-5))
	ask(abi.EPERM, nil, 5, abi.ClassNormal, neg(-6))
	ask(0, nil, 5, abi.ClassFixed, 10)
	ask(abi.EPERM, nil, 5, abi.ClassRound, 11)
	ask(0, deadline(1e6, 1e7, 2e7), 5, abi.ClassDeadline, 0)
	if p := g.task.Policies[5]; p != (machine.Policy{Class: abi.ClassDeadline, Runtime: 1e6, Deadline: 1e7, Period: 2e7}) {
		t.Errorf("the host was told %+v", p)
	}
	w.m.FailNext(sim.OpSchedule, 1)
	ask(abi.EOPNOTSUPP, nil, 5, abi.ClassFixed, 10)
	w.server("other", 0).want(abi.EBADF, abi.CallThreadPolicy, g.name, 0, abi.ClassIdle, 0)
	w.end()
}

// What is said of a task's threads before the nucleus has read that it has begun is done
// then, in its order, and at the latest refused when the task ends, or in time.
func TestEarly(t *testing.T) {
	w := newWorld(t, nucleus.Limits{})
	u := w.server("unix", nucleus.PowerTasks)
	waits := func(id uint64) {
		t.Helper()
		if e, ok := u.reply(id); ok {
			t.Fatalf("it is answered: %v", abi.Errno(e.Err))
		}
	}
	wants := func(id uint64, err abi.Errno) {
		t.Helper()
		if e, ok := u.reply(id); !ok || abi.Errno(e.Err) != err {
			t.Fatalf("answered %v with %v, want %v", ok, abi.Errno(e.Err), err)
		}
	}
	idle := func(g *guest, thread uint64) uint64 {
		return u.post(abi.CallThreadPolicy, nil, nil, g.name, thread, abi.ClassIdle)
	}
	runs := func(g *guest, thread uint64, on byte) uint64 {
		return u.post(abi.CallTaskAssign, []byte{on}, nil, g.name, thread, uint64(abi.NameDead))
	}

	g := u.guest()
	f := u.fork(g)
	f.task.Threads = []uint64{5}
	a, b, c := runs(f, 5, 1), idle(f, 5), idle(f, 6)
	waits(a)
	if err := u.assign(f, 0, uint64(abi.NameDead), 6); err != 0 {
		t.Fatal(err)
	}
	d := runs(f, 5, 2)
	f.hello()
	for id, err := range map[uint64]abi.Errno{a: 0, b: 0, c: abi.ESRCH, d: 0} {
		wants(id, err)
	}
	if r := f.task.Runs; len(r) != 2 || r[0][0] != 6 || r[5][0] != 2 || f.task.Policies[5].Class != abi.ClassIdle {
		t.Errorf("the host was told %v, %v", r, f.task.Policies)
	}
	w.m.Advance(20e9) // no timer is left

	// It ends, or nothing is heard of it.
	x, y := u.fork(g), u.fork(g)
	a = idle(x, 5)
	w.m.Advance(9e9)
	b = runs(y, 5, 1)
	waits(a)
	w.m.Advance(1e9)
	wants(a, abi.ESRCH)
	waits(b)
	y.task.Die(machine.Exit{})
	w.run()
	wants(b, abi.ESRCH)
	x.hello()
	if x.task.Policies != nil {
		t.Error("done after it was refused")
	}

	// There are not too many; and whoever asked may be gone.
	z := u.fork(g)
	for range 64 {
		waits(idle(z, 0))
	}
	wants(idle(z, 0), abi.EAGAIN)
	u.die()
	u.start()
	z.hello()
	if len(u.answer) != 0 || z.task.Policies[0].Class != abi.ClassIdle {
		t.Errorf("answers: %v; %v", u.answer, z.task.Policies)
	}
	u.want(0, abi.CallThreadPolicy, z.name, 0, abi.ClassNormal)
	w.end()
}
