package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goal is what a row of the first table is to reach in the two columns: with all cores,
// and with everything on one. 0: nothing was set.
type goal struct{ all, one float64 }

func (g goal) of(core int) float64 {
	if core < 0 {
		return g.all
	}
	return g.one
}

// row is one workload of the first table.
type row struct {
	name string
	// ratio is the most of native's time, ns the most at all; either will do.
	ratio, ns goal
	call      bool // counts in the geometric mean of calls
	// need are programs without which the row is left out.
	need []string

	alone bool // does not start together with others

	// What is run. Without any of these it is a workload of testdata/micro.c of that name.

	times int // so often: args, to its end
	args  []string
	// script is for sh, and prints the row's line itself. Its $1 is a port that is free.
	script string
	// serve is a script for sh that serves HTTP at the port $1, to which client comes from
	// outside.
	serve string
}

const (
	python = "/usr/bin/python3"
	// shell is in front of all scripts.
	shell = "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=$PWD TMPDIR=$PWD LC_ALL=C\n"
	// served is a script of a redis-server that listens as the first says, and a
	// redis-benchmark that comes there as the second says: requests, so many in a batch.
	served = `redis-server %[1]s --save '' --appendonly no --loglevel warning >redis.log 2>&1 &
for i in $(seq 400); do redis-cli %[2]s ping >/dev/null 2>&1 && break; sleep 0.02; done
redis-benchmark %[2]s -t get -n %[3]d -P %[4]d --csv | awk -F'"' '$2=="GET" {print "%[5]s", 1e9/$4, %[3]d}'
redis-cli %[2]s shutdown nosave >/dev/null 2>&1
wait
`
	// nginx has one worker, and writes down nobody that comes.
	nginx = `mkdir -p www
cat >nginx.conf.$1 <<end
worker_processes 1; daemon off; pid $PWD/nginx.pid; error_log $PWD/nginx.log; user root;
events { worker_connections 512; }
http { access_log off; client_body_temp_path $PWD/www; proxy_temp_path $PWD/www; fastcgi_temp_path $PWD/www;
uwsgi_temp_path $PWD/www; scgi_temp_path $PWD/www; server { listen $1; root $PWD/www; } }
end
head -c 4096 /dev/zero >www/file
exec nginx -e $PWD/nginx.log -c $PWD/nginx.conf.$1
`
)

func redis(name, listen, come string, requests, batch int, ratio goal) row {
	return row{name: name, ratio: ratio, need: []string{"redis-server", "redis-benchmark", "redis-cli"},
		script: fmt.Sprintf(served, listen, come, requests, batch, name)}
}

// both is the same goal in both columns.
func both(v float64) goal { return goal{v, v} }

// rows are the table's, in order, with what they are to reach.
var rows = []row{
	{name: "start", ns: goal{20e6, 30e6}},
	{name: "getppid", ratio: both(0.1), ns: both(15), call: true},
	{name: "getuid", ratio: both(0.1), ns: both(15), call: true},
	{name: "clock_gettime", ratio: both(1.02), call: true},
	{name: "stat", ratio: goal{1, 6}, call: true},
	{name: "stat-missing", ratio: goal{1, 8}, call: true},
	{name: "fstat", ratio: both(0.2), call: true},
	{name: "lseek", ratio: both(0.2), call: true},
	{name: "open+close", ratio: goal{1, 6}, call: true},
	{name: "creat+unlink", ratio: goal{1.5, 5}, call: true},
	{name: "pread-1", ratio: both(0.2), call: true},
	{name: "pread-4K", ratio: both(0.3), call: true},
	{name: "pread-64K", ratio: both(1), call: true},
	{name: "read-100", call: true},
	{name: "pwrite-4K", ratio: goal{0.7, 1}, call: true},
	{name: "pipe-write+read", ratio: both(0.5), call: true},
	{name: "pipe-ping-pong", ratio: goal{1, 1.2}, call: true},
	{name: "unix-ping-pong", ratio: goal{1, 1.3}, call: true},
	{name: "eventfd", ratio: goal{0.5, 1}, call: true},
	{name: "epoll_wait", ratio: goal{0.5, 1}, call: true},
	{name: "mmap+munmap", ratio: both(1.1), call: true},
	{name: "page-fault", ratio: both(1.02)},
	{name: "thread", ratio: goal{1.3, 1.5}},
	{name: "fork+wait", ratio: goal{1.2, 1.5}},
	{name: "fork+exec+wait", ratio: goal{1.2, 1.5}, times: 50, args: []string{"./true"}},
	{name: "tcp-ping-pong", ratio: goal{1.5, 0}},
	{name: "tcp-stream", ratio: goal{1.2, 0}},
	{name: "cpu-c", ratio: both(1.01), alone: true},
	{name: "cpu-2-threads", ratio: goal{1.1, 0}, alone: true},
	{name: "busy-as-cores", ratio: both(1.03), alone: true},
	{name: "python3-nbody", ratio: both(1.01), need: []string{python}, times: 1, args: []string{python, "nbody.py"}},
	{name: "python3-start", ratio: goal{1.05, 1.15}, need: []string{python}, times: 4, args: []string{python, "-c", "pass"}},
	{name: "python3-60-modules", ratio: goal{1.05, 1.15}, need: []string{python}, times: 1, args: []string{python, "modules.py"}},
	{name: "small-files", ratio: goal{1.2, 2.5}, alone: true},
	{name: "sqlite-load", ratio: goal{1.05, 1.15}, need: []string{"sqlite3"}, times: 1, args: sh("rm -f load.db; sqlite3 load.db <load.sql")},
	{name: "git-log", ratio: goal{1.05, 1.15}, times: 1, args: sh("exec git -c safe.directory='*' -C tree log --stat")},
	{name: "git-status", ratio: goal{1.1, 2}, times: 4, args: sh("exec git -c safe.directory='*' -C tree status --short")},
	{name: "tar", ratio: goal{1.1, 2}, need: []string{"tar"}, times: 1, args: sh("exec tar cf tree.tar tree")},
	{name: "make-gcc", ratio: goal{1.1, 1.15}, need: []string{"make"}, times: 1, args: sh("exec make -s -B -j2 -C c")},
	{name: "go-build", ratio: goal{1.1, 1.15}, need: []string{"go"}, times: 1, args: sh("cd go; exec ./build")},
	redis("redis-unix-1", "--port 0 --unixsocket redis.sock", "-s redis.sock", 20000, 1, goal{1.2, 1.5}),
	redis("redis-unix-16", "--port 0 --unixsocket redis.sock", "-s redis.sock", 100000, 16, goal{1.2, 1.5}),
	redis("redis-tcp-1", "--bind 127.0.0.1 --port $1", "-p $1", 20000, 1, goal{}),
	redis("redis-tcp-16", "--bind 127.0.0.1 --port $1", "-p $1", 100000, 16, goal{}),
	{name: "wrk-nginx", ratio: goal{2, 0}, need: []string{"nginx", "wrk"}, serve: nginx},
}

func sh(script string) []string { return []string{"/bin/sh", "-c", shell + script} }

// own says that the row is a workload of testdata/micro.c alone.
func (r *row) own() bool {
	return r.name != "start" && r.args == nil && r.script == "" && r.serve == ""
}

// lacks is the first program that the row needs and the host has not.
func (r *row) lacks() string {
	for _, p := range r.need {
		if _, err := exec.LookPath(p); err != nil {
			return p
		}
	}
	return ""
}

// buildMicro compiles the workload's program.
func buildMicro(dir string) (micro string, err error) {
	src := filepath.Join(dir, "micro.c")
	if err := os.WriteFile(src, microSource, 0o644); err != nil {
		return "", err
	}
	micro = filepath.Join(dir, "micro")
	if err := command(dir, "", "gcc", "-O2", "-pthread", "-o", micro, src); err != nil {
		return "", err
	}
	return micro, command(dir, "int main(void) { return 0; }\n", "gcc", "-O2", "-static", "-o", filepath.Join(dir, "true"), "-x", "c", "-")
}

// command runs a program of the host's to its end.
func command(dir, input string, argv ...string) error {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", argv[0], err, out)
	}
	return nil
}

// prepare makes the files that the rows work on.
func prepare(dir string) error {
	files := map[string]string{"nbody.py": nbody, "modules.py": modules, "load.sql": loadSQL(), "c/Makefile": makefile,
		"go/go.mod": "module small\n\ngo 1.20\n", "go/main.go": goMain, "go/words/words.go": goWords}
	if p, err := exec.LookPath("go"); err == nil {
		files["go/build"] = fmt.Sprintf("#!/bin/sh\nexport GOCACHE=$PWD/cache GOPATH=$PWD/path GOFLAGS=-buildvcs=false GOTOOLCHAIN=local CGO_ENABLED=0 GOENV=off GOTELEMETRY=off\nrm -f small; exec %s build -o small .\n", p)
	}
	for i := range 20 {
		var b strings.Builder
		b.WriteString("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
		for j := range 20 {
			fmt.Fprintf(&b, "int f%d_%d(const char *s) { char *p = strdup(s); int n = 0; for (; *p; p++) n = n * %d + *p; return printf(\"%%d\\n\", n); }\n", i, j, j+3)
		}
		if i == 0 {
			b.WriteString("int main(int argc, char **argv) { return f0_0(argv[0]) < argc; }\n")
		}
		files[fmt.Sprintf("c/f%d.c", i)] = b.String()
	}
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			return err
		}
	}
	if files["go/build"] != "" { // fills the cache
		if err := command(filepath.Join(dir, "go"), "", "./build"); err != nil {
			return err
		}
	}
	tree := filepath.Join(dir, "tree")
	if err := command(dir, "", "git", "init", "-q", "-b", "main", tree); err != nil {
		return err
	}
	for _, l := range [][]string{{"fast-import", "--quiet"}, {"reset", "-q", "--hard", "main"}, {"status", "--short"}} {
		if err := command(tree, history(), append([]string{"git"}, l...)...); err != nil {
			return err
		}
	}
	return nil
}

// history is a tree of 5,000 files, and 500 changes of one each, for git fast-import.
func history() string {
	var b strings.Builder
	text := func(i, n int) {
		s := strings.Repeat(fmt.Sprintf("line of file %d, change %d\n", i, n), 20+i%200)
		fmt.Fprintf(&b, "M 644 inline d%d/f%d\ndata %d\n%s\n", i%200, i, len(s), s)
	}
	for n := range 501 {
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter b <b@example.org> %d +0000\ndata 9\nchange %2d\n", 1700000000+n, n%100)
		if n > 0 {
			text(n*7%5000, n)
			continue
		}
		for i := range 5000 {
			text(i, 0)
		}
	}
	return b.String()
}

func loadSQL() string {
	var b strings.Builder
	b.WriteString("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);\nBEGIN;\n")
	for i := range 100000 {
		fmt.Fprintf(&b, "INSERT INTO t VALUES(%d, 'the name of row %d', %d.5);\n", i, i, i*7%1000)
	}
	b.WriteString("COMMIT;\nCREATE INDEX byName ON t(name);\nSELECT count(*) FROM t;\n")
	return b.String()
}

const makefile = `OBJ = $(patsubst %,f%.o,0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19)
all: $(OBJ)
	gcc -o all $(OBJ)
%.o: %.c
	gcc -O1 -c -o $@ $<
`

const goMain = `package main

import (
	"encoding/json"
	"fmt"
	"os"

	"small/words"
)

func main() {
	b, err := json.Marshal(words.Count(os.Args))
	fmt.Println(string(b), err)
}
`

const goWords = `package words

import "strings"

func Count(l []string) map[string]int {
	m := map[string]int{}
	for _, s := range l {
		for _, w := range strings.Fields(s) {
			m[w]++
		}
	}
	return m
}
`

// modules are 60 of Python's own.
const modules = `import abc, argparse, array, ast, asyncio, base64, bisect, calendar, codecs, collections
import configparser, contextlib, copy, csv, ctypes, dataclasses, datetime, decimal, difflib, dis
import email, enum, fractions, functools, glob, gzip, hashlib, heapq, html, http.client
import inspect, io, itertools, json, locale, logging, math, multiprocessing, optparse, pathlib
import pickle, platform, pprint, queue, random, re, shelve, shutil, socket, sqlite3
import ssl, statistics, subprocess, tarfile, tempfile, threading, unittest, urllib.request, uuid, zipfile
`

// nbody moves five bodies that attract each other.
const nbody = `def move(bodies, steps, dt):
    for _ in range(steps):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1:]:
                dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                f = dt / (dx * dx + dy * dy + dz * dz) ** 1.5
                a[3] -= dx * b[6] * f; a[4] -= dy * b[6] * f; a[5] -= dz * b[6] * f
                b[3] += dx * a[6] * f; b[4] += dy * a[6] * f; b[5] += dz * a[6] * f
        for a in bodies:
            a[0] += dt * a[3]; a[1] += dt * a[4]; a[2] += dt * a[5]

bodies = [[i * 3.1, i * i * 0.7, -i * 1.3, 0.1 * i, 0.2, -0.05 * i, 10.0 / (i + 1)] for i in range(5)]
move(bodies, 20000, 0.001)
assert all(v == v for b in bodies for v in b)
`
