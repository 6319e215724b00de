// Command pager is a guest that supplies the pages of a memory object from a file, and one
// that uses them:
//
//	hythe run -- sh -c './pager serve FILE & ./pager add; ./pager sum; wait'
//
// "serve" has at most four pages in memory, whoever asks for how many: it takes others back,
// and writes to the file what has changed in them. "add" adds one to every byte of the
// object, "sum" prints what they sum up to, "hold" says that it has it and keeps it until
// its input ends; "serve" ends when nobody has the object any more. "there" says by its exit
// status whether there is a pager.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"hythe/abi"
	"hythe/idl/names"
	"hythe/ipc"
)

const (
	name = "example/pager"
	most = 4 // pages in memory
)

func main() {
	c, err := ipc.Guest()
	switch {
	case err != nil:
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(c, os.Args[2])
	case len(os.Args) == 2 && (os.Args[1] == "add" || os.Args[1] == "sum" || os.Args[1] == "hold"):
		err = use(c, os.Args[1])
	case len(os.Args) == 2 && os.Args[1] == "there":
		if _, e := (names.Client{C: c, Port: c.Names()}).Lookup(name); e != 0 {
			os.Exit(1)
		}
	default:
		err = errors.New("usage: pager serve FILE | add | sum | hold | there")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pager has one object, and its own mapping of it, in which it looks at nothing but pages
// that it has supplied and that nobody can write then.
type pager struct {
	c      *ipc.Conn
	file   *os.File
	object abi.Name
	mem    []byte
	there  []uint64 // pages in memory, the oldest first
}

func serve(c *ipc.Conn, path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	st, err := file.Stat()
	if err != nil {
		return err
	}
	size := (st.Size() + abi.PageSize - 1) &^ (abi.PageSize - 1)
	p := &pager{c: c, file: file}
	pages, e := c.MakePort("")
	if e != 0 {
		return e
	}
	asks, e := c.MakePort("")
	if e != 0 {
		return e
	}
	if p.object, _, e = c.CreatePaged(uint64(size), "", pages, 0); e != 0 {
		return e
	}
	if p.mem, e = c.MapObject(p.object, 0, int(size), true); e != 0 {
		return e
	}
	if e := (names.Client{C: c, Port: c.Names()}).Register(name, asks); e != 0 {
		return e
	}
	go func() { // whoever asks gets the right to the object
		for {
			m, e := c.Receive(asks)
			if e != 0 {
				return
			}
			_ = c.AnswerWith(m, &ipc.Message{Objects: []abi.ObjectDesc{{Name: p.object, Len: uint64(size)}}})
		}
	}()
	for { // only the nucleus has the right to send here
		m, e := c.Receive(pages)
		if e != 0 {
			return e
		}
		if q, ok := m.Page(); ok {
			if err := p.supply(q.Off); err != nil {
				return err
			}
		} else if _, _, ok := m.PageTerminate(); ok {
			return p.end()
		}
	}
}

// supply gives the page at an offset to who waits for it, and takes others back.
func (p *pager) supply(off uint64) error {
	var page [abi.PageSize]byte
	if _, err := p.file.ReadAt(page[:], int64(off)); err != nil && err != io.EOF {
		return p.c.Pages(p.object, abi.PagesError, off, abi.PageSize)
	}
	if e := p.c.SupplyPages(p.object, off, page[:]); e != 0 {
		return e
	}
	for p.there = append(p.there, off); len(p.there) > most; p.there = p.there[1:] {
		if err := p.takeBack(p.there[0]); err != nil {
			return err
		}
	}
	return nil
}

// takeBack writes a page to the file. Nobody writes it between the lock and the flush.
func (p *pager) takeBack(off uint64) error {
	if e := p.c.Pages(p.object, abi.PagesLock, off, abi.PageSize); e != 0 {
		return e
	}
	if _, err := p.file.WriteAt(p.mem[off:off+abi.PageSize], int64(off)); err != nil {
		return err
	}
	if e := p.c.Pages(p.object, abi.PagesFlush, off, abi.PageSize); e != 0 {
		return e
	}
	return nil
}

func (p *pager) end() error {
	for _, off := range p.there {
		if err := p.takeBack(off); err != nil {
			return err
		}
	}
	return p.file.Close()
}

// use goes through all bytes of the object, or only has it.
func use(c *ipc.Conn, how string) error {
	to, e := names.Client{C: c, Port: c.Names()}.Await(name)
	if e != 0 {
		return e
	}
	m, e := c.AskWith(to, &ipc.Message{})
	if e != 0 {
		return e
	}
	mem, err := c.MapPaged(m.Objects[0].Name, -1, int(m.Objects[0].Len))
	if err != nil {
		return err
	}
	if how == "hold" {
		fmt.Println("held")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	}
	sum := uint64(0)
	for i := range mem {
		if how == "add" {
			mem[i]++
		}
		sum += uint64(mem[i])
	}
	fmt.Println(sum)
	return nil
}
