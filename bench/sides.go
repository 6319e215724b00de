package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// side is one system that the workload runs on.
type side struct {
	name string
	// argv puts what starts a program on the side in front of it. With a port, that port of
	// the program is to be reached from outside at 127.0.0.1.
	argv func(dir string, port int, program []string) ([]string, error)
}

// before is a side that only wants words in front.
func before(words func(dir string, port int) []string) func(string, int, []string) ([]string, error) {
	return func(dir string, port int, program []string) ([]string, error) {
		return append(words(dir, port), program...), nil
	}
}

// sides are the host itself, Hythe, and what of its peers is there and works. A peer has no
// network but loopback, unless a port is to be reached: then it has the host's, which
// is more than Hythe gives.
func sides(hythe string) []side {
	l := []side{
		{"native", before(func(string, int) []string { return nil })},
		{"hythe", before(func(dir string, port int) []string {
			a := []string{hythe, "run", "-w", dir}
			if port != 0 {
				a = append(a, "-p", fmt.Sprintf("127.0.0.1:%d:%d", port, port))
			}
			return append(a, "--")
		})},
	}
	root := os.Geteuid() == 0
	if p, err := exec.LookPath("runsc"); err == nil {
		l = append(l, side{"runsc", before(func(dir string, port int) []string {
			a := []string{p, "-ignore-cgroups", "-platform=systrap", "-network=" + map[bool]string{false: "none", true: "host"}[port != 0]}
			if !root || port != 0 { // as root it wants iptables to have any
				a = append(a, "-rootless")
			}
			return append(a, "do", "-cwd", dir, "--")
		})})
	}
	if p, err := exec.LookPath("bwrap"); err == nil {
		l = append(l, side{"bwrap", before(func(dir string, port int) []string {
			a := []string{p, "--ro-bind", "/", "/", "--bind", dir, dir, "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--die-with-parent", "--chdir", dir}
			if port != 0 {
				a = append(a, "--share-net")
			}
			return append(a, "--")
		})})
	}
	if p, err := exec.LookPath("runc"); err == nil && work != "" {
		l = append(l, side{"runc", func(dir string, port int, program []string) ([]string, error) { return runc(p, dir, port, program) }})
	}
	return l
}

var containers atomic.Int32

// runc writes a bundle whose root is the host's: what "runc spec" proposes, but for that
// and the program.
func runc(runc, dir string, port int, program []string) ([]string, error) {
	bundle := filepath.Join(dir, "runc")
	root := filepath.Join(bundle, "root")
	if _, err := os.Stat(root); err != nil {
		if err := os.MkdirAll(root, 0o755); err != nil {
			return nil, err
		}
		// Only in a mount name space of our own, where nobody deletes what is below.
		if err := errors.Join(unix.Mount("/", root, "", unix.MS_BIND, ""), unix.Mount("", root, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
			unix.Mount(dir, filepath.Join(root, dir), "", unix.MS_BIND, "")); err != nil {
			return nil, fmt.Errorf("runc: the root: %w", err)
		}
	}
	config := filepath.Join(bundle, "config.json")
	_ = os.Remove(config)
	if err := command(bundle, "", runc, "spec"); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	var c struct {
		Rest    map[string]any `json:"-"`
		Process map[string]any `json:"process"`
		Linux   map[string]any `json:"linux"`
	}
	if err := json.Unmarshal(b, &c.Rest); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	c.Process["terminal"], c.Process["args"], c.Process["cwd"] = false, program, dir
	c.Rest["process"], c.Rest["root"] = c.Process, map[string]any{"path": "root"}
	if l, ok := c.Linux["namespaces"].([]any); ok && port != 0 {
		var others []any
		for _, n := range l {
			if m, ok := n.(map[string]any); !ok || m["type"] != "network" {
				others = append(others, n)
			}
		}
		c.Linux["namespaces"] = others
		c.Rest["linux"] = c.Linux
	}
	if b, err = json.Marshal(c.Rest); err != nil {
		return nil, err
	}
	id := "bench-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(int(containers.Add(1)))
	return []string{runc, "run", "--bundle", bundle, id}, os.WriteFile(config, b, 0o644)
}
