package network

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hythe/test/subject"
)

// authority signs certificates.
type authority struct {
	t      *testing.T
	dir    string // where its files are
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir}
	c := a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.key = c.PrivateKey.(*ecdsa.PrivateKey)
	var err error
	if a.cert, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate of template, which is left in the files name.crt and name.key.
func (a *authority) sign(name string, template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.serial++
	template.SerialNumber, template.Subject = big.NewInt(a.serial), pkix.Name{CommonName: name}
	template.NotBefore = time.Now().Add(-48 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(48 * time.Hour)
	}
	parent, by := template, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, p := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(p), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLS: curl and Python's urllib speak TLS with servers on the host, as they do there: of
// several versions, with bodies both ways, with certificates of both sides, and they refuse
// those who show another authority's, a name that is another's, and what is out of date.
func TestTLS(t *testing.T) {
	const curl = "/usr/bin/curl"
	subject.Need(t, curl, python)
	dir := t.TempDir()
	ca := newAuthority(t, dir, "ca")
	newAuthority(t, dir, "other")
	ca.sign("client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	own := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 2, 2)}
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)

	body := bytes.Repeat([]byte("hythe "), 300000)
	mux := http.NewServeMux()
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%x %s %v\n", sha256.Sum256(b), r.Proto, tls.VersionName(r.TLS.Version))
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		who := "nobody"
		if c := r.TLS.PeerCertificates; len(c) > 0 {
			who = c[0].Subject.CommonName
		}
		fmt.Fprintln(w, who, r.TLS.ServerName)
	})
	var ports []string
	for _, c := range []*tls.Config{
		{Certificates: []tls.Certificate{ca.sign("server", &x509.Certificate{ExtKeyUsage: server, IPAddresses: own, DNSNames: []string{"server.test"}})}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients},
		{Certificates: []tls.Certificate{ca.sign("elsewhere", &x509.Certificate{ExtKeyUsage: server, DNSNames: []string{"elsewhere.test"}})}},
		{Certificates: []tls.Certificate{ca.sign("old", &x509.Certificate{ExtKeyUsage: server, IPAddresses: own, NotAfter: time.Now().Add(-24 * time.Hour)})}},
	} {
		s := httptest.NewUnstartedServer(mux)
		s.TLS, s.EnableHTTP2 = c, true
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // who refuses a certificate says so here
		s.StartTLS()
		defer s.Close()
		ports = append(ports, portOf(s.Listener.Addr()))
	}
	args := func(host string) []string {
		return append([]string{"-c", testdata(t, "tls.sh"), "tls", dir, host}, ports...)
	}
	want := run(t, "/bin/bash", args("127.0.0.1")...)
	if want.status != 0 || want.errs != "" {
		t.Fatalf("on the host: %+v", want)
	}
	flags := append([]string{"run", "-v", dir + ":" + dir + ":ro"}, allow(ports...)...)
	got := run(t, subject.Binary(t), append(append(flags, "--", "/bin/bash"), args("10.0.2.2")...)...)
	if got != want {
		t.Errorf("\n got: %+v\nwant: %+v", got, want)
	}
}
