package server_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/pierrec/lz4/v4"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/test/require"
)

// frames is a client of the bus that sends MessagePack as opsi's clients do.
type frames struct {
	t    *testing.T
	ws   *websocket.Conn
	lz4  bool
	seen []map[string]any // read while something else was waited for
}

func (r *running) bus(t *testing.T, user, password, query string) *frames {
	t.Helper()
	c, resp, err := r.tryBus(t, user, password, query)
	if err != nil {
		t.Fatalf("cannot connect %s: %v (%v)", user, err, resp)
	}
	// The server knows the connection when it has said so, not when it has opened.
	c.seen = append(c.seen, c.await(map[string]any{"type": "channel_subscription_event"}))
	return c
}

func (r *running) tryBus(t *testing.T, user, password, query string) (*frames, *http.Response, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: r.trust(t)}}
	header := http.Header{}
	if user != "" {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	}
	ws, resp, err := websocket.Dial(t.Context(), r.URL()+"/messagebus/v1"+query, &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	if err != nil {
		return nil, resp, err
	}
	t.Cleanup(func() { ws.CloseNow(); client.CloseIdleConnections() })
	ws.SetReadLimit(16 << 20)
	return &frames{t: t, ws: ws, lz4: strings.Contains(query, "lz4")}, resp, nil
}

// send sends a message with the fields that every one has, unless they are given.
func (f *frames) send(fields map[string]any) (id string) {
	f.t.Helper()
	now := time.Now().UnixMilli()
	m := map[string]any{"id": uuid.NewString(), "sender": "@", "created": now, "expires": now + 60_000}
	for name, v := range fields {
		if m[name] = v; v == nil {
			delete(m, name)
		}
	}
	data, err := msgpack.Marshal(m)
	if err != nil {
		f.t.Fatal(err)
	}
	f.raw(data)
	id, _ = m["id"].(string)
	return id
}

func (f *frames) raw(data []byte) {
	f.t.Helper()
	if f.lz4 {
		var b strings.Builder
		w := lz4.NewWriter(&b)
		w.Write(data)
		w.Close()
		data = []byte(b.String())
	}
	if err := f.ws.Write(f.t.Context(), websocket.MessageBinary, data); err != nil {
		f.t.Fatal(err)
	}
}

// next reads one message.
func (f *frames) next() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	_, data, err := f.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	if f.lz4 {
		if data, err = io.ReadAll(lz4.NewReader(strings.NewReader(string(data)))); err != nil {
			return nil, err
		}
	}
	var m map[string]any
	return m, msgpack.Unmarshal(data, &m)
}

// await reads until a message has all these fields, as text.
func (f *frames) await(want map[string]any) map[string]any {
	f.t.Helper()
	fits := func(m map[string]any) bool {
		for name, v := range want {
			if fmt.Sprint(m[name]) != fmt.Sprint(v) {
				return false
			}
		}
		return true
	}
	if i := slices.IndexFunc(f.seen, fits); i >= 0 {
		m := f.seen[i]
		f.seen = slices.Delete(f.seen, i, i+1)
		return m
	}
	for {
		m, err := f.next()
		if err != nil {
			f.t.Fatalf("waiting for %v: %v; seen %v", want, err, f.seen)
		}
		if fits(m) {
			return m
		}
		f.seen = append(f.seen, m)
	}
}

func (f *frames) subscribe(operation string, channels ...string) map[string]any {
	f.t.Helper()
	id := f.send(map[string]any{"type": "channel_subscription_request", "channel": "service:messagebus", "operation": operation, "channels": channels})
	return f.await(map[string]any{"type": "channel_subscription_event", "ref_id": id})
}

func (f *frames) refusal(want string, fields map[string]any) {
	f.t.Helper()
	id := f.send(fields)
	m := f.await(map[string]any{"type": "general_error", "ref_id": id})
	if text := fmt.Sprint(m["error"]); !strings.Contains(text, want) {
		f.t.Errorf("%v was refused with %v, want %q", fields, text, want)
	}
}

// known lists the fields that opsi's message classes take, by type: one more,
// and its clients cannot read the message.
var known = map[string][]string{
	"":                           {"type", "sender", "channel", "back_channel", "id", "created", "expires", "ref_id"},
	"general_error":              {"error"},
	"event":                      {"event", "data"},
	"channel_subscription_event": {"error", "subscribed_channels"},
	"trace_response":             {"req_trace", "trace", "payload"},
	"jsonrpc_request":            {"api_version", "rpc_id", "method", "params"},
	"jsonrpc_response":           {"rpc_id", "error", "result"},
}

func (f *frames) checkFields() {
	for _, m := range f.seen {
		for name := range m {
			if !slices.Contains(known[""], name) && !slices.Contains(known[fmt.Sprint(m["type"])], name) {
				f.t.Errorf("opsi's clients know no %s in %v", name, m)
			}
		}
	}
}

// An opsi client subscribes, traces, calls and listens.
func TestBus_Wire(t *testing.T) {
	r, admin, _ := twoHosts(t)
	for _, query := range []string{"", "?compression=lz4", "?compression=gzip"} {
		if query == "?compression=gzip" {
			continue // the same code as lz4
		}
		c := r.bus(t, "admin", password, query)
		hello := c.await(map[string]any{"type": "channel_subscription_event"})
		channels := hello["subscribed_channels"].([]any)
		if len(channels) != 2 || channels[0] != "user:admin" || !strings.HasPrefix(fmt.Sprint(channels[1]), "session:") || hello["channel"] != channels[1] {
			t.Errorf("the first message is %v", hello)
		}
		if got := c.subscribe("add", "event:productOnClient_created", "event:host_updated")["subscribed_channels"]; len(got.([]any)) != 4 {
			t.Errorf("subscribed to %v", got)
		}
		id := c.send(map[string]any{"type": "trace_request", "channel": "service:messagebus", "trace": map[string]any{"sender_ws_send": 1}, "payload": []byte{0xff, 0, 1}})
		trace := c.await(map[string]any{"type": "trace_response", "ref_id": id})
		if string(trace["payload"].([]byte)) != "\xff\x00\x01" || trace["trace"].(map[string]any)["broker_ws_receive"] == nil {
			t.Errorf("traced %v", trace)
		}
		c.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "7", "method": "host_getIdents", "params": []any{"str", map[string]any{"id": victim}}})
		answer := c.await(map[string]any{"type": "jsonrpc_response", "rpc_id": "7"})
		if fmt.Sprint(answer["result"]) != "["+victim+"]" || answer["error"] != nil {
			t.Errorf("answered %v", answer)
		}
		c.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "8", "method": "host_getIdent"})
		answer = c.await(map[string]any{"type": "jsonrpc_response", "rpc_id": "8"})
		if e := answer["error"].(map[string]any); !strings.Contains(fmt.Sprint(e["message"]), "host_getIdents") || answer["result"] != nil {
			t.Errorf("an unknown method is answered %v", answer)
		}
		product := "p" + fmt.Sprint(len(query))
		call(t, admin, "productOnClient_createObjects", fleet.Row{"productId": product, "productType": "LocalbootProduct", "clientId": victim, "actionRequest": "setup"})
		event := c.await(map[string]any{"type": "event", "event": "productOnClient_created"})
		if data := event["data"].(map[string]any); data["productId"] != product || data["clientId"] != victim || data["actionRequest"] != "setup" || event["channel"] != "event:productOnClient_created" {
			t.Errorf("told %v", event)
		}
		if got := c.subscribe("set", "$", "event:host_connected", "event:host_disconnected")["subscribed_channels"]; len(got.([]any)) != 3 {
			t.Errorf("subscribed to %v", got)
		}
		h := r.bus(t, victim, victimKey, "")
		c.await(map[string]any{"type": "event", "event": "host_connected"})
		h.ws.CloseNow()
		c.await(map[string]any{"type": "event", "event": "host_disconnected"})
		c.seen = append(c.seen, hello, trace, answer, event)
		c.checkFields()
	}
}

// Whoever may not, does not; and what would execute commands nobody may.
func TestBus_Refuses(t *testing.T) {
	r, _, _ := twoHosts(t)
	for query, status := range map[string]int{"?compression=rar": http.StatusBadRequest} {
		if _, resp, err := r.tryBus(t, evil, evilKey, query); err == nil || resp.StatusCode != status {
			t.Errorf("%s: %v %v", query, resp, err)
		}
	}
	for _, cred := range [][2]string{{"", ""}, {"admin", "wrong"}, {evil, victimKey}} {
		if _, resp, err := r.tryBus(t, cred[0], cred[1], ""); err == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %v %v", cred, resp, err)
		}
	}
	c := r.bus(t, evil, evilKey, "")
	v := r.bus(t, victim, victimKey, "")
	session := fmt.Sprint(v.await(map[string]any{"type": "channel_subscription_event"})["channel"])
	for _, typ := range []string{"terminal_open_request", "process_start_request", "file_upload_request"} {
		c.refusal("not supported", map[string]any{"type": typ, "channel": "service:config:terminal"})
	}
	for _, channel := range []string{"host:" + victim, "user:admin", "event:host_connected", session, "service:other", "nonsense", ""} {
		c.refusal("cannot", map[string]any{"type": "event", "channel": channel, "event": "x", "data": map[string]any{}})
	}
	c.refusal("not yours", map[string]any{"type": "trace_request", "channel": "service:messagebus", "trace": map[string]any{}, "back_channel": "host:" + victim})
	for _, channel := range []string{"host:" + victim, "user:admin", "event:host_connected", session, "service:messagebus", "nonsense"} {
		if got := c.subscribe("add", channel); got["error"] == nil || len(got["subscribed_channels"].([]any)) != 2 {
			t.Errorf("subscribing to %s: %v", channel, got)
		}
	}
	c.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "1", "method": "host_delete", "params": []any{victim}, "sender": "user:admin"})
	if e := fmt.Sprint(c.await(map[string]any{"rpc_id": "1"})["error"]); !strings.Contains(e, "not allowed for host "+evil) {
		t.Errorf("a forged sender: %s", e)
	}
	// Nothing of all this reached the other host.
	id := v.send(map[string]any{"type": "trace_request", "channel": "service:messagebus", "trace": map[string]any{}})
	if m := v.await(map[string]any{"ref_id": id}); len(v.seen) > 0 || m["type"] != "trace_response" {
		t.Errorf("the victim got %v", v.seen)
	}
}

// Events are of the whole fleet, and those of people the administrators': who is
// bound to groups hears none, and who becomes bound does not stay.
func TestBus_EventsAreForWhoSeesThem(t *testing.T) {
	r, admin, _ := twoHosts(t)
	call(t, admin, "group_createHostGroup", "branch")
	call(t, admin, "account_create", "bound", "operator", []any{"branch"}, password)
	call(t, admin, "account_create", "reader", "reader", []any{}, password)
	c := r.bus(t, "bound", password, "")
	for _, channel := range []string{"event:host_connected", "event:productOnClient_updated", "event:user_connected"} {
		if got := c.subscribe("add", channel); got["error"] == nil || len(got["subscribed_channels"].([]any)) != 2 {
			t.Errorf("who is bound hears %s: %v", channel, got)
		}
	}
	c = r.bus(t, "reader", password, "")
	for _, channel := range []string{"event:user_connected", "event:user_created"} {
		if got := c.subscribe("add", channel); got["error"] == nil {
			t.Errorf("a reader hears %s: %v", channel, got)
		}
	}
	if got := c.subscribe("add", "event:host_connected"); got["error"] != nil {
		t.Errorf("a reader of the whole fleet: %v", got)
	}
	call(t, admin, "account_setRole", "reader", "reader", []any{"branch"})
	c.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "1", "method": "getDomain", "params": []any{}})
	if code := c.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("who is bound now stays: closed with %v", code)
	}
	if got := r.bus(t, "admin", password, "").subscribe("add", "event:user_connected"); got["error"] != nil {
		t.Errorf("an administrator: %v", got)
	}
}

// A hostile host sends what nobody can read, more than anybody can, and reads
// nothing. The other one is answered meanwhile.
func TestBus_HostileHostHurtsItselfOnly(t *testing.T) {
	r, _, _ := twoHosts(t)
	v := r.bus(t, victim, victimKey, "")
	alive := func() {
		t.Helper()
		id := v.send(map[string]any{"type": "trace_request", "channel": "service:messagebus", "trace": map[string]any{}})
		begin := time.Now()
		if v.await(map[string]any{"ref_id": id}); time.Since(begin) > 5*time.Second {
			t.Errorf("the other host waited %v", time.Since(begin))
		}
	}
	t.Run("garbage", func(t *testing.T) {
		c := r.bus(t, evil, evilKey, "")
		for range 21 {
			if c.ws.Write(t.Context(), websocket.MessageBinary, []byte{0xc1, 0xff}) != nil {
				break
			}
		}
		if code := c.closed(); code != websocket.StatusPolicyViolation {
			t.Errorf("closed with %v", code)
		}
		alive()
	})
	t.Run("text", func(t *testing.T) {
		c := r.bus(t, evil, evilKey, "")
		c.ws.Write(t.Context(), websocket.MessageText, []byte("hello"))
		if code := c.closed(); code != websocket.StatusUnsupportedData {
			t.Errorf("closed with %v", code)
		}
	})
	t.Run("too large", func(t *testing.T) {
		c := r.bus(t, evil, evilKey, "")
		c.ws.Write(t.Context(), websocket.MessageBinary, make([]byte, 2<<20))
		if code := c.closed(); code != websocket.StatusMessageTooBig && code != -1 { // -1: the line broke first
			t.Errorf("closed with %v", code)
		}
		alive()
	})
	t.Run("reads nothing", func(t *testing.T) {
		c := r.bus(t, evil, evilKey, "")
		payload := make([]byte, 200<<10)
		now := time.Now().UnixMilli()
		data, err := msgpack.Marshal(map[string]any{"type": "trace_request", "id": "x", "channel": "service:messagebus", "created": now, "expires": now, "trace": map[string]any{}, "payload": payload})
		if err != nil {
			t.Fatal(err)
		}
		for range 200 { // 40 MB of answers
			if c.ws.Write(t.Context(), websocket.MessageBinary, data) != nil {
				break
			}
		}
		alive()
		if code := c.closed(); code != websocket.StatusTryAgainLater && code != -1 {
			t.Errorf("closed with %v", code)
		}
	})
	t.Run("too many connections", func(t *testing.T) {
		var all []*frames
		for range 6 {
			c := r.bus(t, evil, evilKey, "")
			c.subscribe("remove", "@") // it counts all the same
			all = append(all, c)
		}
		for i, c := range all[:2] {
			if code := c.closed(); code != websocket.StatusPolicyViolation {
				t.Errorf("the oldest but %d was closed with %v", i, code)
			}
		}
		alive()
	})
}

// closed reads until the end, and says with which status; -1 is none.
func (f *frames) closed() websocket.StatusCode {
	for {
		if _, err := f.next(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// Whoever loses his credential loses the connection, before it is of use.
func TestBus_CredentialIsGone(t *testing.T) {
	r, admin, _ := twoHosts(t)
	c := r.bus(t, evil, evilKey, "")
	call(t, admin, "host_updateObject", fleet.Row{"type": fleet.OpsiClient, "id": evil, "opsiHostKey": strings.Repeat("a", 32)})
	c.send(map[string]any{"type": "jsonrpc_request", "channel": "service:config:jsonrpc", "rpc_id": "1", "method": "host_getIdents"})
	if code := c.closed(); code != websocket.StatusPolicyViolation {
		t.Errorf("closed with %v", code)
	}
}

// A server that stops says when to come back.
func TestBus_Stop(t *testing.T) {
	r := start(t, server.Config{Data: t.TempDir()})
	c := r.bus(t, "admin", password, "")
	reason := make(chan string, 1)
	go func() {
		for {
			if _, err := c.next(); err != nil {
				reason <- err.Error()
				return
			}
		}
	}()
	r.stop()
	if got := <-reason; !strings.Contains(got, "Retry-After: ") || !strings.Contains(got, "StatusTryAgainLater") {
		t.Errorf("closed with %s", got)
	}
}

// Two servers on one database are one bus: a host that is connected to one is
// asked by the other, both tell what happens, and one that ends takes its
// connections along.
func TestBus_TwoServers(t *testing.T) {
	database, key := require.Postgres(t), cluster.NewKey().Text()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	beside := func(name string) server.Config {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, cluster.KeyFile), []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return server.Config{Data: data, Database: database, Replica: name, ID: "server.example.org", Log: log, HostControl: server.HostControl{Trust: "off"}}
	}
	one, two := start(t, beside("one")), start(t, beside("two"))
	admin := one.client(t, "admin", password)
	call(t, admin, "host_createObjects", []any{fleet.Row{"type": fleet.OpsiClient, "id": victim, "opsiHostKey": victimKey}})
	listeners := []*frames{one.bus(t, "admin", password, ""), two.bus(t, "admin", password, "")}
	for _, c := range listeners {
		c.subscribe("add", "event:host_connected", "event:host_disconnected", "event:host_updated")
	}
	asked := func(r *running, want string) {
		t.Helper()
		admin := r.client(t, "admin", password)
		for deadline := time.Now().Add(20 * time.Second); ; {
			got := fmt.Sprint(call(t, admin, "hostControl_uptime", []any{victim}))
			if strings.Contains(got, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("asked, it answered %s, want %s", got, want)
			}
		}
	}
	connect := func(r *running, uptime int64) *frames {
		t.Helper()
		h := r.bus(t, victim, victimKey, "")
		h.answering(func(string, []any) (any, any) { return uptime, nil })
		return h
	}
	h := connect(two, 2)
	for i, c := range listeners {
		m := c.await(map[string]any{"event": "host_connected"})
		if fmt.Sprint(m["data"]) == "" {
			t.Errorf("server %d told %v", i, m)
		}
	}
	asked(one, "result:2")
	asked(two, "result:2")
	if got := fmt.Sprint(call(t, admin, "hostControl_reachable", []any{victim})); got != "map["+victim+":true]" {
		t.Errorf("reachable from the other server: %s", got)
	}
	call(t, admin, "host_updateObject", fleet.Row{"type": fleet.OpsiClient, "id": victim, "notes": "x"})
	for _, c := range listeners {
		c.await(map[string]any{"event": "host_updated"})
	}
	// It moves to the other server, and the first one to notice is not the last.
	h2 := connect(one, 1)
	asked(two, "result:1")
	h.ws.CloseNow()
	asked(two, "result:1")
	h2.ws.CloseNow()
	asked(two, "not connected")
	connect(two, 3)
	asked(one, "result:3")
	two.stop()
	asked(one, "not connected")
}
