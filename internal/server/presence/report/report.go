// Package report is what a tunnel of somebody else's says about its clients: the
// scripts client-connect and client-disconnect of an OpenVPN that Fernwerk does
// not run.
//
// OpenVPN waits for such a script, and with it every node. So a report is handed
// to the server if that takes less than [handTime], else it is put into a folder,
// from which the server takes it as soon as it runs ([Inbox]). Nothing is lost and
// nobody waits; the order does not matter, see package presence.
package report

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

const (
	handTime = 1500 * time.Millisecond
	// largest report, and the most that wait; a folder that fills up says that
	// nobody takes them.
	largest = 4096
	waiting = 10_000
)

// Report is one client's coming or going.
type Report struct {
	Up            bool       `json:"up"`
	HostID        string     `json:"hostId"`
	Tunnel        string     `json:"tunnel"`
	Epoch         string     `json:"epoch"`
	Since         int64      `json:"since"` // seconds of Unix time
	Address       netip.Addr `json:"address"`
	ClientAddress netip.Addr `json:"clientAddress"`
	NodeType      string     `json:"nodeType"`
}

// Options are what the environment does not say.
type Options struct {
	Tunnel   string
	Domain   string // behind a common name that has none, such as client317
	NodeType string
}

var seconds = regexp.MustCompile(`^[1-9][0-9]{0,11}$`)

// FromOpenVPN reads the environment of OpenVPN's scripts. The seconds in which the
// client came are the session's name, with the port of a TCP connection, so that
// two sessions in one second are two.
func FromOpenVPN(up bool, getenv func(string) string, o Options) (Report, error) {
	r := Report{Up: up, Tunnel: o.Tunnel, NodeType: o.NodeType}
	bad := func(name, want string) (Report, error) {
		err := fleet.Errorf(fleet.Invalid, "cannot read OpenVPN's environment: %s is %.100q, not %s", name, getenv(name), want)
		return Report{}, fleet.WithHint(err, "this is for the scripts client-connect and client-disconnect of an OpenVPN server")
	}
	r.HostID = strings.ToLower(getenv("common_name"))
	if o.Domain != "" && !strings.Contains(r.HostID, ".") {
		r.HostID += "." + o.Domain
	}
	if fleet.ValidHostID(r.HostID) != nil {
		return bad("common_name", "a host id, such as client317.grid.example.org (or a short name, with --domain)")
	}
	if err := enrol.ValidTunnel(o.Tunnel); err != nil {
		return Report{}, err
	}
	if o.NodeType != "" {
		if err := enrol.ValidNodeType(o.NodeType); err != nil {
			return Report{}, err
		}
	}
	if !seconds.MatchString(getenv("time_unix")) {
		return bad("time_unix", "a time in seconds")
	}
	r.Epoch = getenv("time_unix")
	r.Since, _ = strconv.ParseInt(r.Epoch, 10, 64) // at most 12 digits
	if strings.HasPrefix(getenv("proto_1"), "tcp") {
		if _, err := strconv.ParseUint(getenv("trusted_port"), 10, 16); err != nil {
			return bad("trusted_port", "a port")
		}
		r.Epoch += "-" + getenv("trusted_port")
	}
	for _, from := range []struct {
		names []string
		to    *netip.Addr
		must  bool
	}{
		{[]string{"ifconfig_pool_remote_ip", "ifconfig_pool_remote_ip6"}, &r.Address, up},
		{[]string{"trusted_ip", "trusted_ip6"}, &r.ClientAddress, false},
	} {
		for _, name := range from.names {
			text := getenv(name)
			if text == "" || from.to.IsValid() {
				continue
			}
			a, err := netip.ParseAddr(text)
			if err != nil || a.Zone() != "" {
				return bad(name, "an address")
			}
			*from.to = a.Unmap()
		}
		if from.must && !from.to.IsValid() {
			return bad(from.names[0], "an address")
		}
	}
	return r, nil
}

// Call calls a method of the server.
type Call func(ctx context.Context, method string, args ...any) (any, error)

// Hand gives the report to the server, or puts it into the folder if the server
// does not take it in time. An error is the server's refusal, or a folder that
// takes nothing.
func (r Report) Hand(ctx context.Context, call Call, folder string) (queued bool, err error) {
	hand, cancel := context.WithTimeout(ctx, handTime)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- r.Send(hand, call) }()
	select {
	case err = <-answer:
	case <-hand.Done():
		err = hand.Err()
	}
	if err == nil || refused(err) {
		return false, err
	}
	if err := r.put(folder); err != nil {
		return false, fmt.Errorf("cannot keep the report for later: %w", err)
	}
	return true, nil
}

// refused tells an answer that will be the same later.
func refused(err error) bool {
	switch fleet.CodeOf(err) {
	case fleet.Invalid, fleet.NotFound, fleet.Conflict, fleet.Denied, fleet.TooLarge, fleet.NotHere:
		return true
	}
	return false
}

// Send calls the server's method for the report.
func (r Report) Send(ctx context.Context, call Call) error {
	if !r.Up {
		_, err := call(ctx, "presence_down", r.HostID, r.Tunnel, r.Epoch)
		return err
	}
	text := func(a netip.Addr) any {
		if !a.IsValid() {
			return nil
		}
		return a.String()
	}
	var nodeType any
	if r.NodeType != "" {
		nodeType = r.NodeType
	}
	_, err := call(ctx, "presence_up", r.HostID, r.Tunnel, r.Epoch, r.Since, text(r.Address), text(r.ClientAddress), nodeType)
	return err
}

const suffix = ".report"

func (r Report) put(folder string) error {
	if err := os.Mkdir(folder, 0o700); err == nil {
		err = atomicfile.SyncDir(filepath.Dir(folder))
		if err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	if len(there) >= waiting {
		return fleet.WithHint(fleet.Errorf(fleet.TooLarge, "%d reports wait already in %s", len(there), folder), "start fernwerkd, which takes them")
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(folder, fmt.Sprintf("%d-%s%s", time.Now().UnixNano(), rand.Text(), suffix)), append(data, '\n'), 0o600)
}

// Parse reads a report as it was put; nothing else.
func Parse(data []byte) (r Report, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("cannot read report: %w", err)
	}
	again, err := json.Marshal(r)
	if err != nil || !bytes.Equal(append(again, '\n'), data) {
		return r, fleet.Errorf(fleet.Invalid, "cannot read report: it is not as it was written")
	}
	return r, nil
}

// Drain takes the reports that wait in a folder. One that take refuses for good is
// dropped, with drop told why; any other error ends it.
func Drain(folder string, take func(Report) error, drop func(name string, err error)) (taken int, err error) {
	dir, err := os.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot take reports: %w", err)
	}
	defer dir.Close()
	names, err := fs.ReadDir(dir.FS(), ".")
	if err != nil {
		return 0, fmt.Errorf("cannot take reports: %w", err)
	}
	for _, e := range names {
		if !strings.HasSuffix(e.Name(), suffix) || !e.Type().IsRegular() {
			continue // one that is being written
		}
		r, err := read(dir, e.Name())
		if err == nil {
			err = take(r)
			if err != nil && !refused(err) {
				return taken, err
			}
		}
		if err != nil {
			drop(e.Name(), err)
		} else {
			taken++
		}
		if err := dir.Remove(e.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return taken, fmt.Errorf("cannot take reports: %w", err)
		}
	}
	return taken, nil
}

func read(dir *os.Root, name string) (Report, error) {
	f, err := dir.Open(name)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largest+1))
	if err == nil && len(data) > largest {
		err = fleet.Errorf(fleet.TooLarge, "cannot read report: it has more than %d bytes", largest)
	}
	if err != nil {
		return Report{}, err
	}
	return Parse(data)
}
