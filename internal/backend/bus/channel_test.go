package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
)

// The whole table of who may send to and subscribe to what: s sends, l listens.
func TestRules(t *testing.T) {
	roles := []methods.Role{methods.Administrator, methods.Operator, methods.Reader, methods.Depot, methods.Host, "somebody"}
	var b strings.Builder
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "%-14s", k)
		for _, r := range roles {
			may := []byte("--")
			if MaySend(r, k) {
				may[0] = 's'
			}
			if MaySubscribe(r, k) {
				may[1] = 'l'
			}
			fmt.Fprintf(&b, " %s", may)
		}
		b.WriteByte('\n')
	}
	want := `
               ad op re de ho nobody
services       s- s- s- s- s- --
own            sl sl sl sl sl --
own session    sl sl sl sl sl --
free session   -l -l -l -l -l --
other session  -- -- -- -- -- --
hosts          s- -- -- -- -- --
users          -- -- -- -- -- --
events         -l -l -l -l -- --
people         -l -- -- -- -- --
no channel     -- -- -- -- -- --
`
	_, want, _ = strings.Cut(strings.TrimPrefix(want, "\n"), "\n")
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(b.String(), "\n")); d != "" {
		t.Error(d)
	}
}

func TestKindOf(t *testing.T) {
	host := methods.Actor{Role: methods.Host, ID: "pc1.example.org"}
	depot := methods.Actor{Role: methods.Depot, ID: "depot.example.org"}
	anna := methods.Actor{Role: methods.Reader, ID: "anna"}
	mine := "session:" + uuid.NewString()
	session := func(ch string) Kind {
		if ch == mine {
			return OwnSession
		}
		return FreeSession
	}
	for _, tt := range []struct {
		actor   methods.Actor
		channel string
		want    Kind
	}{
		{host, "service:messagebus", Services},
		{host, "service:config:jsonrpc", Services},
		{host, "service:config:terminal", NoChannelKind},
		{host, "service:depot:a.b.c:process", NoChannelKind},
		{host, "host:pc1.example.org", Own},
		{host, "host:pc2.example.org", Hosts},
		{host, "host:PC1.example.org", NoChannelKind},
		{host, "host:*", NoChannelKind},
		{depot, "host:depot.example.org", Own},
		{anna, "user:anna", Own},
		{anna, "user:admin", Users},
		{anna, "user:", NoChannelKind},
		{anna, "host:pc1.example.org", Hosts},
		{anna, mine, OwnSession},
		{anna, "session:" + uuid.NewString(), FreeSession},
		{anna, "session:1", NoChannelKind},
		{anna, "session:{" + uuid.NewString() + "}", NoChannelKind},
		{anna, "event:host_connected", Events},
		{anna, "event:productOnClient_updated", Events},
		{anna, "event:user_created", People},
		{anna, "event:user_connected", People},
		{anna, "event:*", NoChannelKind},
		{anna, "event:", NoChannelKind},
		{anna, "", NoChannelKind},
	} {
		if got := KindOf(tt.actor, tt.channel, session); got != tt.want {
			t.Errorf("%s is to %s: %s, want %s", tt.channel, tt.actor.ID, got, tt.want)
		}
	}
	for typ, want := range map[string]bool{"terminal_open_request": true, "process_start_request": true, "file_chunk": true, Event: false, Request: false} {
		if Executes(typ) != want {
			t.Errorf("%s executes: %v", typ, !want)
		}
	}
}
