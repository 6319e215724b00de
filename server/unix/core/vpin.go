package core

import "hythe/store"

// A call that works with an open file while it gives up the lock pins it: the
// description is not released before the call has ended, whoever closes it.
// Pins are derived: after a restart the call runs again from its descriptor,
// and a description whose last reference had gone is released by recovery.

// accessClosed, in File.Access, marks a description whose last reference has
// gone while a call worked with it.
const accessClosed = 1 << 31

// pinFile keeps f from being released, and its offset from being lent.
func (k *Kernel) pinFile(f store.Ref[File]) {
	k.fileRT(f).pins++
	if file := k.Files.Get(f); file.LentTo != 0 {
		k.takeBackPos(f) // since the caller looked it up
	} else if file.Epolls != 0 {
		k.touchWatched(f)
	}
}

// unpinFile ends it and releases f if its last reference went meanwhile.
func (k *Kernel) unpinFile(c *Call, f store.Ref[File]) {
	rt := k.fileRT(f)
	if rt.pins--; rt.pins == 0 && k.Files.Get(f).Refs == 0 {
		k.releaseFile(c, f)
	}
}

// recoverFiles releases the descriptions that only calls of the last
// incarnation held.
func (k *Kernel) recoverFiles() {
	var dead []store.Ref[File]
	k.Files.Each(func(r store.Ref[File], f *File) bool {
		if f.Refs == 0 && f.Access&accessClosed != 0 {
			dead = append(dead, r)
		}
		return true
	})
	for _, r := range dead {
		k.releaseFile(nil, r)
	}
}
