package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// depotSuite measures what a client costs the machine that serves the depot: seed
// A says that WebDAV costs the service more than CIFS costs Samba. The same tree
// goes to one client each time, in full, over 1 Gbit/s and 1 ms; what counts is the
// processor time of the serving program and its children, for a gigabyte of
// content, and how many requests it answered.
func depotSuite(ctx context.Context, b *bench) error {
	const suite = "depot"
	d, err := b.office(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	service := pid(d.server.PID())
	first, err := d.load(service, func() error { _, err := d.agent.sync(ctx, d.tree); return err })
	if err != nil {
		return err
	}
	b.say("chunks, to the first client after the installation: %s", first)
	if err := settled(ctx, filepath.Join(d.server.Data, "cache", "chunks")); err != nil {
		return err
	}
	next, err := d.host(ctx, "next.bench.test")
	if err != nil {
		return err
	}
	defer next.close()
	chunks, err := d.load(service, func() error { _, err := next.sync(ctx, d.tree); return err })
	if err != nil {
		return err
	}
	b.say("chunks, to every further client: %s", chunks)
	webdav, err := d.load(service, func() error { _, err := b.listed(ctx, next.line, next.id, d.tree); return err })
	if err != nil {
		return err
	}
	b.say("WebDAV, a GET for each file of .files: %s", webdav)
	slow, err := d.load(service, func() error { _, err := d.fromWebDAV(ctx, gigabit); return err })
	if err != nil {
		return err
	}
	b.say("WebDAV, a PROPFIND for each folder and a GET for each file: %s", slow)
	const unit, peer = "s of processor/GB", "Samba"
	for _, ours := range []struct {
		name string
		load
	}{{"chunks, first client", first}, {"chunks, further clients", chunks}, {"WebDAV by .files", webdav}, {"WebDAV by folders", slow}} {
		b.say("%s: %d requests a client", ours.name, ours.requests)
		if d.samba == nil {
			b.less(suite, ours.name, unit, ours.perGB, "WebDAV by folders", slow.perGB, 0)
		}
	}
	if d.samba == nil {
		return nil
	}
	smb, err := d.load(filepath.Join(b.scratch, "samba", "smb.conf"), func() error {
		_, err := d.fromShare(ctx, slowline.Line{Rate: gigabit.Rate, RTT: gigabit.RTT})
		return err
	})
	if err != nil {
		return err
	}
	b.say("Samba, by smbclient: %s", smb)
	b.less(suite, "depot's load: chunks, first client", unit, first.perGB, peer, smb.perGB, 0)
	b.less(suite, "depot's load: chunks, further clients", unit, chunks.perGB, peer, smb.perGB, 0)
	b.less(suite, "depot's load: WebDAV by .files", unit, webdav.perGB, peer, smb.perGB, 0)
	b.less(suite, "depot's load: WebDAV by folders", unit, slow.perGB, peer, smb.perGB, 0)
	b.less(suite, "depot's load: chunks, further clients", "requests", float64(chunks.requests), "WebDAV by .files", float64(webdav.requests), 0)
	return nil
}

// load is what one client costs.
type load struct {
	seconds  float64 // of processor time
	perGB    float64
	requests int
}

func (l load) String() string {
	return fmt.Sprintf("%.2f s of processor time, %.2f s a gigabyte, %d requests", l.seconds, l.perGB, l.requests)
}

// load measures what the processes with a text in their name cost meanwhile.
func (d *office) load(whose string, do func() error) (l load, err error) {
	log, err := os.ReadFile(d.server.Log)
	if err != nil {
		return l, err
	}
	before, err := processor(whose)
	if err == nil {
		err = do()
	}
	if err != nil {
		return l, err
	}
	after, err := processor(whose)
	if err != nil {
		return l, err
	}
	now, err := os.ReadFile(d.server.Log)
	if err != nil {
		return l, err
	}
	l.seconds = after - before
	l.perGB = l.seconds / float64(d.tree.Bytes) * 1e9
	l.requests = bytes.Count(now[len(log):], []byte("msg=Request ")) + bytes.Count(now[len(log):], []byte(`"msg":"Request"`))
	return l, nil
}

func pid(n int) string { return "pid " + strconv.Itoa(n) }

// processor is the processor time that processes have used: the one with a pid, or
// all that have a text in their command line, with their children that have ended.
func processor(whose string) (seconds float64, err error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("cannot read processor times: there is no /proc (%v)", err)
	}
	hertz, err := exec.Command("getconf", "CLK_TCK").Output()
	if err != nil {
		return 0, fmt.Errorf("cannot read processor times: %w", err)
	}
	tick, err := strconv.ParseFloat(strings.TrimSpace(string(hertz)), 64)
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		dir := filepath.Dir(file)
		if whose != "pid "+filepath.Base(dir) {
			line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended
			if !bytes.Contains(line, []byte(whose)) || !bytes.Contains(line, []byte("smbd")) {
				continue
			}
		}
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from the state on
		for _, i := range []int{11, 12, 13, 14} {
			n, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return 0, err
			}
			seconds += n / tick
		}
	}
	return seconds, nil
}
