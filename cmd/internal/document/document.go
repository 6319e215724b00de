// Package document is what the commands that write documents out of tables have
// in common.
package document

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Main is such a command: it writes what write gives to standard output, or to
// the file that -o names, and ends the process with status 1 if it cannot.
func Main(write func(io.Writer)) {
	out := flag.String("o", "", "write to `FILE` instead of standard output")
	flag.Parse()
	var b bytes.Buffer
	write(&b)
	var err error
	if *out == "" {
		_, err = os.Stdout.Write(b.Bytes())
	} else {
		err = os.WriteFile(*out, b.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// Fresh says whether the file is what write gives: nil, or what to do.
func Fresh(file string, write func(io.Writer)) error {
	have, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var want bytes.Buffer
	write(&want)
	if !bytes.Equal(have, want.Bytes()) {
		return fmt.Errorf("%s is not what its tables say: run make generate", file)
	}
	return nil
}
