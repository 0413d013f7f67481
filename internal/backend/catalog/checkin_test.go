package catalog_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/catalog"
	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb/sqlite"
)

// BenchmarkCheckIn is what the server does for one check-in of a host, without
// the network and the login: it reads the action requests, and writes a result
// and when the host was seen.
func BenchmarkCheckIn(b *testing.B) {
	db, err := sqlite.Open(filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	s, err := store.Open(b.Context(), db, time.Now, catalog.Classes()...)
	if err != nil {
		b.Fatal(err)
	}
	svc := catalog.New(s, methods.Ports{})
	admin := methods.Actor{Role: methods.Administrator, ID: "admin"}
	id := func(i int64) string { return fmt.Sprintf("pc%d.bench.test", i) }
	const hosts, products = 1000, 5
	var made, states []any
	for i := range int64(hosts) {
		made = append(made, map[string]any{"type": "OpsiClient", "id": id(i)})
		for p := range products {
			states = append(states, map[string]any{"productId": fmt.Sprint("product", p), "productType": "LocalbootProduct", "clientId": id(i), "actionRequest": []string{"always", "none"}[min(p, 1)]})
		}
	}
	for method, objects := range map[string][]any{"host_createObjects": made, "productOnClient_createObjects": states} {
		if _, err := svc.Call(b.Context(), admin, method, methods.Pos(objects)); err != nil {
			b.Fatal(err)
		}
	}
	type who struct{}
	h := &rpc.Handler{Backend: svc, Log: slog.New(slog.DiscardHandler), Authenticate: func(r *http.Request) (methods.Actor, error) {
		return methods.Actor{Role: methods.Host, ID: r.Context().Value(who{}).(string), Address: "192.0.2.1", Request: "request"}, nil
	}}
	var n atomic.Int64
	b.SetParallelism(64)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			host := id(i % hosts)
			body := fmt.Sprintf(`[{"jsonrpc":"2.0","id":1,"method":"productOnClient_getObjects","params":[null,{"clientId":%q,"actionRequest":["setup","always","once"]}]},
				{"jsonrpc":"2.0","id":2,"method":"productOnClient_updateObjects","params":[[{"productId":"product0","productType":"LocalbootProduct","clientId":%q,"actionResult":"successful","packageVersion":"%d"}]]},
				{"jsonrpc":"2.0","id":3,"method":"host_updateObjects","params":[[{"type":"OpsiClient","id":%q,"lastSeen":%q}]]}]`, host, host, i, host, time.Now().UTC().Format(time.DateTime))
			r := httptest.NewRequestWithContext(context.WithValue(b.Context(), who{}, host), "POST", "/rpc", strings.NewReader(body))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 200 || strings.Contains(w.Body.String(), "error") {
				b.Fatal(w.Body)
			}
		}
	})
}
