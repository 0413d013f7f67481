package simulate

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A herd that is put off again and again ends when it shall, and asks no more.
func TestHerd_EndsWhilePutOff(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 { // of both hosts
			end()
		}
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	o := &Options{Hosts: 2, Say: func(string, ...any) {}}
	c := &crowd{Options: o, report: &Report{}, address: strings.TrimPrefix(server.URL, "https://"),
		tls: server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()}
	defer c.hangUp()
	for i := range o.Hosts {
		c.add(i)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.herd(ctx) }()
	select {
	case err := <-ended:
		if err == nil || asked.Load() > 2 {
			t.Errorf("%v after %d questions", err, asked.Load())
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("it does not end; %d questions", asked.Load())
	}
}
