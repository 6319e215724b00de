package core

import (
	"hythe/store"
)

// The line discipline of terminals: what becomes of a character on its way in
// and out (termios(3)).

// Flags of Termios (asm-generic/termbits.h).
const (
	istrip  = 0o40
	inlcr   = 0o100
	igncr   = 0o200
	icrnl   = 0o400
	iuclc   = 0o1000
	ixon    = 0o2000
	ixany   = 0o4000
	imaxbel = 0o20000
	iutf8   = 0o40000

	opost  = 0o1
	olcuc  = 0o2
	onlcr  = 0o4
	ocrnl  = 0o10
	onocr  = 0o20
	onlret = 0o40
	xtabs  = 0o14000

	isig    = 0o1
	icanon  = 0o2
	echo    = 0o10
	echoe   = 0o20
	echok   = 0o40
	echonl  = 0o100
	noflsh  = 0o200
	tostop  = 0o400
	echoctl = 0o1000
	echoke  = 0o4000
	iexten  = 0o100000
)

// Control characters of Termios.CC.
const (
	vintr    = 0
	vquit    = 1
	verase   = 2
	vkill    = 3
	veof     = 4
	vtime    = 5
	vmin     = 6
	vstart   = 8
	vstop    = 9
	vsusp    = 10
	veol     = 11
	vreprint = 12
	vwerase  = 14
	vlnext   = 15
	veol2    = 16
)

// Bits that packet mode tells (asm-generic/ioctls.h, TIOCPKT_).
const (
	pktFlushRead  = 1
	pktFlushWrite = 2
	pktStop       = 4
	pktStart      = 8
	pktNoStop     = 16
	pktDoStop     = 32
)

// inAt answers the character at count i and whether a line ends there.
func (k *Kernel) inAt(t *TTY, i uint32) (ch byte, end bool) {
	b := k.Heap.Bytes(t.In)
	i %= inSize
	return b[i], b[inSize+i/8]>>(i%8)&1 != 0
}

// inPush appends a character; false: the queue is full.
func (k *Kernel) inPush(t *TTY, ch byte, end bool) bool {
	if t.Tail-t.Head >= inSize-1 {
		return false
	}
	i := t.Tail % inSize
	k.Heap.MutBytes(t.In, int(i), 1)[0] = ch
	m := k.Heap.Bytes(t.In)[inSize+i/8]
	n := m &^ (1 << (i % 8))
	if end {
		n |= 1 << (i % 8)
	}
	if n != m {
		k.Heap.MutBytes(t.In, int(inSize+i/8), 1)[0] = n
	}
	t.Tail++
	return true
}

// ttyTakeLine moves (the first part of) a complete line to buf. False: there is
// none. An end of file is a line without characters.
func (k *Kernel) ttyTakeLine(r store.Ref[TTY], buf []byte) (int, bool) {
	t := k.TTYs.Get(r)
	if t.Canon == t.Head {
		return 0, false
	}
	m := k.TTYs.Mut(r)
	n := 0
	for m.Head != m.Canon {
		ch, end := k.inAt(m, m.Head)
		if end && ch == 0 { // the mark of an end of file is not a character
			m.Head++
			return n, true
		}
		if n == len(buf) {
			break
		}
		m.Head++
		buf[n] = ch
		n++
		if end {
			break
		}
		if n == len(buf) {
			// An end of file right behind what was asked for belongs to it.
			if ch, end := k.inAt(m, m.Head); m.Head != m.Canon && end && ch == 0 {
				m.Head++
			}
			break
		}
	}
	return n, true
}

func (k *Kernel) ttyTakeRaw(r store.Ref[TTY], buf []byte) int {
	m := k.TTYs.Mut(r)
	n := 0
	for n < len(buf) && m.Head != m.Tail {
		buf[n], _ = k.inAt(m, m.Head)
		m.Head++
		n++
	}
	if int32(m.Canon-m.Head) < 0 {
		m.Canon = m.Head
	}
	return n
}

// ttyInputRoom is told that input was taken.
func (k *Kernel) ttyInputRoom(r store.Ref[TTY]) { k.tty.rt.at(r).mq.Wake(PollOut | PollWrNorm) }

// ttyInputFull says whether the other side has to wait: a full queue out of
// which somebody can read. (A line too long to be completed loses characters.)
func (t *TTY) inputFull() bool {
	if t.Tail-t.Head < inSize-256 {
		return false
	}
	return t.T.Lflag&icanon == 0 || t.Canon != t.Head
}

func (k *Kernel) ttyFlushIn(r store.Ref[TTY]) {
	m := k.TTYs.Mut(r)
	m.Head, m.Canon = m.Tail, m.Tail
	m.LNext = 0
	k.ttyPacket(m, pktFlushRead)
	k.ttyInputRoom(r)
	k.tty.rt.at(r).mq.Wake(^uint32(0))
}

func (k *Kernel) ttyDropOut(r store.Ref[TTY]) {
	m := k.TTYs.Mut(r)
	m.Out.Head = m.Out.Tail
	k.ttyPacket(m, pktFlushWrite)
	k.ttyWakeOut(r)
	k.tty.rt.at(r).mq.Wake(^uint32(0))
}

// ttyPacket notes something to be told in packet mode.
func (k *Kernel) ttyPacket(m *TTY, bits uint32) {
	if m.Packet != 0 {
		m.PktStatus |= bits
	}
}

func (k *Kernel) ttyWakeOut(r store.Ref[TTY]) {
	rt := k.tty.rt.at(r)
	rt.wq.Wake(PollOut | PollWrNorm)
	rt.rq.Wake(PollOut | PollWrNorm)
}

func (k *Kernel) ttyStop(r store.Ref[TTY]) {
	m := k.TTYs.Mut(r)
	if m.Stopped == 0 {
		m.Stopped = 1
		m.PktStatus &^= pktStart
		k.ttyPacket(m, pktStop)
		k.tty.rt.at(r).mq.Wake(^uint32(0))
	}
}

func (k *Kernel) ttyStart(r store.Ref[TTY]) {
	m := k.TTYs.Mut(r)
	if m.Stopped != 0 {
		m.Stopped = 0
		m.PktStatus &^= pktStop
		k.ttyPacket(m, pktStart)
		k.tty.rt.at(r).mq.Wake(^uint32(0))
		k.ttyWakeOut(r)
	}
}

// ttySetTermios changes the settings.
func (k *Kernel) ttySetTermios(r store.Ref[TTY], n Termios) {
	m := k.TTYs.Mut(r)
	old := m.T
	m.T = n
	if (old.Lflag^n.Lflag)&icanon != 0 {
		m.LNext = 0
		m.Canon = m.Head
		if n.Lflag&icanon != 0 {
			// What lies there was never ended: it becomes one line. What was
			// ended as lines before the queue was raw counts no more.
			for i := m.Head; i != m.Tail; i++ {
				ch, end := k.inAt(m, i)
				if want := i+1 == m.Tail && ch != 0; end != want {
					k.inMark(m, i, want)
				}
			}
			m.Canon = m.Tail
		}
	}
	if old.Iflag&ixon != 0 && n.Iflag&ixon == 0 {
		k.ttyStart(r)
	}
	wasFlow := old.Iflag&ixon != 0 && old.CC[vstop] == 19 && old.CC[vstart] == 17
	flow := n.Iflag&ixon != 0 && n.CC[vstop] == 19 && n.CC[vstart] == 17
	if wasFlow != flow {
		m.PktStatus &^= pktDoStop | pktNoStop
		if flow {
			k.ttyPacket(m, pktDoStop)
		} else {
			k.ttyPacket(m, pktNoStop)
		}
		k.tty.rt.at(r).mq.Wake(^uint32(0))
	}
	k.tty.rt.at(r).rq.Wake(PollIn | PollRdNorm)
}

func (k *Kernel) inMark(t *TTY, i uint32, end bool) {
	i %= inSize
	b := k.Heap.MutBytes(t.In, int(inSize+i/8), 1)
	b[0] &^= 1 << (i % 8)
	if end {
		b[0] |= 1 << (i % 8)
	}
}

// Output.

// ttyStreamRef is stream i of the session whose terminal t is, 0 when the
// session has ended.
func (k *Kernel) ttyStreamRef(t *TTY, i int) store.Ref[ConsoleStream] {
	if se := k.Sessions.Get(t.Console); t.Console != 0 && se != nil {
		return se.Streams[i]
	}
	return 0
}

// ttyRoom is how many bytes the output takes now.
func (k *Kernel) ttyRoom(t *TTY) int {
	if t.Kind == ttyConsole {
		s := k.Consoles.Get(k.ttyStreamRef(t, 1))
		if s == nil || s.OutErr != 0 {
			return outSize // nobody reads: output is lost
		}
		return consoleBuf - s.Out.used()
	}
	return outSize - t.Out.used()
}

// ttyQueued is how many bytes of output the other side has not taken.
func (k *Kernel) ttyQueued(t *TTY) int {
	if t.Kind == ttyConsole {
		s := k.Consoles.Get(k.ttyStreamRef(t, 1))
		if s == nil || s.OutErr != 0 {
			return 0
		}
		return s.Out.used()
	}
	return t.Out.used()
}

// ttyPutOut queues bytes for which there is room.
func (k *Kernel) ttyPutOut(r store.Ref[TTY], b []byte) {
	m := k.TTYs.Mut(r)
	ring := &m.Out
	if m.Kind == ttyConsole {
		ref := k.ttyStreamRef(m, 1)
		s := k.Consoles.Get(ref)
		if ref == 0 || s == nil || s.OutErr != 0 {
			return
		}
		if b, _ := k.streamHost(s); b == nil {
			return
		}
		ring = &k.Consoles.Mut(ref).Out
	} else if m.Master == 0 {
		return
	}
	if k.ringRoom(ring, len(b)) {
		k.ringPut(ring, b)
	}
}

// ttyFlushOut tells the other side of new output.
func (k *Kernel) ttyFlushOut(r store.Ref[TTY]) {
	if t := k.TTYs.Get(r); t.Kind == ttyConsole {
		if s := k.ttyStreamRef(t, 1); s != 0 {
			k.consolePump(s)
		}
		return
	}
	k.tty.rt.at(r).mq.Wake(PollIn | PollRdNorm)
	k.tell(&k.tty.rt.at(r).mq, ioIn)
}

// ttyOutput puts data through the output processing until there is no room, and
// answers how much of it went.
func (k *Kernel) ttyOutput(r store.Ref[TTY], data []byte) int {
	m := k.TTYs.Mut(r)
	room := k.ttyRoom(m)
	if m.T.Oflag&opost == 0 {
		n := min(len(data), room)
		if n > 0 {
			k.ttyPutOut(r, data[:n])
		}
		return n
	}
	var buf [512]byte
	w, n := 0, 0
	for _, ch := range data {
		if room < 8 {
			break
		}
		if w > len(buf)-8 {
			k.ttyPutOut(r, buf[:w])
			w = 0
		}
		before := w
		w = m.post(buf[:], w, ch)
		room -= w - before
		n++
	}
	if w > 0 {
		k.ttyPutOut(r, buf[:w])
	}
	return n
}

// post puts one character through the output processing into b at w.
func (m *TTY) post(b []byte, w int, ch byte) int {
	of := m.T.Oflag
	if of&opost == 0 {
		b[w] = ch
		return w + 1
	}
	switch ch {
	case '\n':
		if of&onlret != 0 {
			m.Column = 0
		}
		if of&onlcr != 0 {
			b[w] = '\r'
			w++
			m.Column = 0
		}
		m.CanonCol = m.Column
	case '\r':
		if of&onocr != 0 && m.Column == 0 {
			return w
		}
		if of&ocrnl != 0 {
			ch = '\n'
			if of&onlret == 0 {
				break
			}
		}
		m.Column, m.CanonCol = 0, 0
	case '\t':
		sp := 8 - m.Column&7
		m.Column += sp
		if of&xtabs == xtabs {
			for range sp {
				b[w] = ' '
				w++
			}
			return w
		}
	case '\b':
		if m.Column > 0 {
			m.Column--
		}
	default:
		if of&olcuc != 0 && ch >= 'a' && ch <= 'z' {
			ch -= 32
		}
		if ch >= 32 && ch != 127 && !(m.T.Iflag&iutf8 != 0 && ch&0xc0 == 0x80) {
			m.Column++
		}
	}
	b[w] = ch
	return w + 1
}

// ttyEchoRaw shows bytes as they are; without room they are lost.
func (k *Kernel) ttyEchoRaw(r store.Ref[TTY], b []byte) {
	if k.ttyRoom(k.TTYs.Get(r)) >= len(b) {
		k.ttyPutOut(r, b)
	}
}

// echoBuf collects the echo of one piece of input.
type echoBuf struct {
	b []byte
	m *TTY
}

// plain echoes a character through the output processing.
func (e *echoBuf) plain(ch byte) {
	var t [16]byte
	e.b = append(e.b, t[:e.m.post(t[:], 0, ch)]...)
}

// shown echoes a character in its visible form.
func (e *echoBuf) shown(ch byte) {
	if e.m.T.Lflag&echoctl != 0 && isCtl(ch) && ch != '\t' {
		e.b = append(e.b, '^', ch^0x40)
		e.m.Column += 2
		return
	}
	e.plain(ch)
}

func isCtl(ch byte) bool { return ch < 32 || ch == 127 }

// width is how many columns a character of the line took at column col.
func (m *TTY) width(ch byte, col uint32) uint32 {
	switch {
	case ch == '\t':
		return 8 - col&7
	case isCtl(ch):
		if m.T.Lflag&echoctl != 0 {
			return 2
		}
		return 0
	case m.T.Iflag&iutf8 != 0 && ch&0xc0 == 0x80:
		return 0
	}
	return 1
}

// Input.

// ttyInput takes characters from the terminal's other side.
func (k *Kernel) ttyInput(r store.Ref[TTY], data []byte) {
	m := k.TTYs.Mut(r)
	e := echoBuf{m: m}
	woke := m.Canon
	tail := m.Tail
	for _, ch := range data {
		k.ttyChar(r, m, ch, &e)
	}
	if len(e.b) > 0 {
		// In pieces, so that a long echo is cut and not lost as a whole.
		for len(e.b) > 0 {
			n := min(len(e.b), 256)
			k.ttyEchoRaw(r, e.b[:n])
			e.b = e.b[n:]
		}
		k.ttyFlushOut(r)
	}
	if m.Canon != woke || m.Tail != tail {
		q := &k.tty.rt.at(r).rq
		q.Wake(PollIn | PollRdNorm)
		if m.Canon != woke || m.T.Lflag&icanon == 0 {
			k.tell(q, ioIn)
		}
	}
}

func (k *Kernel) ttyChar(r store.Ref[TTY], m *TTY, ch byte, e *echoBuf) {
	t := &m.T
	is := func(i int) bool { return t.CC[i] != 0 && ch == t.CC[i] }
	if t.Iflag&istrip != 0 {
		ch &= 0x7f
	}
	if t.Iflag&iuclc != 0 && t.Lflag&iexten != 0 && ch >= 'A' && ch <= 'Z' {
		ch += 32
	}
	if m.LNext != 0 {
		m.LNext = 0
		k.ttyStore(m, ch, e)
		return
	}
	if t.Iflag&ixon != 0 {
		if is(vstart) {
			k.ttyStart(r)
			return
		}
		if is(vstop) {
			k.ttyStop(r)
			return
		}
	}
	if t.Lflag&isig != 0 {
		sig := int32(0)
		switch {
		case is(vintr):
			sig = SIGINT
		case is(vquit):
			sig = SIGQUIT
		case is(vsusp):
			sig = SIGTSTP
		}
		if sig != 0 {
			k.ttySignal(r, m, sig, ch, e)
			return
		}
	}
	if m.Stopped != 0 && t.Iflag&ixon != 0 && t.Iflag&ixany != 0 {
		k.ttyStart(r)
	}
	switch ch {
	case '\r':
		if t.Iflag&igncr != 0 {
			return
		}
		if t.Iflag&icrnl != 0 {
			ch = '\n'
		}
	case '\n':
		if t.Iflag&inlcr != 0 {
			ch = '\r'
		}
	}
	if t.Lflag&icanon == 0 {
		k.ttyStore(m, ch, e)
		return
	}
	switch {
	case is(verase), is(vkill), is(vwerase) && t.Lflag&iexten != 0:
		k.ttyErase(m, ch, e)
	case is(vlnext) && t.Lflag&iexten != 0:
		m.LNext = 1
		if t.Lflag&echo != 0 && t.Lflag&echoctl != 0 {
			e.b = append(e.b, '^', '\b')
		}
	case is(vreprint) && t.Lflag&iexten != 0 && t.Lflag&echo != 0:
		e.shown(ch)
		e.plain('\n')
		for i := m.Canon; i != m.Tail; i++ {
			c, _ := k.inAt(m, i)
			e.shown(c)
		}
	case ch == '\n':
		if m.Tail-m.Head >= inSize-1 {
			m.Tail-- // a full line can still be ended
		}
		if t.Lflag&(echo|echonl) != 0 {
			e.plain('\n')
		}
		k.inPush(m, '\n', true)
		m.Canon = m.Tail
	case is(veof):
		if m.Tail-m.Head >= inSize-1 {
			return
		}
		k.inPush(m, 0, true)
		m.Canon = m.Tail
	case is(veol), is(veol2) && t.Lflag&iexten != 0:
		if t.Lflag&echo != 0 {
			e.shown(ch)
		}
		if k.inPush(m, ch, true) {
			m.Canon = m.Tail
		}
	default:
		k.ttyStore(m, ch, e)
	}
}

// ttyStore puts an ordinary character into the queue and echoes it.
func (k *Kernel) ttyStore(m *TTY, ch byte, e *echoBuf) {
	full := m.Tail-m.Head >= inSize-1
	if m.T.Lflag&icanon != 0 && m.Tail-m.Head >= inSize-2 {
		full = true // room for the end of the line
	}
	if full {
		if m.T.Iflag&imaxbel != 0 {
			e.b = append(e.b, 7)
		}
		return
	}
	if m.T.Lflag&echo != 0 {
		if m.Canon == m.Tail {
			m.CanonCol = m.Column
		}
		if ch == '\n' {
			e.plain(ch)
		} else {
			e.shown(ch)
		}
	}
	k.inPush(m, ch, false)
}

func (k *Kernel) ttySignal(r store.Ref[TTY], m *TTY, sig int32, ch byte, e *echoBuf) {
	if m.T.Lflag&noflsh == 0 {
		m.Head, m.Canon = m.Tail, m.Tail
		m.LNext = 0
		m.Out.Head = m.Out.Tail
		e.b = e.b[:0]
		k.ttyPacket(m, pktFlushRead|pktFlushWrite)
		k.ttyInputRoom(r)
		k.ttyWakeOut(r)
	}
	if m.T.Iflag&ixon != 0 {
		k.ttyStart(r)
	}
	if m.T.Lflag&echo != 0 {
		e.shown(ch)
	}
	if m.Pgrp > 0 {
		k.SignalPgrp(m.Pgrp, &SigInfo{Sig: sig, Code: 0x80})
	}
}

// ttyErase takes characters off the line being edited: one, a word, or all.
func (k *Kernel) ttyErase(m *TTY, ch byte, e *echoBuf) {
	t := &m.T
	if m.Tail == m.Canon {
		return
	}
	word := ch == t.CC[vwerase] && t.CC[vwerase] != 0 && t.Lflag&iexten != 0 && ch != t.CC[verase] && ch != t.CC[vkill]
	kill := ch == t.CC[vkill] && ch != t.CC[verase]
	if kill && t.Lflag&echo != 0 && t.Lflag&(echok|echoke|echoe) != echok|echoke|echoe {
		m.Tail = m.Canon
		e.shown(ch)
		if t.Lflag&echok != 0 {
			e.plain('\n')
		}
		return
	}
	seen := false
	for m.Tail != m.Canon {
		// One character, which may be several bytes.
		from := m.Tail - 1
		c, _ := k.inAt(m, from)
		for t.Iflag&iutf8 != 0 && c&0xc0 == 0x80 && from != m.Canon {
			from--
			c, _ = k.inAt(m, from)
		}
		if word {
			if alnum(c) {
				seen = true
			} else if seen {
				break
			}
		}
		m.Tail = from
		if t.Lflag&echo != 0 {
			k.showErase(m, c, ch, e)
		}
		if !word && !kill {
			break
		}
	}
}

func alnum(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// showErase wipes character c, which was the last of the line, off the screen.
func (k *Kernel) showErase(m *TTY, c, eraser byte, e *echoBuf) {
	if m.T.Lflag&echoe == 0 {
		e.shown(eraser)
		return
	}
	if c == '\t' {
		col := m.CanonCol
		for i := m.Canon; i != m.Tail; i++ {
			x, _ := k.inAt(m, i)
			col += m.width(x, col)
		}
		for m.Column > col {
			e.b = append(e.b, '\b')
			m.Column--
		}
		return
	}
	for range m.width(c, 0) {
		e.b = append(e.b, '\b', ' ', '\b')
		if m.Column > 0 {
			m.Column--
		}
	}
}
