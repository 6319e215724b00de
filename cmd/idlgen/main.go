// Command idlgen compiles the protocols of idl/*.idl (docs/idl.md) into the Go files of
// idl/NAME, and all of them into docs/protocols.md.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"hythe/cmd/idlgen/internal/gen"
	"hythe/cmd/idlgen/internal/idl"
)

//go:generate go run . -root ../..
//go:generate go run . -root ../.. -docs= ../../test/protocol/message1/message.idl ../../test/protocol/message2/message.idl ../../test/protocol/call1/call.idl ../../test/protocol/call2/call.idl

func main() {
	root := flag.String("root", ".", "`DIR` that has idl and docs")
	docs := flag.String("docs", "docs/protocols.md", "`FILE` below the root for the documentation; empty: none")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: idlgen [-root DIR] [-docs FILE] [PROTOCOL.idl...]\n"+
			"Protocols that are named are compiled beside themselves, else all of DIR/idl.\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*root, *docs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// output is a file to be written.
type output struct {
	path string
	data []byte
}

// run compiles all or nothing: what is wrong with one file leaves all as they were.
func run(root, docs string, paths []string) error {
	named := len(paths) > 0
	if !named {
		var err error
		if paths, err = filepath.Glob(filepath.Join(root, "idl", "*.idl")); err != nil {
			return err
		}
		if len(paths) == 0 {
			return fmt.Errorf("idlgen: no protocols in %s", filepath.Join(root, "idl"))
		}
	}
	slices.Sort(paths)
	var files []*idl.File
	var outs []output
	var errs []error
	for _, p := range paths {
		f, o, err := compile(root, p, named)
		files, outs = append(files, f), append(outs, o...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if docs != "" {
		outs = append(outs, output{filepath.Join(root, docs), gen.Docs(files)})
	}
	for _, o := range outs {
		if have, err := os.ReadFile(o.path); err == nil && bytes.Equal(have, o.data) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(o.path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(o.path, o.data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// compile makes the files of one protocol: beside it if it was named, else in a
// directory of its name.
func compile(root, path string, beside bool) (*idl.File, []output, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	shown := path
	if rel, err := filepath.Rel(root, path); err == nil {
		shown = filepath.ToSlash(rel)
	}
	f, err := idl.Parse(shown, string(src))
	if err != nil {
		return nil, nil, err
	}
	stem := path[:len(path)-len(filepath.Ext(path))]
	if f.Name != filepath.Base(stem) {
		return nil, nil, fmt.Errorf("%s:%d:%d: protocol %s in a file of another name", shown, f.Pos.Line, f.Pos.Col, f.Name)
	}
	var errs []error
	for _, e := range idl.Check(f) {
		errs = append(errs, e)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	lock := stem + ".lock"
	old, err := os.ReadFile(lock)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	forms, err := idl.Lock(f, filepath.Base(lock), string(old))
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Dir(path)
	if !beside {
		dir = stem
	}
	code, err := gen.Code(f)
	if err != nil {
		return nil, nil, err
	}
	tests, err := gen.Tests(f)
	if err != nil {
		return nil, nil, err
	}
	return f, []output{
		{lock, []byte(forms)},
		{filepath.Join(dir, f.Name+"_gen.go"), code},
		{filepath.Join(dir, f.Name+"_gen_test.go"), tests},
	}, nil
}
