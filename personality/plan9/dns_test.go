package plan9

import (
	"strings"
	"testing"
)

// FuzzDNS: whatever comes as an answer, its lines are one line each, of the type that was
// asked for.
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
	f.Add(append(q, 0xc0, 0xff))
	f.Add(append(q, 0xc0, 12, 0, dnsCname, 0, dnsIn, 0, 0, 0, 1, 0, 2, 0xc0, byte(len(q)+12)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, typ := range dnsTypes {
			q, _ := dnsQuestion(7, "host.example", typ)
			lines, _, _ := dnsAnswer(b, q)
			for _, l := range lines {
				if strings.ContainsAny(l, "\n\x00") || !strings.Contains(l, " "+name) {
					t.Errorf("%s: %q", name, l)
				}
			}
		}
	})
}
