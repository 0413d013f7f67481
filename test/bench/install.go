package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent"
	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
	"github.com/fernwerk/fernwerk/test/bench/plaindav"
	"github.com/fernwerk/fernwerk/test/bench/tree"
	"github.com/fernwerk/fernwerk/test/e2e/site"
	"github.com/fernwerk/fernwerk/test/require/samba"
)

// The lines of an office.
var (
	gigabit = slowline.Line{Rate: 125_000_000, RTT: time.Millisecond}
	fast    = slowline.Line{Rate: 12_500_000, RTT: time.Millisecond}
)

// rounds is how often each installation is measured; the median counts.
const installRounds = 3

// installSuite measures an installation from the filled cache beside the same one
// from a depot in the same office: a real Samba server, and WebDAV. What is
// installed are the files of a product, copied to where they belong. Ours is from
// the event until its change has ended: every byte of the cached copy is checked
// before the script runs, and the result is sent. Nobody checks the peers' bytes.
func installSuite(ctx context.Context, b *bench) error {
	const suite = "install"
	d, err := b.office(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	ours, err := median(func() (float64, error) { return d.fromCache(ctx) })
	if err != nil {
		return err
	}
	b.say("installation of %d files, %d bytes, from the cache: %.2f s (median of %d)", len(d.tree.Files), d.tree.Bytes, ours, installRounds)
	for _, line := range []struct {
		name string
		line slowline.Line
	}{{"1 Gbit/s, 1 ms", gigabit}, {"100 Mbit/s, 1 ms", fast}} {
		if d.samba != nil {
			peer, err := median(func() (float64, error) { return d.fromShare(ctx, line.line) })
			if err != nil {
				return err
			}
			b.less(suite, "installation from the cache", "s", ours, "from Samba by smbclient, "+line.name, peer, 1)
		}
		peer, err := d.fromWebDAV(ctx, line.line)
		if err != nil {
			return err
		}
		b.less(suite, "installation from the cache", "s", ours, "from WebDAV, one request after the other, "+line.name, peer, 1)
	}
	return nil
}

// office is a server with a depot, the same tree behind Samba, and an agent.
type office struct {
	b      *bench
	server *site.Server
	samba  *samba.Server // nil where there is none
	tree   *tree.Tree
	target string // where the product's files are installed
	agent  *laptop
}

func (b *bench) office(ctx context.Context) (d *office, err error) {
	d = &office{b: b, target: filepath.Join(b.scratch, "target")}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	programs, err := site.Build(ctx, filepath.Join(b.scratch, "bin"))
	if err != nil {
		return d, err
	}
	if d.tree, err = b.copyTree(ctx); err != nil {
		return d, err
	}
	script := fmt.Sprintf("set -e\nrm -rf '%[1]s'\ncp -r src '%[1]s'\n", d.target)
	if err := os.WriteFile(filepath.Join(d.tree.Content(), "setup.sh"), []byte(script), 0o644); err != nil {
		return d, err
	}
	if err := d.tree.Release("1.0"); err != nil {
		return d, err
	}
	d.server = &site.Server{Programs: programs, Data: filepath.Join(b.scratch, "server"), Log: filepath.Join(b.scratch, "server.log")}
	b.say("$ fernwerkd serve --data DIR --listen 127.0.0.1:0")
	if err := d.server.Start(ctx); err != nil {
		return d, err
	}
	if err := d.server.Install(ctx, d.tree.Dir); err != nil {
		return d, err
	}
	if d.samba, err = b.startSamba(filepath.Join(d.server.Data, "depot")); err != nil {
		b.without("Samba", err)
	}
	d.agent, err = d.host(ctx, "office.bench.test")
	return d, err
}

// startSamba shares a folder with what Samba's manual advises for speed.
func (b *bench) startSamba(folder string) (*samba.Server, error) {
	if _, err := exec.LookPath("smbclient"); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("it needs root")
	}
	dir := filepath.Join(b.scratch, "samba")
	fastest := []string{"server signing = auto", "server smb encrypt = off", "use sendfile = yes", "server multi channel support = no", "log level = 0"}
	b.say("$ smbd -F -s DIR/smb.conf   # %s", strings.Join(fastest, "; "))
	return samba.Start(dir, folder, fastest...)
}

// host is an agent without a line of its own.
func (d *office) host(ctx context.Context, id string) (*laptop, error) {
	line, err := site.Connect(ctx, gigabit, d.server.Listen)
	if err != nil {
		return nil, err
	}
	l := &laptop{server: d.server, line: line, agent: &site.Agent{Programs: d.server.Programs, Data: filepath.Join(d.b.scratch, id), Log: filepath.Join(d.b.scratch, id+".log")}}
	if err := l.agent.Join(ctx, line.URL(), d.server, id); err != nil {
		return l, err
	}
	file := agent.ConfFile(l.agent.Data)
	conf, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(conf, "[event_install]\ntype = custom\nuse_cached_config = true\nuse_cached_products = true\n"...), 0o600)
	}
	if err == nil {
		err = l.agent.Start(ctx)
	}
	if err == nil {
		l.id, err = identity.Load(l.agent.Data)
	}
	if err == nil {
		_, err = l.ended(ctx, "")
	}
	return l, err
}

func (d *office) close() {
	if d.agent != nil {
		d.agent.close()
	}
	if d.samba != nil {
		d.samba.Close()
	}
	if d.server != nil {
		d.server.Kill()
	}
}

// fromCache fills the cache, then measures the installation alone.
func (d *office) fromCache(ctx context.Context) (float64, error) {
	if _, err := d.agent.sync(ctx, d.tree); err != nil {
		return 0, err
	}
	began := time.Now()
	change, err := d.agent.agent.Fire(ctx, "install")
	if err != nil {
		return 0, err
	}
	ended, err := d.agent.ended(ctx, change)
	if err == nil {
		err = d.installed()
	}
	return ended.Sub(began).Seconds(), err
}

// installed tells whether the product's files are where they belong.
func (d *office) installed() error {
	part := &tree.Tree{Dir: d.tree.Dir}
	for _, name := range d.tree.Files {
		if strings.HasPrefix(name, "src/") {
			part.Files = append(part.Files, strings.TrimPrefix(name, "src/"))
		}
	}
	return part.SameIn(filepath.Join(part.Content(), "src"), d.target)
}

// fromShare copies the files from the share by a real client.
func (d *office) fromShare(ctx context.Context, l slowline.Line) (float64, error) {
	line, err := site.Connect(ctx, l, d.samba.Address)
	if err != nil {
		return 0, err
	}
	defer line.Close()
	if err := os.RemoveAll(d.target); err != nil {
		return 0, err
	}
	host, port, err := net.SplitHostPort(line.Addr().String())
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "smbclient", "//"+host+"/"+d.samba.Share, "-p", port, "-U", d.samba.User+"%"+d.samba.Password,
		"-c", "cd "+product+"; lcd "+filepath.Dir(d.target)+"; prompt OFF; recurse ON; mget src")
	d.b.say("$ %s", strings.ReplaceAll(strings.Join(cmd.Args, " "), d.samba.Password, "..."))
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("smbclient failed: %w\n%.2000s", err, out)
	}
	took := time.Since(began).Seconds()
	if err := os.Rename(filepath.Join(filepath.Dir(d.target), "src"), d.target); err != nil {
		return 0, err
	}
	d.b.say("from Samba: %.2f s", took)
	return took, d.installed()
}

// fromWebDAV downloads all files as a simple client does.
func (d *office) fromWebDAV(ctx context.Context, l slowline.Line) (float64, error) {
	line, err := site.Connect(ctx, l, d.server.Listen)
	if err != nil {
		return 0, err
	}
	defer line.Close()
	w, err := plaindav.New(line.URL(), product, d.agent.id)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	if err := os.RemoveAll(d.target); err != nil {
		return 0, err
	}
	began := time.Now()
	for _, folder := range d.tree.Folders {
		under, inside := strings.CutPrefix(folder+"/", "src/")
		if !inside {
			continue
		}
		names, err := w.List(ctx, folder)
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			if _, err := w.Get(ctx, path.Join(folder, name), filepath.Join(d.target, filepath.FromSlash(under), name)); err != nil {
				return 0, err
			}
		}
	}
	took := time.Since(began).Seconds()
	d.b.say("from WebDAV: %.2f s", took)
	return took, d.installed()
}

// median measures several times.
func median(measure func() (float64, error)) (float64, error) {
	var all []float64
	for range installRounds {
		v, err := measure()
		if err != nil {
			return 0, err
		}
		all = append(all, v)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
