package plan9

import (
	"path"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// A program in a mounted tree is fetched before it is executed: its server is a guest, which
// says how long it is and may say something else the next time.

// fetch is a program on its way: of one call of exec, which goes on with it after a death of
// the unix server.
type fetch struct {
	File   store.Ref[core.File] // unnamed, held
	Sess   store.Ref[core.File] // the session's handle, held
	Thread store.Ref[core.Thread]
	Gen    uint32
	Seq    uint64
	At     int64 // what there is of it
	Fid    uint32
	Iounit uint32
	Whole  uint32
	_      uint32
}

// maxFetches is how many there are at a time.
const maxFetches = 1024

// fetchOf is the one of the caller's call, 0: none.
func (p *Personality) fetchOf(c *core.Call) store.Ref[fetch] {
	if len(p.remote.fetching) == 0 {
		return 0
	}
	r := p.remote.fetching[c.T]
	if r == 0 || p.fetches.Get(r).Gen != p.K.Threads.Gen(c.T) || p.fetches.Get(r).Seq != c.Seq {
		return 0
	}
	return r
}

// endFetch gives up what was fetched, or was not.
func (p *Personality) endFetch(r store.Ref[fetch]) {
	m := *p.fetches.Get(r)
	if m.Whole == 0 {
		p.clunk(store.Ref[session](p.K.Files.Get(m.Sess).Aux), m.Fid)
	}
	p.fetches.Free(r)
	if p.remote.fetching[m.Thread] == r {
		delete(p.remote.fetching, m.Thread)
	}
	p.K.DropFile(nil, m.File)
	p.K.DropFile(nil, m.Sess)
}

// newFetch opens a program for the caller's exec.
func (p *Personality) newFetch(c *core.Call, n node) (store.Ref[fetch], abi.Errno) {
	var gone []store.Ref[fetch] // of calls that nobody repeated, which are few
	p.fetches.Each(func(r store.Ref[fetch], m *fetch) bool {
		if p.gone(m.Thread, m.Gen) || m.Thread == c.T {
			gone = append(gone, r)
		}
		return true
	})
	for _, r := range gone {
		p.endFetch(r)
	}
	s, root, done := p.tree(c, n)
	defer done()
	fid, _, e := p.walk(c, s, root, n.name)
	if e != 0 {
		return 0, e
	}
	r, _, e := p.rpc(c, s, tOpen, false, 0, func(uint32) []byte { return append(le.AppendUint32(nil, fid), oExec) })
	var unit uint32
	if e == 0 {
		qtype := r.qid()
		if unit = r.u32(); !r.end() {
			return 0, p.broken(s)
		}
		if qtype&qtDir != 0 {
			e = abi.EACCES
		}
	}
	var f store.Ref[core.File]
	if e == 0 {
		f, e = c.Memfd(path.Base("/"+n.name), true, false)
	}
	if e != 0 {
		p.clunk(s, fid)
		return 0, e
	}
	most := p.sessions.Get(s).Msize - ioHead
	if unit == 0 || unit > most {
		unit = most
	}
	x, m := p.fetches.New()
	if x == 0 {
		p.clunk(s, fid)
		p.K.HoldFile(f)
		p.K.DropFile(c, f)
		return 0, abi.EAGAIN
	}
	*m = fetch{File: f, Sess: p.sessions.Get(s).Handle, Thread: c.T, Gen: p.K.Threads.Gen(c.T), Seq: c.Seq, Fid: fid, Iounit: max(unit, minMsg-ioHead)}
	p.K.HoldFile(m.File)
	p.K.HoldFile(m.Sess)
	p.remote.fetching[c.T] = x
	c.MutThread().Progress++ // a call that runs again has this behind it, and does not ask for it
	return x, 0
}

// fetchAll fetches what is missing. Each piece is noted when it is written: a call that runs
// again asks for the next one.
func (p *Personality) fetchAll(c *core.Call, r store.Ref[fetch]) abi.Errno {
	m := *p.fetches.Get(r)
	c.PinFile(m.File)
	defer c.UnpinFile(m.File)
	s := store.Ref[session](p.K.Files.Get(m.Sess).Aux)
	for m.Whole == 0 {
		a, _, e := p.rpc(c, s, tRead, false, 0, func(uint32) []byte {
			b := le.AppendUint64(le.AppendUint32(nil, m.Fid), uint64(m.At))
			return le.AppendUint32(b, m.Iounit)
		})
		if e != 0 {
			return e
		}
		got := a.u32()
		if a.bad || int(got) != len(a.b) || got > m.Iounit {
			return p.broken(s)
		}
		for done := 0; done < len(a.b); {
			n, e := p.K.Ops(m.File).Write(c, m.File, a.b[done:], m.At+int64(done))
			if e != 0 {
				return e
			}
			done += n
		}
		if m.At += int64(got); got == 0 {
			m.Whole = 1
			p.clunk(s, m.Fid)
		}
		w := p.fetches.Mut(r)
		w.At, w.Whole = m.At, m.Whole
		c.MutThread().Progress++
	}
	return 0
}

// execRemote serves exec of a server's file, called as. n is of no use to a call that runs
// again.
func (p *Personality) execRemote(c *core.Call, n node, as string, argv []string) abi.Errno {
	r := p.fetchOf(c)
	if r == 0 {
		var e abi.Errno
		if r, e = p.newFetch(c, n); e != 0 {
			return e
		}
	}
	if e := p.fetchAll(c, r); e != 0 {
		return e
	}
	return c.ExecFile(p.fetches.Get(r).File, as, argv, p.environ(c))
}
