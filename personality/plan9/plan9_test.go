package plan9

import (
	"bytes"
	"slices"
	"testing"

	"hythe/abi"
	"hythe/personality/image"
)

// head makes a program's header.
func head(magic, text, data, bss uint32, entry uint64) []byte {
	b := make([]byte, headerSize)
	for i, v := range []uint32{magic, text, data, bss, 0, uint32(entry), 0, 0} {
		be.PutUint32(b[4*i:], v)
	}
	be.PutUint64(b[32:], entry)
	return b
}

func TestReadHeader(t *testing.T) {
	const entry = textAt + headerSize + 0x100
	for name, x := range map[string]struct {
		b  []byte
		ok bool
	}{
		"a program":              {head(magic, 0x1000, 0x100, 0x200, entry), true},
		"without data":           {head(magic, 0x1000, 0, 0, entry), true},
		"empty":                  {nil, false},
		"short":                  {head(magic, 0x1000, 0x100, 0x200, entry)[:headerSize-1], false},
		"another machine's":      {head(4*26*26+7, 0x1000, 0x100, 0x200, entry), false},
		"without text":           {head(magic, 0, 0x100, 0x200, entry), false},
		"too much text":          {head(magic, maxText+1, 0x100, 0x200, entry), false},
		"too much data":          {head(magic, 0x1000, ^uint32(0), 0x200, entry), false},
		"begins in the header":   {head(magic, 0x1000, 0, 0, textAt), false},
		"begins behind its text": {head(magic, 0x1000, 0, 0, textAt+headerSize+0x1000), false},
		"begins nowhere":         {head(magic, 0x1000, 0, 0, 1<<63), false},
	} {
		if _, ok := readHeader(x.b); ok != x.ok {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func TestOwnEnv(t *testing.T) {
	for name, x := range map[string]struct{ envp, more []string }{
		"nothing":              {nil, nil},
		"a path":               {[]string{"PATH=/a:/b"}, []string{"path=/a\x00/b"}},
		"one directory":        {[]string{"PATH=/a"}, []string{"path=/a"}},
		"a path of its own":    {[]string{"PATH=/a:/b", "path=/c"}, nil},
		"a path that came by":  {[]string{"path=/a /b", "PATH=/a:/b"}, []string{"path=/a\x00/b"}},
		"a home, of two":       {[]string{"HOME=/h", "home=/i"}, nil},
		"a home and a user":    {[]string{"HOME=/h", "USER=u"}, []string{"home=/h", "user=u"}},
		"a word without value": {[]string{"PATH"}, []string{"path="}},
	} {
		if got := ownEnv(x.envp); !slices.Equal(got, append(slices.Clone(x.envp), x.more...)) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// FuzzReadHeader: what a header that is taken says lies where it belongs: text, data with
// bss and the stack in this order, none in another, and all of it the guest's.
func FuzzReadHeader(f *testing.F) {
	f.Add(head(magic, 0x1000, 0x100, 0x200, textAt+headerSize))
	f.Add(head(magic, maxText, maxText, ^uint32(0), textAt+headerSize+maxText-1))
	f.Add(head(magic, 1, 0, 0, textAt+headerSize))
	f.Add(head(magic, ^uint32(0), ^uint32(0), ^uint32(0), ^uint64(0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, ok := readHeader(b)
		if !ok {
			return
		}
		textEnd := textAt + headerSize + h.text
		data := h.dataAt()
		dataEnd := data + h.data + h.bss
		switch {
		case h.entry < textAt+headerSize || h.entry >= textEnd:
			t.Errorf("begins outside of its text: %+v", h)
		case data < textEnd || data&(segAlign-1) != 0 || dataEnd < data:
			t.Errorf("data at %#x: %+v", data, h)
		case dataEnd+segAlign > fpAt || dataEnd > image.GuestEnd:
			t.Errorf("data end at %#x: %+v", dataEnd, h)
		case headerSize+h.text+h.data > 1<<32:
			t.Errorf("a file of %#x: %+v", headerSize+h.text+h.data, h)
		}
		// As Start reckons with it.
		if used := (h.data + h.bss + abi.PageSize - 1) &^ (abi.PageSize - 1); used+segAlign > maxData || used < h.data+h.bss {
			t.Errorf("a region of %#x: %+v", used, h)
		}
	})
}

// FuzzDecode: a stat message that is taken is the one that encode makes of it.
func FuzzDecode(f *testing.F) {
	f.Add((&dir{name: "name", uid: "u", gid: "g", muid: "m", mode: dmDir | 0o755, qtype: qtDir}).encode())
	f.Add((&dir{}).encode())
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, ok := decode(b)
		if ok && !bytes.Equal(d.encode(), b) {
			t.Errorf("%q is %+v is %q", b, d, d.encode())
		}
	})
}
