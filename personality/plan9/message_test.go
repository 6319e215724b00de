package plan9

import (
	"bytes"
	"testing"
)

// FuzzAnswer: a stream that a server sends is cut into messages or refused; what is read of
// one is in it, and directories are what encode makes of them, but for type and device.
func FuzzAnswer(f *testing.F) {
	f.Add(message(tRead+1, 1, append(le.AppendUint32(nil, 3), "abc"...)), uint16(3))
	f.Add(message(tVersion+1, noTag, putString(le.AppendUint32(nil, maxMsg), version9)), uint16(0))
	f.Add(message(tStat+1, 2, (&dir{name: "name"}).encode()), uint16(5))
	f.Add(append(message(rError, 3, putString(nil, "words")), 7, 0), uint16(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, how uint16) {
		all, total := b, 0
		for {
			msg, rest, ok := split(all, maxMsg)
			if !ok {
				break
			}
			if msg == nil {
				if len(rest) != len(all) || len(rest) >= maxMsg {
					t.Fatalf("%d bytes are left of %d", len(rest), len(all))
				}
				break
			}
			if len(msg) < headSize || len(msg) > maxMsg || int(le.Uint32(msg)) != len(msg) || len(msg)+len(rest) != len(all) {
				t.Fatalf("a message of %d bytes, %d are left of %d", len(msg), len(rest), len(all))
			}
			total += len(msg)
			read(t, msg[headSize:], how)
			all = rest
		}
		if total > len(b) {
			t.Fatal("more than there is")
		}
		d := append([]byte(nil), b...)
		if entries9(d, 7) && len(d) > 0 {
			for n := 0; n < len(d); n += int(le.Uint16(d[n:])) + 2 {
				x, ok := decode(d[n : n+int(le.Uint16(d[n:]))+2])
				if !ok || x.typ != 'M' || x.dev != 7 || !goodName(x.name) || !bytes.Equal(x.encode(), d[n:n+int(le.Uint16(d[n:]))+2]) {
					t.Fatalf("%+v", x)
				}
			}
		}
	})
}

// read reads what an answer says in some order.
func read(t *testing.T, body []byte, how uint16) {
	r := reply{b: body}
	got := 0
	for ; how > 0; how >>= 3 {
		switch how & 7 {
		case 0:
			r.u8()
			got++
		case 1:
			r.u16()
			got += 2
		case 2:
			r.u32()
			got += 4
		case 3:
			got += 2 + len(r.text())
		default:
			r.qid()
			got += 13
		}
	}
	if r.end() && got != len(body) {
		t.Fatalf("%d bytes are read of %d", got, len(body))
	}
}
