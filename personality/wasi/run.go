package wasi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// Program is a module and what it is started with.
type Program struct {
	Module    []byte
	Args, Env []string
	Dir       string // the working directory's absolute name
	Cache     string // where compiled modules are kept; empty: nowhere
	Workers   int    // how many threads compile
	// Trace, if set, is given a line for each call of a function of preview 1 when that
	// ends, and for proc_exit before; on the goroutine that runs the module.
	Trace func(line string) (more bool)
}

// ErrModule is why a file could not be run at all.
var ErrModule = errors.New("not a module of WASI preview 1")

// ErrTrap is why a module was ended before it had come to its end.
var ErrTrap = errors.New("trap")

// features are what modules may use: all of WebAssembly 2 and what compilers emit
// beyond it.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesThreads | experimental.CoreFeaturesTailCall |
	experimental.CoreFeaturesExtendedConst | experimental.CoreFeaturesExceptionHandling

// Run runs a program to its end. It comes back when the module's start function does,
// or with an error: ErrModule, or what the module was ended for (a trap). A module that
// calls proc_exit ends the process.
func Run(sys System, prog *Program) (err error) {
	p := &Process{sys: sys, args: prog.Args, env: prog.Env, mem: memory{sys: sys}, trace: prog.Trace}
	p.preopen(prog.Dir)
	if err := checkModule(prog.Module); err != nil {
		return err
	}
	ctx := experimental.WithMemoryAllocator(context.Background(), &p.mem)
	ctx = experimental.WithCompilationWorkers(ctx, prog.Workers)
	r, c, err := p.compile(ctx, prog)
	if err != nil {
		return err
	}
	prog.Module = nil
	for _, f := range c.ImportedFunctions() {
		if m, n, ok := f.Import(); ok && !exports(m, n) {
			return fmt.Errorf("%w: it wants %s of %q", ErrModule, n, m)
		}
	}
	m, err := p.instantiate(ctx, r, c)
	if err != nil {
		return err
	}
	// A command has _start; of a library only the initialization can be run.
	start := m.ExportedFunction("_start")
	if start == nil {
		start = m.ExportedFunction("_initialize")
	}
	if start == nil {
		return fmt.Errorf("%w: it exports no _start", ErrModule)
	}
	if _, err := start.Call(ctx); err != nil {
		return trap(err)
	}
	return nil
}

// compile makes the engine and compiles the module, or takes it from the cache. A cache
// that fails is as none.
func (p *Process) compile(ctx context.Context, prog *Program) (_ wazero.Runtime, _ wazero.CompiledModule, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("%w: the engine cannot compile it: %v", ErrModule, x)
		}
	}()
	cfg := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	cached := false
	if prog.Cache != "" {
		if c, err := wazero.NewCompilationCacheWithDir(prog.Cache); err == nil {
			cfg = cfg.WithCompilationCache(c)
			cached = true
		}
	}
	for {
		r := wazero.NewRuntimeWithConfig(ctx, cfg)
		c, err := r.CompileModule(ctx, prog.Module)
		if err == nil {
			return r, c, p.export(ctx, r)
		}
		if !cached {
			return nil, nil, fmt.Errorf("%w: %s", ErrModule, firstLine(err))
		}
		// It may be the cache that is full.
		cached = false
		cfg = cfg.WithCompilationCache(nil)
	}
}

// instantiate makes the module's memory and tables and runs what it starts with. The
// engine panics when there is no memory.
func (p *Process) instantiate(ctx context.Context, r wazero.Runtime, c wazero.CompiledModule) (m api.Module, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = errors.New("not enough memory to start")
		}
	}()
	m, err = r.InstantiateModule(ctx, c, wazero.NewModuleConfig().WithStartFunctions().WithName(""))
	if err != nil {
		return nil, trap(err)
	}
	return m, nil
}

func exports(module, name string) bool {
	if module != ModuleName {
		return false
	}
	for i := range functions {
		if functions[i].name == name {
			return true
		}
	}
	return false
}

// checkModule says what is wrong with a file before the engine sees it.
func checkModule(b []byte) error {
	if err := checkHeader(b); err != nil {
		return err
	}
	return checkCounts(b[8:])
}

// checkHeader says what is wrong with a file's first eight bytes in words that help.
func checkHeader(b []byte) error {
	switch {
	case len(b) < 8:
		return fmt.Errorf("%w: it ends in its header", ErrModule)
	case b[6] == 1 && b[7] == 0:
		return fmt.Errorf("%w: it is a component (preview 2)", ErrModule)
	case le.Uint32(b[4:]) != 1:
		return fmt.Errorf("%w: version %d of WebAssembly", ErrModule, le.Uint32(b[4:]))
	}
	return nil
}

// preopen makes the descriptors that the module begins with: those of the process,
// then "/" as 3, and "." as 4 unless that is the same. Descriptors above 2 that the
// process has inherited come behind them.
func (p *Process) preopen(dir string) {
	for fd := range 3 {
		p.fds = append(p.fds, p.inherit(fd))
	}
	p.fds = append(p.fds, &desc{fd: -1, name: "/", at: "/", tree: true, typ: typeDirectory, base: rightsDir, inherit: rightsAll})
	if dir != "/" {
		p.fds = append(p.fds, &desc{fd: -1, name: ".", typ: typeDirectory, base: rightsDir, inherit: rightsAll})
	}
	for _, fd := range p.sys.Inherited() {
		if fd > 2 {
			if d := p.inherit(fd); d != nil {
				p.fds = append(p.fds, d)
			}
		}
	}
}

func firstLine(err error) string {
	s, _, _ := strings.Cut(err.Error(), "\n")
	return s
}

// trap says in one line why the engine ended a module, and in which function.
func trap(err error) error {
	s := strings.TrimPrefix(firstLine(err), "wasm error: ")
	if _, stack, ok := strings.Cut(err.Error(), "wasm stack trace:\n\t"); ok {
		at, _, _ := strings.Cut(stack, "\n")
		at, _, _ = strings.Cut(at, "(")
		s += " (in " + strings.TrimPrefix(at, ".") + ")"
	}
	return fmt.Errorf("%w: %s", ErrTrap, s)
}
