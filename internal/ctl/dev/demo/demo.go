// Package demo is `fernwerk dev demo`: seed A's main job, from a package to the
// merged result, on one machine and over an emulated slow line.
//
// It drives the real programs as an administrator and a machine would, as
// processes of their own: fernwerkd, fernwerk-agent and fernwerk. Between agent
// and server stands kit/slowline, in this process: one rate for all connections,
// delay on connect too.
//
// No figure comes from the programs that it judges. Bytes are what the line
// carried in both directions, TLS included; seconds are of this program's clock;
// files and bytes are counted by comparing what was installed with the source,
// one by one. What the agent says of itself only moves the progress bar, and
// tells when to look.
//
// Everything lies in one temporary folder and on free loopback ports. At the
// end, at an error and at Ctrl-C the processes are ended with all that they
// started, and the folder is removed.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/secureexec"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// limit bounds the whole demo.
const limit = 15 * time.Minute

// Options says what to show, and where.
type Options struct {
	Admin    string // the program fernwerk
	Programs string // the folder of fernwerkd and fernwerk-agent
	Source   string // the folder that travels; "" is the Go toolchain's src
	Rate     int64  // of the line, in bytes a second each way
	RTT      time.Duration
	Keep     bool // keep the temporary folder
	Out      io.Writer
	Mode     term.Mode // of progress bars
}

// Figures are what was measured. Their JSON is the last line of --json; scripts
// rely on its names and order.
type Figures struct {
	OK              bool    `json:"ok"`
	Files           int     `json:"files"`      // installed and equal to the source
	Bytes           int64   `json:"bytes"`      // of them
	WireBytes       int64   `json:"wire_bytes"` // for filling both caches, both directions
	SyncSeconds     float64 `json:"sync_seconds"`
	GoodputRatio    float64 `json:"goodput_ratio"` // ideal time of tar | zstd -3 over SyncSeconds
	OfflineInstall  bool    `json:"offline_install"`
	Merged          bool    `json:"merged"`
	SecondWireBytes int64   `json:"second_wire_bytes"` // for the changed version
	Seconds         float64 `json:"seconds"`           // of the whole demo
}

// demo is one run.
type demo struct {
	Options
	dir     string // everything
	figures Figures

	processes sync.WaitGroup
	server    *process
	agent     *process
	line      *slowline.Proxy
	port      string // HOST:PORT of the server

	host     newHost
	trees    []*tree
	ideal    int64  // bytes of tar | zstd -3
	target   string // where products install to
	boots    int
	stopLine context.CancelFunc
}

// scene is one part of the story.
type scene struct {
	name string
	says string // what happens, and what is measured
	play func(*demo, context.Context) error
}

var scenes = []scene{
	{"server", "A server starts with no configuration, and an administrator logs in.", (*demo).openServer},
	{"packages", "A source tree is packed as a product, and a small one that it depends on; both are installed on the depot.", (*demo).publish},
	{"join", "A host is created; its agent joins over the slow line and runs.", (*demo).join},
	{"caches", "An action is requested, and both caches fill. Measured: seconds by our clock, bytes on the line.", (*demo).fill},
	{"gone", "The server ends. Measured: whether its port refuses.", (*demo).leave},
	{"install", "The machine starts anew and installs from its cache. Measured: every installed file, against the source.", (*demo).install},
	{"merge", "The server is back. Measured: what it knows after the next contact.", (*demo).merge},
	{"update", "A few files change in a new version. Measured: bytes on the line, and every installed file.", (*demo).update},
}

// Run shows all scenes. The error names the scene that failed; the figures hold
// what was measured until then.
func Run(ctx context.Context, o Options) (Figures, error) {
	began := time.Now()
	d := &demo{Options: o}
	err := d.run(ctx)
	d.figures.Seconds = round(time.Since(began).Seconds(), 2)
	d.figures.OK = err == nil
	if err == nil {
		d.say("")
		d.say("done in %s: %d files, %s, over the line as %s in %.1f s (%.2f of what tar | zstd -3 would reach);",
			term.Duration(time.Since(began)), d.figures.Files, term.Bytes(d.figures.Bytes), term.Bytes(d.figures.WireBytes), d.figures.SyncSeconds, d.figures.GoodputRatio)
		d.say("installed without a server, reported back; the new version took %s.", term.Bytes(d.figures.SecondWireBytes))
	}
	return d.figures, err
}

func (d *demo) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demo took longer than %v", limit))
	defer cancel()
	if err := d.begin(); err != nil {
		return err
	}
	defer func() {
		interrupted := ctx.Err() != nil
		cancel() // ends every process
		d.processes.Wait()
		if err != nil && !interrupted {
			d.tails()
		}
		err = errors.Join(err, d.clear())
	}()
	for i, s := range scenes {
		d.say("%s%d. %s", map[bool]string{true: "", false: "\n"}[i == 0], i+1, s.says)
		began := time.Now()
		if err := s.play(d, ctx); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("scene %d (%s): %w", i+1, s.name, err)
		}
		d.tell("%s", term.Duration(time.Since(began)))
	}
	return nil
}

// begin finds the programs and makes the folder.
func (d *demo) begin() error {
	for _, name := range []string{"fernwerkd", "fernwerk-agent"} {
		if _, err := os.Stat(d.program(name)); err != nil {
			return fmt.Errorf("cannot begin the demo: %s is not beside fernwerk (make build puts it there): %w", name, err)
		}
	}
	dir, err := os.MkdirTemp("", "fernwerk-demo-")
	if err != nil {
		return fmt.Errorf("cannot begin the demo: %w", err)
	}
	d.dir = dir
	for _, sub := range []string{"log", "tmp", "packages"} {
		if err := os.Mkdir(d.path(sub), 0o700); err != nil {
			return fmt.Errorf("cannot begin the demo: %w", err)
		}
	}
	d.target = d.path("installed")
	return nil
}

func (d *demo) clear() error {
	if d.Keep {
		d.say("\nkept: %s", d.dir)
		return nil
	}
	if err := os.RemoveAll(d.dir); err != nil {
		return fmt.Errorf("cannot remove the demo's folder: %w", err)
	}
	return nil
}

func (d *demo) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func (d *demo) program(name string) string {
	return filepath.Join(d.Programs, name+filepath.Ext(d.Admin)) // .exe, where that is so
}

// environment is what every child gets: nothing of the user's own Fernwerk.
func (d *demo) environment(more ...string) []string {
	env := secureexec.Inherit("PATH", "LANG", "SystemRoot", "SystemDrive", "ComSpec", "PATHEXT")
	return append(append(env, "HOME="+d.dir, "USERPROFILE="+d.dir, "XDG_CONFIG_HOME="+d.path("config"),
		"TMPDIR="+d.path("tmp"), "TMP="+d.path("tmp"), "TEMP="+d.path("tmp")), more...)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, format+"\n", args...)
}

// tell says what came of something, below its scene.
func (d *demo) tell(format string, args ...any) { d.say("   "+format, args...) }
