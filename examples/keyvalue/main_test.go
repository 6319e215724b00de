package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"hythe"
)

func TestMain(m *testing.M) {
	hythe.Main(servers...)
	os.Exit(m.Run())
}

// TestShort: the server is what a server has to be, and no more lines than that.
func TestShort(t *testing.T) {
	b, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := bytes.Cut(b, []byte("// serve is"))
	if n := bytes.Count(body, []byte("\n")); n >= 50 {
		t.Errorf("the server has %d lines", n)
	}
}

func Example() {
	if err := run(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output: a small haven
}

// TestKilled: what was answered is there, however often the server is killed.
func TestKilled(t *testing.T) {
	m, err := hythe.New(t.Context(), hythe.Config{Servers: servers, Pids: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const clients, puts = 4, 50
	var wg sync.WaitGroup
	asked := make(chan bool)
	for i := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			c, in, err := m.Connect("keyvalue")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for n := range puts {
				key := fmt.Sprintf("%d-%d", i, n)
				if _, err := ask(c, in, Put, key+"="+strings.Repeat(key, 100)); err != nil {
					t.Errorf("put %s: %v", key, err)
				}
				asked <- true
				if v, err := ask(c, in, Get, key); err != nil || v != strings.Repeat(key, 100) {
					t.Errorf("get %s: %d bytes, %v", key, len(v), err)
				}
			}
		}()
	}
	go func() { wg.Wait(); close(asked) }()
	for n := 1; <-asked; n++ {
		if n%10 == 0 {
			if err := m.Restart(t.Context(), "keyvalue"); err != nil {
				t.Error(err)
			}
		}
	}
	c, in, err := m.Connect("keyvalue")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range clients {
		for n := range puts {
			if v, err := ask(c, in, Get, fmt.Sprintf("%d-%d", i, n)); err != nil || v == "" {
				t.Errorf("%d-%d: %q, %v", i, n, v, err)
			}
		}
	}
	if _, err := ask(c, in, 99, "x"); err != nil {
		t.Errorf("nonsense: %v", err)
	}
}
