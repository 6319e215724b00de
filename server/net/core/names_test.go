package core

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func testNames(name string) (four, six netip.Addr, ok bool) {
	four = netip.AddrFrom4([4]byte{10, 0, 3, 7})
	switch name {
	case "db", "a.b":
		return four, netip.MustParseAddr("fd00:10:0:3::7"), true
	case "four":
		return four, netip.Addr{}, true
	}
	return netip.Addr{}, netip.Addr{}, false
}

// question is a message that asks for a name, of a type.
func question(name string, typ byte) []byte {
	b := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, l := range strings.Split(name, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0, 0, typ, 0, 1)
}

// TestAnswerName: names of machines by RFC 1035's messages.
func TestAnswerName(t *testing.T) {
	const head, none, db = "1234", "0001000000000000", "02646200"
	for _, c := range []struct {
		what string
		in   []byte
		want string
	}{
		{"an address", question("db", 1), head + "8580" + "0001000100000000" + db + "00010001" + "c00c00010001" + "00000005" + "0004" + "0a000307"},
		{"in capitals", question("DB", 1), head + "8580" + "0001000100000000" + "02444200" + "00010001" + "c00c00010001" + "00000005" + "0004" + "0a000307"},
		{"of IPv6", question("db", 28), head + "8580" + "0001000100000000" + db + "001c0001" + "c00c001c0001" + "00000005" + "0010" + "fd000010000000030000000000000007"},
		{"of IPv6, of who has none", question("four", 28), head + "8580" + none + "04666f757200" + "001c0001"},
		{"of another type", question("db", 15), head + "8580" + none + db + "000f0001"},
		{"nobody's", question("x", 1), head + "8583" + none + "017800" + "00010001"},
		{"an answer", append([]byte{0, 0, 0x80}, make([]byte, 20)...), ""},
		{"too short", make([]byte, 11), ""},
		{"no question", append([]byte{0x12, 0x34}, make([]byte, 10)...), head + "8481" + "0000000000000000"},
		{"an update", append([]byte{0x12, 0x34, 0x28, 0}, make([]byte, 8)...), head + "ac84" + "0000000000000000"},
		{"a name that points elsewhere", append([]byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 0xc0, 12, 0, 1, 0, 1), head + "8581" + "0000000000000000"},
		{"half a name", question("db", 1)[:14], head + "8581" + "0000000000000000"},
	} {
		if got := hex.EncodeToString(answerName(c.in, testNames)); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.what, got, c.want)
		}
	}
	if got := answerName(question("a.b", 1), testNames); len(got) != 12+5+4+16 {
		t.Errorf("a name of two parts: %x", got)
	}
}

// FuzzAnswerName: an answer belongs to its question and is not much longer.
func FuzzAnswerName(f *testing.F) {
	f.Add(question("db", 1))
	f.Add(question("a.b", 28))
	f.Fuzz(func(t *testing.T, q []byte) {
		a := answerName(q, testNames)
		if a == nil {
			return
		}
		if len(a) < dnsHead || len(a) > len(q)+28 || a[0] != q[0] || a[1] != q[1] || a[2]&0x80 == 0 {
			t.Errorf("%x", a)
		}
	})
}
