package openvpn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var said = []string{
	">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info",
	">HOLD:Waiting for hold release:0",
	">CLIENT:CONNECT,0,1\n>CLIENT:ENV,common_name=pc1.example.org\n>CLIENT:ENV,password=\n>CLIENT:ENV,END",
	">CLIENT:REAUTH,18446744073709551615,2\n>CLIENT:ENV,END",
	">CLIENT:ESTABLISHED,7\n>CLIENT:ENV,a=b=c\n>CLIENT:ENV,END",
	">CLIENT:DISCONNECT,7\n>CLIENT:ENV,bytes_sent=1\n>CLIENT:ENV,END",
	">CLIENT:CR_RESPONSE,7,1,aGVsbG8=\n>CLIENT:ENV,END",
	">CLIENT:ADDRESS,7,10.134.7.38,1",
	">BYTECOUNT:1,2", ">BYTECOUNT_CLI:7,1,2", ">STATE:1796000000,CONNECTED,SUCCESS,10.134.7.38,203.0.113.1,4242,,",
	">UPDOWN:UP\n>UPDOWN:ENV,foreign_option_1=dhcp-option DNS 10.134.0.1\n>UPDOWN:ENV,END", ">UPDOWN:DOWN\n>UPDOWN:ENV,END",
	">FATAL:Cannot open TUN/TAP", ">LOG:1,I,x", ">NOTIFY", ">:", ">",
}

func TestParser_Refuses(t *testing.T) {
	for _, text := range []string{">CLIENT:CONNECT,0", ">CLIENT:CONNECT,00,1", ">CLIENT:CONNECT,-1,1", ">CLIENT:CONNECT,18446744073709551616,1", ">CLIENT:NEW,1", ">CLIENT:ENV,a=b",
		">CLIENT:ADDRESS,1,10.134.07.38,1", ">CLIENT:ADDRESS,1,10.134.7.38,2", ">CLIENT:ADDRESS,1,10.134.7.38", ">BYTECOUNT:1", ">BYTECOUNT_CLI:1,2,3,4", ">UPDOWN:SIDEWAYS",
		">CLIENT:ESTABLISHED,1\n>CLIENT:CONNECT,2,1", ">CLIENT:ESTABLISHED,1\nSUCCESS: x", ">CLIENT:ESTABLISHED,1\n>CLIENT:ENV,ab", ">CLIENT:ESTABLISHED,1\n>CLIENT:ENV,=b",
		">UPDOWN:UP\n>CLIENT:ENV,END", ">INFO:a\rb", ">INFO:" + strings.Repeat("x", maxLine)} {
		var p Parser
		var err error
		for _, line := range strings.Split(text, "\n") {
			if _, _, err = p.Line(line); err != nil {
				break
			}
		}
		if err == nil {
			t.Errorf("%.60q is read", text)
		}
	}
}

// A client that says very much of itself is still one client, and harms no other.
func TestParser_Cut(t *testing.T) {
	var p Parser
	p.Line(">CLIENT:CONNECT,1,1")
	for i := range maxEnv + 10 {
		if _, _, err := p.Line(fmt.Sprintf(">CLIENT:ENV,UV_%d=x", i)); err != nil {
			t.Fatal(err)
		}
	}
	e, _, err := p.Line(">CLIENT:ENV,END")
	if err != nil || e == nil || !e.Cut || len(e.Env) != maxEnv {
		t.Errorf("%v %+v", err, e)
	}
}

func TestEvent_Var(t *testing.T) {
	e := Event{Env: []string{"a=1", "ab=2", "twice=1", "twice=2"}}
	for name, want := range map[string]string{"a": "1", "ab": "2", "b": "", "twice": ""} {
		if got := e.Var(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func FuzzParser(f *testing.F) {
	for _, text := range said {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var p Parser
		var since []string
		for _, line := range strings.Split(text, "\n") {
			e, answer, err := p.Line(line)
			if err != nil {
				return
			}
			if answer {
				continue
			}
			since = append(since, line)
			if e == nil {
				continue
			}
			if got := e.Lines(); !e.Cut && cmp.Diff(since, got) != "" {
				t.Errorf("%q is written as %q", since, got)
			}
			since = nil
		}
	})
}

// fake is the other side of a management socket.
func fake(t *testing.T, serve func(*bufio.Reader, net.Conn)) *Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		fmt.Fprint(nc, said[0]+"\r\n")
		serve(bufio.NewReader(nc), nc)
	}()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Events come between the lines of an answer, and answers in the order of the
// questions; what was asked when the connection ends gets its end.
func TestConn(t *testing.T) {
	c := fake(t, func(r *bufio.Reader, nc net.Conn) {
		for _, want := range []string{"pid", "client-kill 7", "status 3"} {
			if line, _ := r.ReadString('\n'); strings.TrimSpace(line) != want {
				t.Errorf("asked %q", line)
			}
		}
		fmt.Fprint(nc, "SUCCESS: pid=42\r\n>HOLD:x\r\nERROR: client-kill command failed\r\nTITLE\tx\r\n>CLIENT:ADDRESS,1,10.0.0.1,1\r\nEND\r\n")
		r.ReadString('\n')
	})
	events := make(chan Event, 10)
	done := make(chan error, 1)
	asked := make(chan struct{})
	type result struct {
		pid  int
		kill error
		all  []Client
		err  error
	}
	got := make(chan result, 1)
	go func() {
		var r result
		// Three at once: written one after the other, answered in that order.
		pid := make(chan struct{})
		kill := make(chan struct{})
		go func() { defer close(pid); r.pid, _ = c.PID(t.Context()) }()
		c.written(1)
		go func() { defer close(kill); r.kill = c.Kill(t.Context(), 7) }()
		c.written(2)
		close(asked)
		r.all, r.err = c.Status(t.Context())
		<-pid
		<-kill
		got <- r
	}()
	<-asked
	go func() { done <- c.Serve(t.Context(), func(e Event) { events <- e }) }()
	r := <-got
	if r.pid != 42 || r.kill == nil || r.err != nil || len(r.all) != 0 {
		t.Errorf("%+v", r)
	}
	if a, b := <-events, <-events; a.Kind != Hold || b.Kind != Address {
		t.Errorf("%v %v", a, b)
	}
	if _, err := c.PID(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
	if err := <-done; err == nil {
		t.Error("its end is no error")
	}
}

// written waits until so many commands were sent that have no answer yet.
func (c *Conn) written(n int) {
	for {
		c.mu.Lock()
		ok := len(c.waiting) >= n || c.err != nil
		c.mu.Unlock()
		if ok {
			return
		}
	}
}

func TestConn_Refuses(t *testing.T) {
	for _, text := range []string{"SUCCESS: nobody asked\r\n", ">CLIENT:CONNECT,x\r\n", strings.Repeat("x", maxLine+10) + "\r\n"} {
		c := fake(t, func(r *bufio.Reader, nc net.Conn) { fmt.Fprint(nc, text); r.ReadString('\n') })
		if err := c.Serve(t.Context(), func(Event) {}); err == nil {
			t.Errorf("%.40q is taken", text)
		}
	}
	// A context that ends is no fault.
	c := fake(t, func(r *bufio.Reader, _ net.Conn) { r.ReadString('\n') })
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Serve(ctx, func(Event) {}); err != nil {
		t.Error(err)
	}
}
