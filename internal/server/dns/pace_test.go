package dns

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/fernwerk/fernwerk/test/require/bind"
)

// TestPace measures how many questions a second are answered beside the real BIND with
// the names of the same address range, one after the other on the same machine. Who
// asks, and who answers, share its cores.
func TestPace(t *testing.T) {
	s, _ := newServer(t)
	ours := "127.0.0.1:" + serve(t, s)
	var zone strings.Builder
	for i := range 1 << 16 {
		fmt.Fprintf(&zone, "vnode-%d-%d A 10.134.%d.%d\n", i>>8, i&255, i>>8, i&255)
	}
	theirs := bind.Start(t, map[string]string{"grid.example.org": zone.String()}).Address
	asked := func(server string) float64 {
		const askers, lasts = 8, 2 * time.Second
		var answers atomic.Int64
		ctx, stop := context.WithTimeout(t.Context(), lasts)
		defer stop()
		var all sync.WaitGroup
		began := time.Now()
		for i := range askers {
			all.Go(func() {
				if err := askOn(ctx, server, i, &answers); err != nil {
					t.Errorf("%s: %v", server, err)
				}
			})
		}
		all.Wait()
		return float64(answers.Load()) / time.Since(began).Seconds()
	}
	a, b := asked(ours), asked(theirs)
	t.Logf("%.0f answers a second, BIND with one thread %.0f", a, b)
	t.Attr("answers", fmt.Sprint(a))
	t.Attr("answers_bind", fmt.Sprint(b))
	if a < 1000 {
		t.Errorf("%.0f answers a second", a)
	}
}

// askOn asks one question after the other until ctx ends, and looks at each answer.
func askOn(ctx context.Context, server string, seed int, answers *atomic.Int64) error {
	conn, err := net.Dial("udp", server)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 1500)
	for i := seed * 7919; ctx.Err() == nil; i++ {
		third, fourth := 1+i>>8&127, i&255 // neither the server's address nor the range's ends
		q := new(dns.Msg)
		q.SetQuestion(fmt.Sprintf("vnode-%d-%d.grid.example.org.", third, fourth), dns.TypeA)
		wire, err := q.Pack()
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := conn.Write(wire); err != nil {
			return err
		}
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		var m dns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			return err
		}
		want := fmt.Sprintf("10.134.%d.%d", third, fourth)
		if r, ok := first(m.Answer).(*dns.A); m.Id != q.Id || !ok || r.A.String() != want {
			return fmt.Errorf("asked for %s: %v", want, &m)
		}
		answers.Add(1)
	}
	return nil
}

func first(all []dns.RR) dns.RR {
	if len(all) == 0 {
		return nil
	}
	return all[0]
}
