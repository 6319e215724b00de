package main

import (
	"bytes"
	"os"
	"testing"
)

func TestFresh(t *testing.T) {
	const name = "../../docs/linux-calls.md"
	have, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	write(&want)
	if !bytes.Equal(have, want.Bytes()) {
		t.Errorf("%s is not what its table says: run make generate", name)
	}
}
