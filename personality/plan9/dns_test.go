package plan9

import (
	"strings"
	"testing"
)

// FuzzDNS: whatever comes as an answer, its lines are one line each, of a name and the type
// that was asked for.
func FuzzDNS(f *testing.F) {
	q, ok := dnsQuestion(7, "host.example", dnsA)
	if !ok {
		f.Fatal("no question")
	}
	a := append([]byte(nil), q...)
	a[2], a[7] = 0x80, 2
	a = append(a, 0xc0, 12, 0, dnsCname, 0, dnsIn, 0, 0, 0, 1, 0, 4, 1, 'x', 0xc0, 17)
	a = append(a, 1, 'X', 0xc0, 17, 0, dnsA, 0, dnsIn, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1)
	if lines, _, ok := dnsAnswer(a, q); !ok || len(lines) != 1 || lines[0] != "X.example ip 192.0.2.1" {
		f.Fatalf("%q %v", lines, ok)
	}
	f.Add(a)
	// The name of no labels is nobody's.
	root := append(append([]byte(nil), q...), 0xc0, 12, 0, dnsCname, 0, dnsIn, 0, 0, 0, 1, 0, 1, 0)
	root = append(root, 0, 0, dnsA, 0, dnsIn, 0, 0, 0, 1, 0, 4, 192, 0, 2, 1)
	root[2], root[7] = 0x80, 2
	if lines, _, ok := dnsAnswer(root, q); !ok || len(lines) != 0 {
		f.Fatalf("%q %v", lines, ok)
	}
	f.Add(root)
	for _, name := range []string{"h\x7fst", "a b", "\u00e4"} {
		if _, ok := dnsQuestion(7, name, dnsA); ok {
			f.Fatalf("a question for %q", name)
		}
	}
	f.Add(append(q, 0xc0, 0xff))
	f.Add(append(q, 0xc0, 12, 0, dnsCname, 0, dnsIn, 0, 0, 0, 1, 0, 2, 0xc0, byte(len(q)+12)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, typ := range dnsTypes {
			q, _ := dnsQuestion(7, "host.example", typ)
			lines, _, _ := dnsAnswer(b, q)
			for _, l := range lines {
				if f := strings.Fields(l); strings.ContainsAny(l, "\n\x00") || len(f) < 2 || f[1] != name {
					t.Errorf("%s: %q", name, l)
				}
			}
		}
	})
}
