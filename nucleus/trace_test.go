package nucleus_test

import (
	"fmt"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/machine"
	"hythe/machine/sim"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

// TestTraffic: a tracer is told of each message when it is sent, waits, is received and
// received again, and of bindings; and who has which right can be looked at.
func TestTraffic(t *testing.T) {
	var got []string
	w := &world{t: t, m: sim.New()}
	w.run = w.m.Run
	w.m.OnServer = func(c *sim.Channel, _ machine.ServerSpec) { w.last = c }
	on := false
	w.k = nucleus.New(w.m, nucleus.Limits{}, nucleus.Hooks{Traffic: func(r nucleus.Traffic) {
		if on {
			got = append(got, fmt.Sprintf("%s>%s:%s %s %v %d/%d %d+%d %d|%d", r.From, r.To, r.Port, r.What, r.Answer, r.ID, r.Seq, r.Bytes, r.Rights, r.Queue, r.Blocked))
		}
	}})
	srv, cli := w.server("srv", nucleus.PowerTasks), w.server("cli", 0)
	svc, back := srv.port(), cli.port()
	srv.callData(abi.CallPortLabel, []byte("svc"), svc)
	srv.ok(abi.CallPortLimit, svc, 1)
	n := srv.give(cli, right{svc, abi.MakeSend})
	g := srv.guest()
	srv.ok(abi.CallPortMakeSend, svc)
	srv.open(g, svc)
	on = true
	m := msg(n, abi.CopySend, right{back, abi.MakeSendOnce}, 7, right{back, abi.MakeSend})
	m.Seq, m.Body = 3, []byte("hello")
	cli.post(abi.CallMsgSend, message.Put(nil, m), nil, abi.Forever)
	m = msg(n, abi.CopySend, right{}, 8)
	cli.post(abi.CallMsgSend, message.Put(nil, m), nil, abi.Forever)
	q := srv.must(svc)
	srv.die()
	srv.start()
	srv.must(svc)
	srv.send(msg(uint64(q.Local), abi.MoveSendOnce, right{}, 7))
	srv.must(svc)
	cli.ok(abi.CallBind, n, 4)
	if err := g.send(msg(g.first, abi.CopySend, right{}, 9)); err != 0 {
		t.Fatal(err)
	}
	on = false
	guest := fmt.Sprint("task-", 3)
	want := []string{
		"cli>srv:svc sent false 7/3 5+1 1|0",
		"cli>srv:svc blocked false 8/0 0+0 1|1",
		">srv:svc received false 7/3 5+1 0|1",
		">srv:svc again false 7/3 5+0 1|0",
		"srv>cli: sent true 7/0 0+0 1|0",
		">srv:svc received false 8/0 0+0 0|0",
		"cli>srv:svc bound false 0/0 4+0 0|0",
		guest + ">srv:svc sent false 9/0 0+0 1|0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	i := slices.IndexFunc(w.k.Receivers(), func(r nucleus.Receiver) bool { return r.Label == "svc" })
	if i < 0 {
		t.Fatal("the port is not listed")
	}
	r := w.k.Receivers()[i]
	if s := fmt.Sprint(r.Task, " ", r.Queued, r.Limit, r.Messages, r.Rights); s != "srv 1 1 3 [{srv 1 1} {cli 1 1} {"+guest+" 1 1}]" {
		t.Error(s)
	}
	g.gone()
	w.end()
}
