package main

import (
	"io"
	"testing"

	"hythe/cmd/internal/document"
)

func TestFresh(t *testing.T) {
	for i, s := range systems {
		if err := document.Fresh("../../docs/"+s.name+"-calls.md", func(w io.Writer) { write(w, i) }); err != nil {
			t.Error(err)
		}
	}
}
