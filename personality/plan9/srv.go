package plan9

import (
	"fmt"
	"strconv"
	"strings"

	"hythe/abi"
	"hythe/server/unix/core"
	"hythe/store"
)

// /srv (srv(3)): open files that processes post by a name for others, who open the same
// one by it. They are entries of the machine's own Dict, whose values say whose they are.

// How many there are, of all users and of one.
const (
	maxPosted    = 512
	maxPostedOwn = 128
)

// posted is who posted an entry, and with which permissions.
func (p *Personality) posted(r store.Ref[core.DictEnt]) (uid, perm uint32) {
	_, _ = fmt.Sscanf(string(p.K.DictValue(r)), "%d %o", &uid, &perm)
	return uid, perm
}

// mayPosted says whether the caller may use an entry as mode's bits (4 read, 2 write) say.
func (p *Personality) mayPosted(c *core.Call, r store.Ref[core.DictEnt], access uint32) abi.Errno {
	uid, perm := p.posted(r)
	var want uint32
	if access&core.AccessRead != 0 {
		want |= 4
	}
	if access&core.AccessWrite != 0 {
		want |= 2
	}
	if c.Cred().FSUID == uid {
		perm >>= 6
	}
	if perm&want != want && !c.Capable(core.CapDacOverride) {
		return abi.EACCES
	}
	return 0
}

// openPosted answers the open file that an entry holds, if the caller may have it.
func (p *Personality) openPosted(c *core.Call, n node, access uint32) (store.Ref[core.File], abi.Errno) {
	r := store.Ref[core.DictEnt](n.num)
	if e := p.mayPosted(c, r, access); e != 0 {
		return 0, e
	}
	f := p.K.DictFile(r)
	if f == 0 {
		return 0, abi.ENODEV
	}
	if access&^p.K.Files.Get(f).Access != 0 {
		return 0, abi.EACCES
	}
	return f, 0
}

// createPosted makes an entry, which has no open file yet, and opens it so that one can be
// posted.
func (p *Personality) createPosted(c *core.Call, name string, access, perm uint32) (store.Ref[core.File], abi.Errno) {
	if access != core.AccessWrite || perm&dmDir != 0 {
		return 0, abi.EACCES
	}
	k := p.K
	d := k.PostedDict(true)
	if d == 0 {
		return 0, abi.ENOSPC
	}
	all, own := 0, 0
	k.EachInDict(d, func(_ string, v []byte) bool {
		all++
		if strings.HasPrefix(string(v), strconv.Itoa(int(c.Cred().FSUID))+" ") {
			own++
		}
		return true
	})
	if all >= maxPosted || own >= maxPostedOwn {
		return 0, abi.ENOSPC
	}
	if e := k.DictSet(d, name, fmt.Appendf(nil, "%d %o", c.Cred().FSUID, perm&0o777)); e != 0 {
		return 0, e
	}
	return p.newOwn(node{kind: kSrvNew, num: uint32(k.DictLookup(d, name))}, access)
}

// newOwn makes an open file of one of our files.
func (p *Personality) newOwn(n node, access uint32) (store.Ref[core.File], abi.Errno) {
	f, file, e := p.K.NewFile(core.FileOwn, access, 0)
	if e == 0 {
		file.Obj, file.Aux, file.Aux2 = n.kind, n.num, p.identity(n)
	}
	return f, e
}

// post serves a write to a new entry: the number of the caller's descriptor that is posted.
// Only who made the entry posts its own.
func (p *Personality) post(c *core.Call, r store.Ref[core.DictEnt], text string) abi.Errno {
	k := p.K
	if uid, _ := p.posted(r); uid != c.Cred().FSUID {
		return abi.EACCES
	}
	fd, ok := number(strings.TrimSpace(text))
	if !ok {
		return abi.EINVAL
	}
	f, file, e := c.File(fd)
	if e != 0 {
		return e
	}
	if k.DictFile(r) != 0 {
		return abi.EBUSY
	}
	if file.Kind == core.FileOwn && (file.Obj == kSrvNew || file.Obj == kAttach || file.Obj == kSession) || file.Kind == core.FileKqueue || file.Kind == core.FileEpoll {
		return abi.EINVAL // it would hold itself
	}
	v := append([]byte(nil), k.DictValue(r)...)
	return k.DictHold(k.PostedDict(false), k.DictName(r), v, f)
}

// removePosted serves remove of an entry: its owner's.
func (p *Personality) removePosted(c *core.Call, n node) abi.Errno {
	uid, _ := p.posted(store.Ref[core.DictEnt](n.num))
	if uid != c.Cred().FSUID && !c.Capable(core.CapFowner) {
		return abi.EPERM
	}
	return p.K.DictRemove(p.K.PostedDict(false), n.name)
}
