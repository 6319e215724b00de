package plan9

import (
	"path"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// A directory to which several are bound is read as all of them, one behind the other, as
// they were bound when it was opened (bind(2)).

// opened is what an open file of ours has beside its record.
type opened struct {
	// Part is the open file behind it: the part of a union that is read, the session of a
	// file that a server has, the socket of a conversation.
	Part store.Ref[core.File]
	// Index is which part, or which line of an answer comes next.
	Index uint32
	// Fid, Iounit and Qtype are of a file that a server has (remote.go).
	Fid, Iounit uint32
	Qtype       uint32
	_           uint32
	// Text is a union's name and its parts, a line each; the lines of an answer; a name.
	Text store.Block
}

// maxOpened bounds them.
const maxOpened = 1 << 16

// newOpened makes an open file of the kind with its own record.
func (p *Personality) newOpened(kind, access uint32, text string) (store.Ref[core.File], *opened, abi.Errno) {
	r, o := p.opened.New()
	if r == 0 {
		return 0, nil, abi.ENFILE
	}
	if o.Text = store.PutString(p.K.Heap, text); o.Text.Nil() && text != "" {
		p.opened.Free(r)
		return 0, nil, abi.ENFILE
	}
	f, file, e := p.K.NewFile(core.FileOwn, access, 0)
	if e != 0 {
		p.K.Heap.FreeBlock(o.Text)
		p.opened.Free(r)
		return 0, nil, e
	}
	file.Obj, file.Aux = kind, uint32(r)
	return f, o, 0
}

// freeOpened is the end of one.
func (p *Personality) freeOpened(r store.Ref[opened]) {
	o := *p.opened.Get(r)
	p.K.Heap.FreeBlock(o.Text)
	p.opened.Free(r)
	if o.Part != 0 {
		p.K.DropFile(nil, o.Part)
	}
}

// setText gives one another text.
func (p *Personality) setText(r store.Ref[opened], text string) abi.Errno {
	b := store.PutString(p.K.Heap, text)
	if b.Nil() && text != "" {
		return abi.ENOSPC
	}
	o := p.opened.Mut(r)
	p.K.Heap.FreeBlock(o.Text)
	o.Text, o.Index = b, 0
	return 0
}

// openUnion opens a union of directories for reading.
func (p *Personality) openUnion(name string, l []bound) (store.Ref[core.File], abi.Errno) {
	parts := []string{name}
	for _, x := range l {
		parts = append(parts, x.to)
	}
	f, _, e := p.newOpened(kUnion, core.AccessRead, strings.Join(parts, "\n"))
	return f, e
}

// readUnion reads on in the part that is open, and behind its end in the next one. Each
// change of the part is noted: a call that runs again asks from there on.
func (p *Personality) readUnion(c *core.Call, f store.Ref[core.File], size int32, off int64) (uint64, abi.Errno) {
	r := store.Ref[opened](p.K.Files.Get(f).Aux)
	if c.Thread().Progress == 0 && (off == 0 || off < 0 && p.K.Files.Get(f).Off == 0) {
		p.endPart(r)
		p.opened.Mut(r).Index = 0
	}
	for {
		o := p.opened.Get(r)
		parts := strings.Split(store.String(p.K.Heap, o.Text), "\n")[1:]
		if int(o.Index) >= len(parts) {
			return 0, 0
		}
		part := parts[o.Index]
		if o.Part == 0 {
			n, e := p.openPart(c, part)
			if e == abi.EINTR || e >= abi.ErrRestart {
				return 0, e
			}
			c.MutThread().Progress++
			if e != 0 { // it is gone, or not for this reader
				p.opened.Mut(r).Index++
				continue
			}
			p.K.HoldFile(n)
			p.endPart(r) // of another reader meanwhile
			p.opened.Mut(r).Part = n
		}
		out, e := p.readPart(c, p.opened.Get(r).Part, part, size)
		if e != 0 {
			return 0, e
		}
		if len(out) > 0 {
			p.K.Files.Mut(f).Off += int64(len(out))
			c.CopyOut(c.Args[1], out)
			return uint64(len(out)), 0
		}
		p.endPart(r)
		p.opened.Mut(r).Index++
		c.MutThread().Progress++
	}
}

func (p *Personality) endPart(r store.Ref[opened]) {
	if o := p.opened.Get(r); o.Part != 0 {
		f := o.Part
		p.opened.Mut(r).Part = 0
		p.K.DropFile(nil, f)
	}
}

// openPart opens a directory by where it is, for reading.
func (p *Personality) openPart(c *core.Call, at string) (store.Ref[core.File], abi.Errno) {
	n, e := p.own(c, at)
	switch {
	case e != 0:
		return 0, e
	case n.kind == kRemote:
		return p.openRemote(c, n, at, 0)
	case n.kind != 0:
		return p.openOwn(c, n, core.AccessRead, false)
	}
	return c.OpenAt(core.AtCwd, at, core.AccessRead, core.OpenLargefile|core.OpenDirectory, 0, 0)
}

// readPart reads the next entries of an open directory.
func (p *Personality) readPart(c *core.Call, f store.Ref[core.File], at string, size int32) ([]byte, abi.Errno) {
	c.PinFile(f)
	defer c.UnpinFile(f)
	if file := p.K.Files.Get(f); file.Kind == core.FileOwn {
		if file.Obj == kRemoteDir {
			return p.readRemoteDir(c, f, int(min(size, maxDirRead)), -1)
		}
		return p.ownDirEntries(c, f, node{kind: file.Obj, num: file.Aux}, uint64(size), -1), 0
	}
	return p.dirEntries(c, f, size, func(name string) (dir, abi.Errno) { return p.dirAt(c, core.AtCwd, path.Join(at, name)) })
}
