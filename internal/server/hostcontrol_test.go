package server_test

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/server"
)

// loopbackOnly keeps magic packets of tests on this machine.
var loopbackOnly = server.HostControl{Broadcast: map[string][]string{"0.0.0.0/0": {"127.255.255.255:9"}}}

// answering lets a host's client answer requests until it is closed.
func (f *frames) answering(answer func(method string, params []any) (result, fault any)) {
	go func() {
		for {
			m, err := f.next()
			if err != nil {
				return
			}
			if m["type"] != "jsonrpc_request" {
				continue
			}
			params, _ := m["params"].([]any)
			result, fault := answer(fmt.Sprint(m["method"]), params)
			f.send(map[string]any{"type": "jsonrpc_response", "channel": m["back_channel"], "rpc_id": m["rpc_id"], "result": result, "error": fault})
		}
	}()
}

// A host that is connected is asked over the bus, and nobody else can answer in
// its place.
func TestHostControl_OverTheBus(t *testing.T) {
	r, admin, _ := twoHosts(t)
	h := r.bus(t, victim, victimKey, "?compression=lz4")
	h.answering(func(method string, params []any) (any, any) {
		switch method {
		case "fireEvent":
			return fmt.Sprint("fired ", params[0]), nil
		case "uptime":
			return int64(77), nil
		}
		return nil, map[string]any{"code": 0, "message": "not with me", "data": map[string]any{"class": "ValueError", "details": nil}}
	})
	e := r.bus(t, evil, evilKey, "")
	e.answering(func(string, []any) (any, any) { return "from evil", nil })
	if got := fmt.Sprint(call(t, admin, "hostControl_fireEvent", "timer", []any{victim})); got != "map["+victim+":map[error:<nil> result:fired timer]]" {
		t.Errorf("fired: %s", got)
	}
	if got := fmt.Sprint(call(t, admin, "hostControlSafe_uptime", victim)); !strings.Contains(got, "result:77") {
		t.Errorf("uptime: %s", got)
	}
	if got := fmt.Sprint(call(t, admin, "hostControl_execute", "rm -rf /", victim)); !strings.Contains(got, "error:not with me") {
		t.Errorf("execute: %s", got)
	}
	if got := fmt.Sprint(call(t, admin, "hostControl_reachable", []any{victim, evil})); got != "map["+evil+":true "+victim+":true]" {
		t.Errorf("reachable: %s", got)
	}
	// An administrator's tool asks the same on the host's channel.
	c := r.bus(t, "admin", password, "")
	c.send(map[string]any{"type": "jsonrpc_request", "channel": "host:" + victim, "rpc_id": "9", "method": "uptime", "params": []any{}})
	if m := c.await(map[string]any{"rpc_id": "9"}); fmt.Sprint(m["result"]) != "77" || m["sender"] != "host:"+victim {
		t.Errorf("answered %v", m)
	}
	h.ws.CloseNow()
	call(t, admin, "host_updateObject", fleet.Row{"type": fleet.OpsiClient, "id": evil, "ipAddress": ""})
}

// One host answers in another's name: the question goes on waiting.
func TestHostControl_ForgedAnswer(t *testing.T) {
	r, admin, _ := twoHosts(t)
	h, e := r.bus(t, victim, victimKey, ""), r.bus(t, evil, evilKey, "")
	got := make(chan string, 1)
	go func() {
		v, err := admin.Call(t.Context(), methods.Actor{}, "hostControl_uptime", methods.Pos([]any{victim}))
		got <- fmt.Sprint(v, err)
	}()
	q := h.await(map[string]any{"type": "jsonrpc_request", "method": "uptime"})
	e.send(map[string]any{"type": "jsonrpc_response", "channel": q["back_channel"], "rpc_id": q["rpc_id"], "result": "forged"})
	id := e.send(map[string]any{"type": "trace_request", "channel": "service:messagebus", "trace": map[string]any{}})
	e.await(map[string]any{"ref_id": id}) // the forged one was read
	select {
	case v := <-got:
		t.Fatalf("somebody else's answer was taken: %s", v)
	default:
	}
	h.send(map[string]any{"type": "jsonrpc_response", "channel": q["back_channel"], "rpc_id": q["rpc_id"], "result": int64(5)})
	if v := <-got; !strings.Contains(v, "result:5") {
		t.Errorf("answered %s", v)
	}
}

// A magic packet arrives as the network card wants it, where it is configured to go.
func TestHostControl_WakesByMagicPacket(t *testing.T) {
	listen, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listen.Close()
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := start(t, server.Config{Data: t.TempDir(), HostControl: server.HostControl{Broadcast: map[string][]string{
		"192.0.2.0/24": {listen.LocalAddr().String()}, "0.0.0.0/0": {other.LocalAddr().String()}}}})
	admin := r.client(t, "admin", password)
	call(t, admin, "host_createObjects", []any{fleet.Row{"type": fleet.OpsiClient, "id": victim, "hardwareAddress": "02:00:5e:10:00:ff", "ipAddress": "192.0.2.7"}})
	if got := fmt.Sprint(call(t, admin, "hostControl_start", []any{victim})); got != "map["+victim+":map[error:<nil> result:sent]]" {
		t.Errorf("start: %s", got)
	}
	packet := make([]byte, 200)
	listen.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := listen.Read(packet)
	if err != nil {
		t.Fatal(err)
	}
	mac := []byte{2, 0, 0x5e, 0x10, 0, 0xff}
	if want := append(bytes.Repeat([]byte{255}, 6), bytes.Repeat(mac, 16)...); !bytes.Equal(packet[:n], want) {
		t.Errorf("sent %x", packet[:n])
	}
	other.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := other.Read(packet); err == nil {
		t.Errorf("%d bytes went to another network", n)
	}
}
