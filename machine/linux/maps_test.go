package linux

import (
	"strings"
	"testing"
)

// TestOwnMaps: what a guest is shown of its map ends where the library begins,
// also when the host made one mapping of both sides, and the vDSO is shown.
func TestOwnMaps(t *testing.T) {
	const in = `00060000-00070000 r--p 00000000 00:00 0 
Rss:                   4 kB
00400000-00401000 r-xp 00000000 fe:00 12                                 /bin/a
Rss:                   4 kB
7ea880060000-7ea880070000 r--p 00000000 00:00 0 
Rss:                   4 kB
7eaffffff000-7eb000400000 ---p 00000000 00:00 0 
Rss:                   0 kB
7eb000400000-7eb000401000 r-xp 00000000 fe:00 99                         /lib
Rss:                   9 kB
7eb100000000-7fff00000000 ---p 00000000 00:00 0 
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   8 kB
7fff00002000-7ffffffff000 ---p 00000000 00:00 0 
Rss:                   7 kB
`
	const want = `00400000-00401000 r-xp 00000000 fe:00 12                                 /bin/a
Rss:                   4 kB
7eaffffff000-7eb000000000 ---p 00000000 00:00 0 
Rss:                   0 kB
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          [vdso]
Rss:                   8 kB
`
	if b, err := ownMaps(strings.NewReader(in), 0x7eb0_0000_0000); err != nil || string(b) != want {
		t.Errorf("%v\n%s", err, b)
	}
	if b, err := ownMaps(strings.NewReader(in), 0); err != nil || string(b) != in {
		t.Errorf("without a window: %v\n%s", err, b)
	}
	long := strings.Repeat("00400000-00401000 r-xp 00000000 fe:00 12\n", 2*maxMaps/40)
	if b, err := ownMaps(strings.NewReader(long), 0x7eb0_0000_0000); err != nil || len(b) < maxMaps || len(b) > maxMaps+100 {
		t.Errorf("a long one: %v, %d bytes", err, len(b))
	}
}
