package rights

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"hythe/abi"
	"hythe/nucleus"
	"hythe/nucleus/message"
)

var le = binary.LittleEndian

var update = flag.Bool("update", false, "write what the simulated machine answers into the tables (then read the difference)")

var dispositions = map[string]uint8{
	"move-receive": abi.MoveReceive, "move-send": abi.MoveSend, "move-once": abi.MoveSendOnce,
	"copy-send": abi.CopySend, "make-send": abi.MakeSend, "make-once": abi.MakeSendOnce, "none": 0, "unknown": 7,
}

var kinds = []string{"", "send", "receive", "once", "set", "dead", "object", "task", "alarm"}

var notifications = map[string]uint64{
	"dead-name": abi.NotifyDeadName, "no-senders": abi.NotifyNoSenders, "port-destroyed": abi.NotifyPortDestroyed, "unknown": 9,
}

func kindsOf(mask uint64) string {
	var s []string
	for k, n := range kinds {
		if n != "" && mask&(1<<k) != 0 {
			s = append(s, n)
		}
	}
	return strings.Join(s, "+")
}

// boxes: each task can send to each other one's port "box".
func (w *world) boxes() {
	for _, t := range w.order {
		n, err := t.s.MakePort("box " + t.s.Name())
		if err != nil {
			w.t.Fatal(err)
		}
		t.names["box"] = uint64(n)
	}
	for _, t := range w.order {
		for _, u := range w.order {
			if t != u {
				n, err := t.s.GiveSend(u.s.Name(), u.s, "box "+u.s.Name())
				if err != nil {
					w.t.Fatal(err)
				}
				t.names["@"+u.s.Name()] = uint64(n)
			}
		}
	}
}

// name is the number that a word of the case stands for.
func (t *task) name(s string) uint64 {
	switch s {
	case "null":
		return 0
	case "dead":
		return uint64(abi.NameDead)
	}
	if n, ok := t.names[s]; ok {
		return n
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.w.t.Fatalf("a task has no name %q", s)
	}
	return n
}

// word is what the case calls a number.
func (t *task) word(n abi.Name) string {
	switch n {
	case abi.NameNull:
		return "null"
	case abi.NameDead:
		return "dead"
	}
	best := ""
	for w, v := range t.names {
		if v == uint64(n) && (best == "" || w < best) {
			best = w
		}
	}
	if best == "" {
		return "?"
	}
	return best
}

// status is what a name of the task stands for: rights and references.
func (t *task) status(n uint64) string {
	e := t.call(abi.CallPortStatus, nil, n)
	if e.Err != 0 {
		return abi.Errno(e.Err).Error()
	}
	return fmt.Sprintf("%s %d", kindsOf(e.A[0]), e.A[5])
}

func result(e event) string {
	if e.Err == 0 {
		return "ok"
	}
	return abi.Errno(e.Err).Error()
}

// message builds a message of words: the destination and its disposition,
// "reply NAME DISPOSITION", "with NAME DISPOSITION", "object NAME OFF LEN FLAGS",
// "id N", "seq N", "body N". "then NAME", "wait MS" and "alone" are the call's.
func (t *task) message(f []string) (b []byte, wait, then, alone uint64) {
	m := &message.Msg{}
	disp := func(s string) uint8 {
		d, ok := dispositions[s]
		if !ok {
			t.w.t.Fatalf("disposition %q", s)
		}
		return d
	}
	num := func(s string) uint64 {
		if s == "ever" {
			return abi.Forever
		}
		n, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.w.t.Fatal(err)
		}
		return n
	}
	m.Remote, m.RemoteDisp = abi.Name(t.name(f[0])), disp(f[1])
	for f = f[2:]; len(f) > 0; {
		switch f[0] {
		case "reply":
			m.Local, m.LocalDisp = abi.Name(t.name(f[1])), disp(f[2])
			f = f[3:]
		case "with":
			m.Rights = append(m.Rights, abi.RightDesc{Name: abi.Name(t.name(f[1])), Disp: disp(f[2])})
			f = f[3:]
		case "object":
			m.Objects = append(m.Objects, abi.ObjectDesc{Name: abi.Name(t.name(f[1])), Off: num(f[2]), Len: num(f[3]), Flags: uint32(num(f[4]))})
			f = f[5:]
		case "id":
			m.ID = uint32(num(f[1]))
			f = f[2:]
		case "seq":
			m.Seq = num(f[1])
			f = f[2:]
		case "body":
			m.Body = bytes.Repeat([]byte{'x'}, int(num(f[1])))
			f = f[2:]
		case "wait":
			if wait = num(f[1]); wait != abi.Forever {
				wait *= 1e6
			}
			f = f[2:]
		case "alone":
			alone = abi.SendAlone
			f = f[1:]
		case "then":
			then = t.name(f[1])
			f = f[2:]
		default:
			t.w.t.Fatalf("word %q", f[0])
		}
	}
	return message.Put(nil, m), wait, then, alone
}

// got tells a received message; its rights get the words in as.
func (t *task) got(e event, as []string) string {
	if len(e.data) == 0 {
		s := result(e)
		if e.A[3] == 1 {
			s += " sent"
		}
		return s
	}
	m, err := message.Get(e.data)
	if err != 0 {
		t.w.t.Fatal(err)
	}
	var s []string
	if e.Err != 0 {
		s = append(s, abi.Errno(e.Err).Error(), "back")
	}
	bind := func(n abi.Name) string {
		if len(as) > 0 && n != abi.NameNull && n != abi.NameDead {
			if w := t.word(n); w == "?" {
				t.names[as[0]] = uint64(n)
			}
			as = as[1:]
		}
		return t.word(n)
	}
	s = append(s, fmt.Sprintf("%s id %d", t.word(m.Remote), m.ID))
	if m.Seq != 0 {
		s = append(s, fmt.Sprintf("seq %d", m.Seq))
	}
	if e.Err == 0 && e.A[1] == 1 {
		s = append(s, fmt.Sprintf("again %d", e.A[2]))
	}
	if m.ID >= abi.MsgNotify && m.ID < abi.MsgNotify+8 && len(m.Body) == 8 {
		v := le.Uint64(m.Body)
		switch m.ID - abi.MsgNotify {
		case abi.NotifyDeadName:
			s = append(s, "dead-name", t.word(abi.Name(v)))
		case abi.NotifyNoSenders:
			s = append(s, fmt.Sprintf("no-senders %d", v))
		case abi.NotifyPortDestroyed:
			s = append(s, "port-destroyed")
		case abi.NotifySendOnce:
			s = append(s, "send-once")
		}
	} else if m.ID == abi.MsgAlarm && len(m.Body) == 24 && le.Uint64(m.Body) == 7 {
		s = append(s, "alarm")
	} else if len(m.Body) > 0 {
		s = append(s, fmt.Sprintf("body %d", len(m.Body)))
	}
	if m.Local != abi.NameNull || m.LocalDisp != 0 {
		s = append(s, "reply "+bind(m.Local)+" "+word(dispositions, m.LocalDisp))
	}
	for _, r := range m.Rights {
		s = append(s, fmt.Sprintf("with %s %s", bind(r.Name), kinds[r.Kind]))
	}
	for _, o := range m.Objects {
		s = append(s, fmt.Sprintf("object %s %d %d %d", bind(o.Name), o.Off, o.Len, o.Flags))
	}
	return strings.Join(s, " ")
}

func word[T comparable](m map[string]T, v T) string {
	for w, x := range m {
		if x == v {
			return w
		}
	}
	return "?"
}

// step carries out one line of a case and tells what came of it.
func (w *world) step(line string) string {
	f := strings.Fields(line)
	t := w.tasks[f[0]]
	if t == nil {
		w.t.Fatalf("%q: no task", line)
	}
	num := func(i int) uint64 {
		n, err := strconv.ParseInt(f[i], 0, 64)
		if err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		return uint64(n)
	}
	right := func(s string) uint64 {
		for k, n := range kinds {
			if n == s {
				return uint64(k)
			}
		}
		return num(3)
	}
	switch f[1] {
	case "new", "set": // a port, a set
		kind := uint64(abi.RightReceive)
		if f[1] == "set" {
			kind = abi.RightSet
		}
		e := t.call(abi.CallPortAllocate, nil, kind)
		if e.Err == 0 && len(f) > 2 {
			t.names[f[2]] = e.A[0]
		}
		return result(e)
	case "object":
		e := t.call(abi.CallObjectCreate, nil, num(3))
		if e.Err == 0 {
			t.names[f[2]] = e.A[0]
		}
		return result(e)
	case "make":
		return result(t.call(abi.CallPortMakeSend, nil, t.name(f[2])))
	case "drop":
		return result(t.call(abi.CallPortDeallocate, nil, t.name(f[2])))
	case "mod": // NAME RIGHT DELTA
		return result(t.call(abi.CallPortModRefs, nil, t.name(f[2]), right(f[3]), num(4)))
	case "destroy": // a receive right
		return result(t.call(abi.CallPortModRefs, nil, t.name(f[2]), abi.RightReceive, ^uint64(0)))
	case "member":
		return result(t.call(abi.CallPortSetMember, nil, t.name(f[2]), t.name(f[3])))
	case "limit":
		return result(t.call(abi.CallPortLimit, nil, t.name(f[2]), num(3)))
	case "label": // NAME LENGTH
		return result(t.call(abi.CallPortLabel, make([]byte, num(3)), t.name(f[2])))
	case "bind": // WORD NAME SLOTS: a session with who receives there
		e := t.call(abi.CallBind, nil, t.name(f[3]), num(4))
		if e.Err == 0 {
			t.names[f[2]] = e.A[0]
		}
		return result(e)
	case "unbind":
		return result(t.call(abi.CallUnbind, nil, t.name(f[2])))
	case "rename":
		n := t.name(f[3])
		e := t.call(abi.CallPortRename, nil, t.name(f[2]), n)
		if e.Err == 0 {
			t.names[f[2]] = n
		}
		return result(e)
	case "notify": // NAME KIND once NAME | event | cancel, [sync N]
		once, sync, i := uint64(0), uint64(0), 5
		switch f[4] {
		case "once":
			once, i = t.name(f[5]), 6
		case "event":
			once = uint64(abi.NameDead)
		}
		if len(f) > i {
			sync = num(i + 1)
		}
		return result(t.call(abi.CallPortNotify, nil, t.name(f[2]), notifications[f[3]], once, sync))
	case "status":
		return t.status(t.name(f[2]))
	case "queue": // what a receive right's status says more
		e := t.call(abi.CallPortStatus, nil, t.name(f[2]))
		if len(e.data) != abi.PortStatusSize {
			return fmt.Sprint(result(e), " ", len(e.data))
		}
		set := t.word(abi.Name(le.Uint32(e.data)))
		return fmt.Sprintf("%d of %d seq %d made %d set %s sends %d onces %d blocked %d asked %d", e.A[1], e.A[2], e.A[3], e.A[4],
			set, le.Uint32(e.data[4:]), le.Uint32(e.data[8:]), le.Uint32(e.data[12:]), le.Uint32(e.data[16:]))
	case "members":
		e := t.call(abi.CallPortStatus, nil, t.name(f[2]))
		s := fmt.Sprint(e.A[1])
		for b := e.data; len(b) >= 4; b = b[4:] {
			s += " " + t.word(abi.Name(le.Uint32(b)))
		}
		return s
	case "once": // NAME of a port: makes a send-once right that it keeps
		e := t.call(abi.CallMsgSend, message.Put(nil, &message.Msg{MsgHeader: abi.MsgHeader{Remote: abi.Name(t.name(f[2])), RemoteDisp: abi.MakeSendOnce},
			Rights: []abi.RightDesc{{Name: abi.Name(t.name(f[2])), Disp: abi.MakeSendOnce}}}))
		if e.Err != 0 {
			return result(e)
		}
		e = t.call(abi.CallMsgReceive, nil, t.name(f[2]))
		m, err := message.Get(e.data)
		if e.Err != 0 || err != 0 {
			return result(e)
		}
		t.names[f[3]] = uint64(m.Rights[0].Name)
		return "ok"
	case "send":
		b, wait, then, alone := t.message(f[2:])
		// The receive of a combined call waits as long as its send.
		return t.got(t.call(abi.CallMsgSend, b, wait, then, wait, alone), nil)
	case "start": // WORD send ...|recv NAME MS: a call that may wait
		var id uint64
		switch f[3] {
		case "send":
			b, wait, then, alone := t.message(f[4:])
			id = t.post(abi.CallMsgSend, b, wait, then, wait, alone)
		case "recv":
			ns := uint64(abi.Forever)
			if f[5] != "ever" {
				ns = num(5) * 1e6
			}
			id = t.post(abi.CallMsgReceive, nil, t.name(f[4]), ns)
		}
		t.calls[f[2]] = id
		return ""
	case "answered": // WORD: does it wait still
		t.sync()
		e, ok := t.answers[t.calls[f[2]]]
		if !ok {
			return "waits"
		}
		delete(t.answers, t.calls[f[2]])
		return t.got(e, f[3:])
	case "await": // WORD: its time passes
		w.h.pass()
		s := t.got(t.await(t.calls[f[2]]), f[3:])
		w.check()
		return s
	case "cancel":
		return result(t.call(abi.CallMsgCancel, nil, t.calls[f[2]]))
	case "alarm": // WORD NAME DISPOSITION MS, or -1 (over), or ever
		at := abi.Forever
		switch f[5] {
		case "ever":
		case "-1":
			at = 0
		default:
			at = w.h.machine().Now() + num(5)*1e6
		}
		e := t.call(abi.CallAlarmSet, nil, at, t.name(f[3]), 7, uint64(dispositions[f[4]]))
		if e.Err == 0 {
			t.calls[f[2]] = e.A[0]
		}
		return result(e)
	case "unalarm": // WORD NAME for the right that comes back
		e := t.call(abi.CallAlarmCancel, nil, t.calls[f[2]])
		if e.Err != 0 {
			return result(e)
		}
		if n := abi.Name(e.A[0]); t.word(n) == "?" {
			t.names[f[3]] = e.A[0]
		}
		return t.word(abi.Name(e.A[0])) + " " + word(dispositions, uint8(e.A[1]))
	case "recv": // NAME [WORD...] for the rights that come
		return t.got(t.call(abi.CallMsgReceive, nil, t.name(f[2])), f[3:])
	case "events":
		t.sync()
		var s []string
		for _, e := range t.events {
			switch e.Op {
			case abi.EventDead:
				s = append(s, fmt.Sprintf("%s %s %d", word(notifications, e.A[1]), t.word(abi.Name(e.A[0])), e.A[2]))
			default:
				s = append(s, fmt.Sprint("event ", e.Op))
			}
		}
		t.events = nil
		return strings.Join(s, ", ")
	case "guest": // WORD NAME: a guest task with a right to send there
		return result(t.guest(f[2], t.name(f[3])))
	case "open": // WORD NAME: gives a guest one right more
		return result(t.call(abi.CallTaskOpen, nil, t.name(f[2]), t.name(f[3])))
	case "gone": // WORD: a guest's end is told
		for range 1000 {
			t.sync()
			for i, e := range t.events {
				if e.Op == abi.EventTaskDead && e.A[0] == t.name(f[2]) {
					t.events = append(t.events[:i], t.events[i+1:]...)
					return "ok"
				}
			}
		}
		return "no event"
	case "die":
		t.die()
		w.check()
		return ""
	case "restart":
		var s []string
		for _, e := range t.start() {
			if e.Op == abi.EventInherit && e.A[1] == abi.RightAlarm {
				s = append(s, fmt.Sprint("alarm ", e.A[0]))
				continue
			}
			if e.Op == abi.EventInherit && t.word(abi.Name(e.A[0])) != "box" && !strings.HasPrefix(t.word(abi.Name(e.A[0])), "@") {
				s = append(s, t.word(abi.Name(e.A[0]))+" "+kinds[e.A[1]])
			}
		}
		w.check()
		return strings.Join(s, ", ")
	case "discard":
		t.s.Discard()
		w.h.settle()
		w.check()
		return ""
	}
	w.t.Fatalf("%q: no such step", line)
	return ""
}

// scripts reads a table of cases: a line "case NAME [LIMIT=N...]", then lines
// "STEP" or "STEP = RESULT".
type script struct {
	name  string
	steps []string
}

func scripts(t *testing.T, path string) (head string, list []script) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "#") && len(list) == 0:
			head += l + "\n"
		case l == "" || strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "case "):
			list = append(list, script{name: strings.TrimPrefix(l, "case ")})
		default:
			s := &list[len(list)-1]
			s.steps = append(s.steps, l)
		}
	}
	return head, list
}

// run carries a case out and answers its lines with their results.
func (s *script) run(t *testing.T, h host) []string {
	var l nucleus.Limits
	for _, f := range strings.Fields(s.name)[1:] {
		k, v, _ := strings.Cut(f, "=")
		n, err := strconv.Atoi(v)
		limit := map[string]*int{
			"names": &l.Names, "waiting": &l.Waiting, "memory": &l.Memory, "sessions": &l.Sessions, "bindings": &l.Bindings, "tasks": &l.Tasks,
			"guest-names": &l.GuestNames, "guest-waiting": &l.GuestWaiting, "guest-memory": &l.GuestMemory, "guests-memory": &l.GuestsMemory,
		}[k]
		if limit == nil || err != nil {
			t.Fatalf("case %s: %q", s.name, f)
		}
		*limit = n
	}
	w := newWorld(t, h, l)
	for _, n := range []string{"a", "b", "c"} {
		w.task(n)
	}
	w.boxes()
	var out []string
	for _, line := range s.steps {
		step, _, _ := strings.Cut(line, " =")
		if r := w.step(step); r != "" {
			step += " = " + r
		}
		out = append(out, step)
	}
	w.end()
	return out
}

func hosts(t *testing.T) []host {
	l := newLinux(t)
	t.Cleanup(l.close)
	return []host{newSim(), l}
}

// TestCases carries out every case of the tables on both machines.
func TestCases(t *testing.T) {
	hosts := hosts(t)
	total := 0
	for _, path := range []string{"testdata/transfer.txt", "testdata/cases.txt"} {
		head, list := scripts(t, path)
		var all strings.Builder
		all.WriteString(head)
		for _, s := range list {
			total++
			for _, h := range hosts {
				t.Run(strings.Fields(s.name)[0]+"/"+h.name(), func(t *testing.T) {
					if x, ok := h.(*linuxHost); ok {
						if *update {
							t.Skip("the tables are written")
						}
						was := x.t
						x.t = t
						defer func() { x.t = was }()
					}
					got := s.run(t, h)
					if *update {
						fmt.Fprintf(&all, "\ncase %s\n\t%s\n", s.name, strings.Join(got, "\n\t"))
						return
					}
					for i, line := range got {
						if line != s.steps[i] {
							t.Errorf("got\n\t%s\nwant\n\t%s", line, s.steps[i])
						}
					}
				})
			}
		}
		if *update {
			if err := os.WriteFile(path, []byte(all.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if total < 120 {
		t.Errorf("%d cases", total)
	}
	t.Logf("%d cases on %d machines", total, len(hosts))
}
