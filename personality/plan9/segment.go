package plan9

import (
	"hythe/abi"
	"hythe/server/unix/core"
)

// Segments (segattach(2)): a process may have some besides text, data and stack. They are
// parts of the region that data and heap are in, from its end downwards, so that they are
// shared with whom the data segment is, and copied with it.

// Attributes of one.
const (
	sgRonly = 0x40
	sgCexec = 0x80
)

// segAt answers which segment an address is in, -1 for none.
func segAt(r *core.Region, addr uint64) int {
	for i, s := range r.Segs {
		if s.Size > 0 && addr >= s.Addr && addr-s.Addr < s.Size {
			return i
		}
	}
	return -1
}

// segLow is where the lowest of them begins that are at or above an address: how far what
// is there can grow. The region's end if there is none.
func segLow(r *core.Region, from uint64) uint64 {
	low := r.Addr + r.Size
	for _, s := range r.Segs {
		if s.Size > 0 && s.Addr >= from {
			low = min(low, s.Addr)
		}
	}
	return low
}

// sysSegattach serves segattach: attributes, class, address or 0, size.
func sysSegattach(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	class, e := c.PathArg(1)
	if e != 0 {
		return 0, e
	}
	r := c.Region()
	attr, at, size := uint32(c.Args[0]), c.Args[2]&^(abi.PageSize-1), uint64(uint32(c.Args[3]))
	if attr&^sgCexec != 0 || r == nil || size == 0 {
		return 0, abi.EINVAL
	}
	if class != "memory" {
		return 0, abi.ENODEV
	}
	size = (c.Args[2]&(abi.PageSize-1) + size + abi.PageSize - 1) &^ (abi.PageSize - 1)
	free := -1
	for i := range r.Segs {
		if r.Segs[i].Size == 0 {
			free = i
		}
	}
	if free < 0 {
		return 0, abi.ENOMEM
	}
	first := r.Addr + r.Used
	if at == 0 {
		low := segLow(r, first)
		if low-first < size {
			return 0, abi.ENOMEM
		}
		at = low - size
	}
	if at < first || at > r.Addr+r.Size || size > r.Addr+r.Size-at {
		return 0, abi.EINVAL
	}
	for _, s := range r.Segs {
		if s.Size > 0 && at < s.Addr+s.Size && s.Addr < at+size {
			return 0, abi.EBUSY
		}
	}
	c.MutRegion().Segs[free] = core.Segment{Addr: at, Size: size}
	return at, 0
}

// sysSegdetach serves segdetach: an address in it.
func sysSegdetach(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	r := c.Region()
	if r == nil {
		return 0, abi.EINVAL
	}
	i := segAt(r, c.Args[0])
	if i < 0 {
		return 0, abi.EINVAL
	}
	s := r.Segs[i]
	if e := c.ClearRegion(s.Addr, s.Addr+s.Size); e != 0 {
		return 0, e
	}
	if r = c.Region(); r != nil && r.Segs[i] == s { // nobody has done so meanwhile
		c.MutRegion().Segs[i] = core.Segment{}
	}
	return 0, 0
}

// sysSegbrk serves segbrk (brk(2)): an address in it, its new end.
func sysSegbrk(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	r, to := c.Region(), (c.Args[1]+abi.PageSize-1)&^(abi.PageSize-1)
	if r == nil {
		return 0, abi.EINVAL
	}
	i := segAt(r, c.Args[0])
	if i < 0 {
		return 0, abi.EINVAL
	}
	s := r.Segs[i]
	switch end := s.Addr + s.Size; {
	case c.Args[1] == 0:
		return s.Addr, 0
	case to <= s.Addr || to > segLow(r, end):
		return 0, abi.EINVAL
	case to < end:
		if e := c.ClearRegion(to, end); e != 0 {
			return 0, e
		}
	}
	if r = c.Region(); r != nil && r.Segs[i] == s {
		c.MutRegion().Segs[i].Size = to - s.Addr
	}
	return 0, 0
}

// sysSegfree serves segfree: the pages are zero from now on.
func sysSegfree(_ *Personality, c *core.Call) (uint64, abi.Errno) {
	r := c.Region()
	from, to := (c.Args[0]+abi.PageSize-1)&^(abi.PageSize-1), (c.Args[0]+uint64(uint32(c.Args[1])))&^(abi.PageSize-1)
	if r == nil {
		return 0, abi.EINVAL
	}
	low, high := r.Addr, r.Addr+r.Used
	if i := segAt(r, from); i >= 0 {
		low, high = r.Segs[i].Addr, r.Segs[i].Addr+r.Segs[i].Size
	}
	if from < low || to > high {
		return 0, abi.EINVAL
	}
	if from < to {
		return 0, c.ClearRegion(from, to)
	}
	return 0, 0
}

// sysSegflush serves segflush: the processor sees to that.
func sysSegflush(_ *Personality, c *core.Call) (uint64, abi.Errno) { return 0, 0 }
