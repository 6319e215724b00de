package plan9

import (
	"path"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// Files of servers that were mounted (mount in bind(2)). A name space has an entry for
// each tree, "#M" and a number, which holds the open file that stands for it (kAttach), and
// what is mounted is bound to that name; so a tree is given up with the last name space
// that has it and the last of its open files, and the connection with its last tree.

// transport answers the stream socket by which an open file speaks.
func (p *Personality) transport(f store.Ref[core.File]) (store.Ref[core.File], abi.Errno) {
	file := p.K.Files.Get(f)
	if file.Access&core.AccessRead == 0 || file.Access&core.AccessWrite == 0 {
		return 0, abi.EBADF
	}
	if file.Kind == core.FileOwn && file.Obj == kConvData {
		if f = p.convs.Get(store.Ref[conv](file.Aux)).Sock; f == 0 {
			return 0, abi.ENOTCONN
		}
	}
	s, _ := p.K.SocketOf(f)
	if s == 0 || p.K.Socks.Get(s).Type != core.SockStream {
		return 0, abi.EINVAL
	}
	if st := p.K.Socks.Get(s).State; st != core.SockConnected && st != core.SockClosed {
		return 0, abi.ENOTCONN
	}
	return f, 0
}

// sessionOf answers the session over a stream, and makes it; versions were exchanged. Its
// handle is pinned.
func (p *Personality) sessionOf(c *core.Call, f store.Ref[core.File], msize uint32, version string) (store.Ref[session], abi.Errno) {
	var s store.Ref[session]
	p.sessions.Each(func(r store.Ref[session], m *session) bool {
		if m.File == f && m.State != sessDead && (m.Idle == 0 || p.idle(m)) {
			s = r
		}
		return s == 0
	})
	if s != 0 && p.sessions.Get(s).Idle != 0 {
		h, e := p.newOwn(node{kind: kSession, num: uint32(s)}, core.AccessRead)
		if e != 0 {
			return 0, e
		}
		p.K.HoldFile(f)
		m := p.sessions.Mut(s)
		m.Handle, m.Idle = h, 0
	}
	if s == 0 {
		p.sweep()
		var e abi.Errno
		if s, e = p.newSession(f); e != 0 {
			return 0, e
		}
	}
	h := p.sessions.Get(s).Handle
	c.PinFile(h)
	e := p.exchange(c, s, msize, version)
	if e != 0 {
		c.UnpinFile(h)
	}
	return s, e
}

// idle says whether an idle session's stream is there still.
func (p *Personality) idle(m *session) bool {
	return p.K.Files.Get(m.File) != nil && p.K.Files.Gen(m.File) == m.Gen
}

// sweep ends the sessions that nobody has: of calls that a death of the server and one of
// their process cut off, and of streams that have ended.
func (p *Personality) sweep() {
	var l, ended []store.Ref[session]
	p.sessions.Each(func(s store.Ref[session], m *session) bool {
		switch {
		case m.Idle != 0:
			if !p.idle(m) {
				ended = append(ended, s)
			}
		case p.K.Files.Get(m.Handle).Refs == 0 && m.State == sessNew && m.First == 0:
			l = append(l, s)
		}
		return true
	})
	for _, s := range ended {
		p.freeSession(s)
	}
	for _, s := range l {
		h := p.sessions.Get(s).Handle
		p.K.HoldFile(h)
		p.K.DropFile(nil, h)
	}
}

// exchange agrees on the version and the size of messages, of which the caller proposes
// what is not more than we speak.
func (p *Personality) exchange(c *core.Call, s store.Ref[session], msize uint32, version string) abi.Errno {
	for p.sessions.Get(s).State == sessNew {
		other := false
		for r := p.sessions.Get(s).First; r != 0; r = p.requests.Get(r).Next {
			q := p.requests.Get(r)
			other = other || q.Type == tVersion && q.State == reqWaiting && q.Thread != c.T
		}
		if other {
			if e := p.sleep(c, s); e != 0 {
				return e
			}
			continue
		}
		r, _, e := p.rpc(c, s, tVersion, false, 0, func(uint32) []byte { return putString(le.AppendUint32(nil, msize), version) })
		if e != 0 {
			p.hangup(s)
			return e
		}
		n, v := r.u32(), r.text()
		if !r.end() || n < minMsg || n > msize || v != version9 {
			p.hangup(s)
			return p.words(c, abi.EREMOTEIO, "unsupported version of 9P")
		}
		if m := p.sessions.Mut(s); m.State == sessNew {
			m.Msize, m.State = n, sessReady
		}
		p.queue(s).Wake(^uint32(0))
	}
	if p.sessions.Get(s).State == sessDead {
		return abi.EREMOTEIO
	}
	return 0
}

// sysFversion serves fversion(2): descriptor of the server, size of messages, the version,
// which is answered there, and how long that may be.
func sysFversion(p *Personality, c *core.Call) (uint64, abi.Errno) {
	msize, room := uint32(c.Args[1]), int32(c.Args[3])
	if msize == 0 || msize > maxMsg {
		msize = maxMsg
	}
	if room <= 0 || msize < minMsg {
		return 0, abi.EINVAL
	}
	version, e := c.CopyInStr(c.Args[2], int(min(room-1, errMax)))
	if e == abi.E2BIG || e == abi.ENAMETOOLONG {
		return 0, abi.EINVAL
	} else if e != 0 {
		return 0, e
	}
	if version == "" {
		version = version9
	}
	f, _, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if f, e = p.transport(f); e != 0 {
		return 0, e
	}
	if int(room) < len(version9) {
		return 0, abi.EMSGSIZE
	}
	s, e := p.sessionOf(c, f, msize, version)
	if e != 0 {
		return 0, e
	}
	defer c.UnpinFile(p.sessions.Get(s).Handle)
	if !strings.HasPrefix(version, version9) {
		return 0, p.words(c, abi.EINVAL, "incompatible 9P versions "+version9+" "+version)
	}
	c.CopyOut(c.Args[2], []byte(version9))
	return uint64(len(version9)), 0
}

// sysFauth serves fauth(2): descriptor of the server, which tree. The server's file by which
// one proves who one is has a descriptor, which mount takes.
func sysFauth(p *Personality, c *core.Call) (uint64, abi.Errno) {
	tree, e := c.CopyInStr(c.Args[1], maxName)
	if e != 0 {
		return 0, e
	}
	f, _, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	if f, e = p.transport(f); e != 0 {
		return 0, e
	}
	if e := c.FDRoom(); e != 0 {
		return 0, e
	}
	s, e := p.sessionOf(c, f, maxMsg, version9)
	if e != 0 {
		return 0, e
	}
	handle := p.sessions.Get(s).Handle
	defer c.UnpinFile(handle)
	r, fid, e := p.rpc(c, s, tAuth, true, 0, func(fid uint32) []byte {
		return putString(putString(le.AppendUint32(nil, fid), userName(c.ShowUID(c.Cred().UID))), tree)
	})
	if e != 0 {
		return 0, e
	}
	qtype := r.qid()
	if !r.end() || qtype&qtDir != 0 {
		return 0, p.broken(s)
	}
	a, o, e := p.newOpened(kRemoteFile, core.AccessRead|core.AccessWrite, "#M/auth")
	if e != 0 {
		p.clunk(s, fid)
		return 0, e
	}
	o.Part, o.Fid, o.Iounit, o.Qtype = handle, fid, p.sessions.Get(s).Msize-ioHead, uint32(qtype|qtAuth)
	p.K.HoldFile(handle)
	return install(c, a, oCexec)
}

// authOf answers the fid of an open authentication with a session.
func (p *Personality) authOf(c *core.Call, fd int32, s store.Ref[session]) (uint32, abi.Errno) {
	if fd == -1 {
		return noFid, 0
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return 0, e
	}
	if file.Kind != core.FileOwn || file.Obj != kRemoteFile {
		return 0, abi.EINVAL
	}
	if of, o := p.remoteFile(f); of == s && o.Qtype&qtAuth != 0 {
		return o.Fid, 0
	}
	return 0, abi.EINVAL
}

// sysMount serves mount (bind(2)): descriptor of the server, of an authentication, where,
// flags, which tree.
func sysMount(p *Personality, c *core.Call) (uint64, abi.Errno) {
	flags := uint32(c.Args[3])
	if flags&^(mOrder|mCreate|mCache) != 0 || flags&mOrder == mOrder {
		return 0, abi.EINVAL
	}
	f, _, e := c.File(int32(c.Args[0]))
	if e != 0 {
		return 0, e
	}
	old, e := c.PathArg(2)
	if e != 0 {
		return 0, e
	}
	tree := ""
	if c.Args[4] != 0 {
		if tree, e = c.CopyInStr(c.Args[4], maxName); e != 0 {
			return 0, e
		}
	}
	at, e := p.absolute(c, old)
	if e != 0 {
		return 0, e
	}
	if at == "" || at[0] != '/' || strings.Contains(at, "\n") {
		return 0, abi.EINVAL
	}
	under, e := p.resolve(c, at)
	if e != 0 {
		return 0, e
	}
	if !p.exists(c, under) {
		return 0, abi.ENOENT
	}
	wantDir := p.isDir(c, under)
	if f2, _, e := c.File(int32(c.Args[0])); e != 0 || f2 != f {
		return 0, abi.EBADF
	}
	if f, e = p.transport(f); e != 0 {
		return 0, e
	}
	s, e := p.sessionOf(c, f, maxMsg, version9)
	if e != 0 {
		return 0, e
	}
	handle := p.sessions.Get(s).Handle
	defer c.UnpinFile(handle)
	auth, e := p.authOf(c, int32(c.Args[1]), s)
	if e != 0 {
		return 0, e
	}
	r, fid, e := p.rpc(c, s, tAttach, true, 0, func(fid uint32) []byte {
		b := le.AppendUint32(nil, fid)
		b = le.AppendUint32(b, auth)
		return putString(putString(b, userName(c.ShowUID(c.Cred().UID))), tree)
	})
	if e != 0 {
		return 0, e
	}
	qtype := r.qid()
	if !r.end() {
		return 0, p.broken(s)
	}
	if dir := qtype&qtDir != 0; dir != wantDir || flags&mOrder != 0 && !dir {
		p.clunk(s, fid)
		return 0, abi.EINVAL
	}
	a, o, e := p.newOpened(kAttach, core.AccessRead|core.AccessWrite, "")
	if e != 0 {
		p.clunk(s, fid)
		return 0, e
	}
	o.Part, o.Fid, o.Qtype = handle, fid, uint32(qtype)
	p.K.HoldFile(handle)
	p.K.HoldFile(a)
	defer p.K.DropFile(c, a)
	d := c.Dict(core.DictNames)
	name := "#M" + strconv.Itoa(int(p.newMeet()))
	if e := p.K.DictHold(d, name, nil, a); e != 0 {
		return 0, e
	}
	e = p.bindTo(d, name, at, flags)
	p.tidy(d)
	return 1, e
}

// tidy takes the trees from a name space that are bound to nothing in it.
func (p *Personality) tidy(d store.Ref[core.Dict]) {
	var trees []string
	used := map[string]bool{}
	p.K.EachInDict(d, func(name string, v []byte) bool {
		if name[0] == '#' {
			trees = append(trees, name)
			return true
		}
		for _, x := range parseBound(v) {
			tree, _, _ := strings.Cut(x.to, "/")
			used[tree] = true
		}
		return true
	})
	for _, t := range trees {
		if !used[t] {
			_ = p.K.DictRemove(d, t)
		}
	}
}

// tree answers what a name of a server's file is of, which was found since the lock was
// given up last: the session, pinned with the tree's open file, and the fid of its root.
// done unpins.
func (p *Personality) tree(c *core.Call, n node) (s store.Ref[session], root uint32, done func()) {
	a := store.Ref[core.File](n.num)
	o := p.opened.Get(store.Ref[opened](p.K.Files.Get(a).Aux))
	c.PinFile(a)
	return store.Ref[session](p.K.Files.Get(o.Part).Aux), o.Fid, func() { c.UnpinFile(a) }
}

// walk makes a fid of a name below another fid.
func (p *Personality) walk(c *core.Call, s store.Ref[session], from uint32, name string) (fid uint32, qtype uint8, e abi.Errno) {
	var names []string
	if name != "" {
		names = strings.Split(name, "/")
	}
	qtype = qtDir
	for first := true; first || len(names) > 0; first = false {
		now := names[:min(len(names), maxWalk)]
		names = names[len(now):]
		r, made, e := p.rpc(c, s, tWalk, first, uint32(len(now)), func(made uint32) []byte {
			if !first {
				made = fid
			}
			b := le.AppendUint32(le.AppendUint32(nil, from), made)
			b = le.AppendUint16(b, uint16(len(now)))
			for _, x := range now {
				b = putString(b, x)
			}
			return b
		})
		got := 0
		if e == 0 {
			got = int(r.u16())
			for range got {
				qtype = r.qid()
				if r.bad {
					break
				}
			}
			if !r.end() || got > len(now) {
				return 0, 0, p.broken(s)
			}
			if got < len(now) {
				e = abi.ENOENT
				if got > 0 && qtype&qtDir == 0 {
					e = abi.ENOTDIR
				}
			}
		}
		if e != 0 {
			if !first {
				p.clunk(s, fid)
			}
			return 0, 0, e
		}
		if first {
			fid = made
		}
		from = fid
	}
	return fid, qtype, 0
}

// remoteType answers the type of a server's file.
func (p *Personality) remoteType(c *core.Call, n node) (uint8, abi.Errno) {
	s, root, done := p.tree(c, n)
	defer done()
	if n.name == "" {
		return uint8(p.opened.Get(store.Ref[opened](p.K.Files.Get(store.Ref[core.File](n.num)).Aux)).Qtype), 0
	}
	fid, qtype, e := p.walk(c, s, root, n.name)
	if e == 0 {
		p.clunk(s, fid)
	}
	return qtype, e
}

// openRemote opens a server's file, called as.
func (p *Personality) openRemote(c *core.Call, n node, as string, mode uint32) (store.Ref[core.File], abi.Errno) {
	s, root, done := p.tree(c, n)
	defer done()
	return p.openBelow(c, s, root, n.name, as, mode)
}

// openBelow is openRemote of a tree that is pinned.
func (p *Personality) openBelow(c *core.Call, s store.Ref[session], root uint32, name, as string, mode uint32) (store.Ref[core.File], abi.Errno) {
	fid, _, e := p.walk(c, s, root, name)
	if e != 0 {
		return 0, e
	}
	r, _, e := p.rpc(c, s, tOpen, false, 0, func(uint32) []byte { return append(le.AppendUint32(nil, fid), byte(mode&^oCexec)) })
	return p.openedRemote(c, s, fid, r, e, as, mode)
}

// createRemote serves create: a file that is there is truncated, unless mode says that
// there must be none.
func (p *Personality) createRemote(c *core.Call, n node, as string, mode, perm uint32) (store.Ref[core.File], abi.Errno) {
	s, root, done := p.tree(c, n)
	defer done()
	if mode&oExcl == 0 && perm&dmDir == 0 {
		switch f, e := p.openBelow(c, s, root, n.name, as, mode|oTrunc); e {
		case abi.ENOENT:
			delete(p.said, c.T)
		default:
			return f, e
		}
	}
	if n.name == "" {
		return 0, abi.EEXIST
	}
	in := path.Dir(n.name)
	if in == "." {
		in = ""
	}
	fid, _, e := p.walk(c, s, root, in)
	if e != 0 {
		return 0, e
	}
	r, _, e := p.rpc(c, s, tCreate, false, 0, func(uint32) []byte {
		b := putString(le.AppendUint32(nil, fid), path.Base(n.name))
		return append(le.AppendUint32(b, perm), byte(mode&^(oCexec|oExcl)))
	})
	return p.openedRemote(c, s, fid, r, e, as, mode)
}

// openedRemote makes an open file of the answer to an open or create.
func (p *Personality) openedRemote(c *core.Call, s store.Ref[session], fid uint32, r *reply, e abi.Errno, as string, mode uint32) (store.Ref[core.File], abi.Errno) {
	var qtype uint8
	var unit uint32
	if e == 0 {
		qtype, unit = r.qid(), r.u32()
		if !r.end() {
			return 0, p.broken(s)
		}
	}
	if e == 0 {
		kind := uint32(kRemoteFile)
		if qtype&qtDir != 0 {
			kind = kRemoteDir
		}
		var f store.Ref[core.File]
		var o *opened
		if f, o, e = p.newOpened(kind, accessOf(mode), as); e == 0 {
			most := p.sessions.Get(s).Msize - ioHead
			if unit == 0 || unit > most {
				unit = most
			}
			unit = max(unit, minMsg-ioHead) // one that takes less at once is asked for more at once
			o.Part, o.Fid, o.Iounit, o.Qtype = p.sessions.Get(s).Handle, fid, unit, uint32(qtype)
			p.K.HoldFile(o.Part)
			return f, 0
		}
	}
	p.clunk(s, fid)
	return 0, e
}

// remoteFile answers what an open file of a server is.
func (p *Personality) remoteFile(f store.Ref[core.File]) (store.Ref[session], opened) {
	o := *p.opened.Get(store.Ref[opened](p.K.Files.Get(f).Aux))
	return store.Ref[session](p.K.Files.Get(o.Part).Aux), o
}

// readRemote reads from an open file of a server at an offset, once.
func (p *Personality) readRemote(c *core.Call, f store.Ref[core.File], n int, at int64) ([]byte, abi.Errno) {
	c.PinFile(f)
	defer c.UnpinFile(f)
	s, o := p.remoteFile(f)
	n = min(n, int(o.Iounit))
	r, _, e := p.rpc(c, s, tRead, false, 0, func(uint32) []byte {
		b := le.AppendUint64(le.AppendUint32(nil, o.Fid), uint64(at))
		return le.AppendUint32(b, uint32(n))
	})
	if e != 0 {
		return nil, e
	}
	got := r.u32()
	if r.bad || int(got) != len(r.b) || int(got) > n {
		return nil, p.broken(s)
	}
	return r.b, 0
}

// readRemoteDir reads the next entries of a server's directory.
func (p *Personality) readRemoteDir(c *core.Call, f store.Ref[core.File], size int, off int64) ([]byte, abi.Errno) {
	at := p.K.Files.Get(f).Off
	if off == 0 {
		at = 0
	}
	b, e := p.readRemote(c, f, size, at)
	if e != 0 {
		return nil, e
	}
	if s, _ := p.remoteFile(f); !entries9(b, uint32(s)) {
		return nil, p.broken(s)
	}
	p.K.Files.Mut(f).Off = at + int64(len(b))
	return b, 0
}

// writeRemote writes to an open file of a server, at its own offset if off is negative. What
// is written is noted with each answer: a call that runs again goes on behind it, and needs
// no answer twice.
func (p *Personality) writeRemote(c *core.Call, f store.Ref[core.File], data []byte, off int64) (int, abi.Errno) {
	if c.T == 0 {
		return 0, abi.EIO
	}
	c.PinFile(f)
	defer c.UnpinFile(f)
	s, o := p.remoteFile(f)
	at := off
	if off < 0 {
		at = p.K.Files.Get(f).Off
	}
	base := c.Thread().Progress
	data = append([]byte(nil), data...) // the guest could change it
	done := 0
	for first := true; first || done < len(data); first = false {
		part := data[done:min(len(data), done+int(o.Iounit))]
		r, _, e := p.rpc(c, s, tWrite, false, uint32(len(part)), func(uint32) []byte {
			b := le.AppendUint64(le.AppendUint32(nil, o.Fid), uint64(at)+uint64(done))
			return append(le.AppendUint32(b, uint32(len(part))), part...)
		})
		if e != 0 {
			if done > 0 {
				return done, 0
			}
			return 0, e
		}
		n := int(r.u32())
		if !r.end() || n > int(r.asked) || n > len(part) {
			return done, p.broken(s)
		}
		done += n
		c.MutThread().Progress = base + uint64(done)
		if off < 0 {
			p.K.Files.Mut(f).Off = at + int64(done)
		}
		if n < int(r.asked) {
			break
		}
	}
	return done, 0
}

// statFid asks what a fid is.
func (p *Personality) statFid(c *core.Call, s store.Ref[session], fid uint32) (dir, abi.Errno) {
	r, _, e := p.rpc(c, s, tStat, false, 0, func(uint32) []byte { return le.AppendUint32(nil, fid) })
	if e != 0 {
		return dir{}, e
	}
	n := int(r.u16())
	if r.bad || n != len(r.b) {
		return dir{}, p.broken(s)
	}
	d, ok := decode(r.b)
	if !ok || !goodName(d.name) {
		return dir{}, p.broken(s)
	}
	d.typ, d.dev = 'M', uint32(s)
	return d, 0
}

// statRemote serves stat of a server's file, called as.
func (p *Personality) statRemote(c *core.Call, n node, as string) (dir, abi.Errno) {
	s, root, done := p.tree(c, n)
	defer done()
	fid, _, e := p.walk(c, s, root, n.name)
	if e != 0 {
		return dir{}, e
	}
	d, e := p.statFid(c, s, fid)
	p.clunk(s, fid)
	if n.name == "" {
		d.name = path.Base(as)
	}
	return d, e
}

// statOpened serves fstat of an open one.
func (p *Personality) statOpened(c *core.Call, f store.Ref[core.File]) (dir, abi.Errno) {
	c.PinFile(f)
	defer c.UnpinFile(f)
	s, o := p.remoteFile(f)
	return p.statFid(c, s, o.Fid)
}

// wstatFid has a server change what b, a stat message, says.
func (p *Personality) wstatFid(c *core.Call, s store.Ref[session], fid uint32, b []byte) abi.Errno {
	if len(b) > int(p.sessions.Get(s).Msize)-ioHead {
		return abi.EBADMSG
	}
	r, _, e := p.rpc(c, s, tWstat, false, 0, func(uint32) []byte {
		return append(le.AppendUint16(le.AppendUint32(nil, fid), uint16(len(b))), b...)
	})
	if e == 0 && !r.end() {
		e = p.broken(s)
	}
	return e
}

func (p *Personality) wstatRemote(c *core.Call, n node, b []byte) abi.Errno {
	s, root, done := p.tree(c, n)
	defer done()
	fid, _, e := p.walk(c, s, root, n.name)
	if e != 0 {
		return e
	}
	e = p.wstatFid(c, s, fid, b)
	p.clunk(s, fid)
	return e
}

// removeRemote serves remove, after which the fid is gone in any case.
func (p *Personality) removeRemote(c *core.Call, n node) abi.Errno {
	if n.name == "" {
		return abi.EBUSY
	}
	s, root, done := p.tree(c, n)
	defer done()
	fid, _, e := p.walk(c, s, root, n.name)
	if e != 0 {
		return e
	}
	r, _, e := p.rpc(c, s, tRemove, false, 0, func(uint32) []byte { return le.AppendUint32(nil, fid) })
	if e == 0 && !r.end() {
		e = p.broken(s)
	}
	return e
}

// releaseRemote is the end of an open file, or of a tree.
func (p *Personality) releaseRemote(c *core.Call, r store.Ref[opened]) {
	o := *p.opened.Get(r)
	s := store.Ref[session](p.K.Files.Get(o.Part).Aux)
	p.clunk(s, o.Fid)
	if c != nil && c.T != 0 && p.sessions.Get(s).State == sessReady {
		if t := p.K.Threads.Get(c.T); t != nil && t.State == core.ThreadLive {
			p.pump(c, s)
		}
	}
	p.freeOpened(r)
}
