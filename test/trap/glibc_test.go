package trap

import (
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"hythe/abi"
)

const glibcProgram = `
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static long sum, turn;
static __thread long mine = 5;

static void *work(void *p)
{
	long id = (long)p;
	for (long i = 0; i < 200; i++) {
		pthread_mutex_lock(&m);
		while (turn % 4 != id)
			pthread_cond_wait(&c, &m);
		turn++;
		sum += id + mine;
		char *s = malloc(1 + i * 997);
		memset(s, 1, 1 + i * 997);
		free(s);
		pthread_cond_broadcast(&c);
		pthread_mutex_unlock(&m);
	}
	return p;
}

int main(int argc, char **argv)
{
	struct timespec a, b;
	pthread_t t[4];
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < 4; i++)
		if (pthread_create(&t[i], 0, work, (void *)i))
			return 2;
	for (long i = 0; i < 4; i++) {
		void *r;
		pthread_join(t[i], &r);
		if (r != (void *)i)
			return 3;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%s %d args, sum %ld, %.3f, time %s\n", argv[0], argc, sum, 22 / 7.0,
	       b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec ? "goes on" : "stands");
	fflush(stdout);
	pid_t p = fork();
	printf("%s\n", p == 0 ? "child" : "parent");
	fflush(stdout);
	return p == 0 ? 7 : 8;
}
`

// TestGlibc runs a static C program with threads and a fork, on a server that
// knows a dozen calls.
func TestGlibc(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("needs gcc")
	}
	exe := filepath.Join(t.TempDir(), "a")
	cmd := exec.Command("gcc", "-O2", "-static", "-pthread", "-o", exe, "-x", "c", "-")
	cmd.Stdin = strings.NewReader(glibcProgram)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	desc := map[int]abi.CallDesc{1: {Pre: [3]abi.Pre{{Kind: abi.PreBuf, Arg: 1, Size: 2}}}}
	for n, d := range localCalls {
		desc[n] = d
	}
	w := newWorld(t, desc)
	p := &posix{t: t, w: w, exit: make(chan uint64, 4), file: exe, clear: map[[2]any]uint64{}}
	task := w.spawn(p.handle)
	got := map[uint64]bool{waitFor(t, "exit", p.exit): true, waitFor(t, "exit", p.exit): true}
	if !got[7] || !got[8] {
		t.Errorf("exit codes %v", got)
	}
	waitFor(t, "death", task.dead)
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.out.String()
	if !strings.HasPrefix(out, "prog 2 args, sum 5200, 3.143, time goes on\n") || !strings.Contains(out, "child\n") || !strings.Contains(out, "parent\n") {
		t.Errorf("output %q", out)
	}
}

// posix is the least of a Linux server that static glibc runs on.
type posix struct {
	t     *testing.T
	w     *world
	file  string
	exit  chan uint64
	mu    sync.Mutex
	out   bytes.Buffer
	tids  int
	clear map[[2]any]uint64 // (task, slot) to clear_child_tid
	tag   uint64
}

func (p *posix) handle(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	me := [2]any{c.t, c.slot}
	a := c.s.Args
	if c.s.Kind != abi.KindTrap {
		switch c.s.Kind {
		case abi.KindStart:
			p.load(c)
		case abi.KindFault:
			p.t.Errorf("fault %d at %#x address %#x", c.s.Nr, c.s.Regs.IP, a[1])
			c.act(abi.ActExitTask, 0)
			p.exit <- 99
			c.reply(0)
		default:
			c.reply(0)
		}
		return
	}
	switch c.s.Nr {
	case 1:
		p.out.Write(c.in(0))
		c.reply(a[2])
	case 5, 262: // fstat
		c.fail(abi.EBADF)
	case 56:
		if a[0]&0x10000 == 0 { // not CLONE_THREAD: fork
			p.tag++
			child, e := p.w.newTask(p.handle)
			if err := c.t.send(abi.EventChannel, p.tag, e.control, e.area, e.doorbell); err != nil {
				p.t.Error(err)
			}
			e.close()
			_ = child
			c.act(abi.ActFork, 0, p.tag, 1, a[1])
			c.reply(77)
			return
		}
		p.tids++
		slot := p.tids
		p.clear[[2]any{c.t, slot}] = a[3]
		c.act(abi.ActStore32, 0, a[2], 100+uint64(slot))
		c.act(abi.ActThread, 0, uint64(slot), 1, a[1], a[4], 1)
		c.reply(100 + uint64(slot))
	case 60:
		if q := p.clear[me]; q != 0 {
			c.act(abi.ActStore32, abi.ActIgnore, q, 0)
			c.act(abi.ActFutexWake, abi.ActIgnore, q, 1)
		}
		c.act(abi.ActExitThread, 0)
		c.reply(0)
	case 218: // set_tid_address
		c.reply(100)
	case 231:
		p.exit <- a[0]
		c.act(abi.ActExitTask, 0)
		c.reply(0)
	case 14, 13, 273:
		c.reply(0)
	default:
		c.fail(abi.ENOSYS)
	}
}

// load answers KindStart with the program and its start stack, in rounds of
// More, since it is longer than the Out area.
func (p *posix) load(c *call) {
	f, err := elf.Open(p.file)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer f.Close()
	raw, _ := os.Open(p.file)
	defer raw.Close()
	const fixed = unix.MAP_PRIVATE | unix.MAP_FIXED
	type chunk struct {
		addr uint64
		data []byte
	}
	var chunks []chunk
	var phdr uint64
	end := uint64(0)
	var protect [][3]uint64
	for _, s := range f.Progs {
		if s.Type != elf.PT_LOAD {
			continue
		}
		lo, hi := s.Vaddr&^4095, (s.Vaddr+s.Memsz+4095)&^4095
		data, _ := io.ReadAll(s.Open())
		chunks = append(chunks, chunk{s.Vaddr, data})
		prot := uint64(0)
		if s.Flags&elf.PF_R != 0 {
			prot |= 1
		}
		if s.Flags&elf.PF_W != 0 {
			prot |= 2
		}
		if s.Flags&elf.PF_X != 0 {
			prot |= 4
		}
		protect = append(protect, [3]uint64{lo, hi - lo, prot})
		end = max(end, hi)
		if s.Off == 0 {
			phdr = s.Vaddr + 64
		}
	}
	// The server keeps no state of its own in the middle of a call: Args[6],
	// which the client does not touch meanwhile, counts the rounds.
	round := c.s.Args[6]
	if round == 0 {
		for _, q := range protect {
			c.act(abi.ActMapAnon, 0, q[0], q[1], 3, fixed)
		}
		c.act(abi.ActMapAnon, 0, stackTop-stackSize, stackSize, 3, fixed)
		c.s.Args[6] = 1
		c.more()
		return
	}
	const step = 64 << 10
	n := uint64(1)
	for _, k := range chunks {
		for off := 0; off < len(k.data); off += step {
			if n == round {
				part := k.data[off:min(off+step, len(k.data))]
				c.act(abi.ActCopyOut, 0, k.addr+uint64(off), c.out(part), uint64(len(part)))
				c.s.Args[6]++
				c.more()
				return
			}
			n++
		}
	}
	for _, q := range protect {
		c.act(abi.ActProtect, 0, q[0], q[1], q[2])
	}
	strs := uint64(stackTop - 256)
	c.act(abi.ActCopyOut, 0, strs, c.out([]byte("prog\x00arg\x00")), 9)
	var v []uint64
	v = append(v, 2, strs, strs+5, 0, 0)
	for _, x := range [][2]uint64{{3, phdr}, {4, 56}, {5, uint64(len(f.Progs))}, {6, 4096}, {9, f.Entry},
		{16, c.s.Args[1]}, {26, c.s.Args[2]}, {51, c.s.Args[3]}, {17, c.s.Args[4]}, {33, c.s.Args[0]}, {25, strs}, {0, 0}} {
		v = append(v, x[0], x[1])
	}
	b := c8(v...)
	sp := uint64(stackTop-1024) &^ 15
	c.act(abi.ActCopyOut, 0, sp, c.out(b), uint64(len(b)))
	c.act(abi.ActTask, 0, abi.TaskBrkStart, end+0x100000)
	c.act(abi.ActTask, 0, abi.TaskBrk, end+0x100000)
	c.regs(abi.Regs{IP: f.Entry, SP: sp, Flags: 0x202}, 0)
	c.reply(0)
}
