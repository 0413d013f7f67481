package bus

import (
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/fernwerk/fernwerk/internal/backend/methods"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Names of channels. The first two are short for the sender's own.
const (
	Self        = "@"
	ThisSession = "$"
	ServiceBus  = "service:messagebus"
	ServiceRPC  = "service:config:jsonrpc"

	HostPrefix    = "host:"
	UserPrefix    = "user:"
	SessionPrefix = "session:"
	EventPrefix   = "event:"
)

// Kind is what a channel is to somebody.
type Kind string

// The kinds.
const (
	Services      Kind = "services"      // the two that the server answers on
	Own           Kind = "own"           // one's own host: or user: channel
	OwnSession    Kind = "own session"   // a session of this connection
	FreeSession   Kind = "free session"  // a session that nobody has
	OtherSession  Kind = "other session" // somebody else's
	Hosts         Kind = "hosts"         // host: of another
	Users         Kind = "users"         // user: of another
	Events        Kind = "events"        // what happens to the fleet
	People        Kind = "people"        // what happens to accounts
	NoChannelKind Kind = "no channel"    // anything else
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{Services, Own, OwnSession, FreeSession, OtherSession, Hosts, Users, Events, People, NoChannelKind}
}

// Own returns an actor's own channel.
func OwnChannel(a methods.Actor) string {
	if a.Role == methods.Host || a.Role == methods.Depot {
		return HostPrefix + a.ID
	}
	return UserPrefix + a.ID
}

// KindOf says what a channel is to an actor. Whose session it is only the
// connections know.
func KindOf(a methods.Actor, channel string, session func(channel string) Kind) Kind {
	rest, is := "", false
	switch {
	case channel == ServiceBus, channel == ServiceRPC:
		return Services
	case channel == OwnChannel(a):
		return Own
	}
	if rest, is = strings.CutPrefix(channel, SessionPrefix); is && uuid.Validate(rest) == nil && len(rest) == 36 {
		return session(channel)
	}
	if rest, is = strings.CutPrefix(channel, HostPrefix); is && fleet.ValidHostID(rest) == nil {
		return Hosts
	}
	if rest, is = strings.CutPrefix(channel, UserPrefix); is && rest != "" {
		return Users
	}
	if rest, is = strings.CutPrefix(channel, EventPrefix); is && eventName(rest) {
		if strings.HasPrefix(rest, "user_") {
			return People
		}
		return Events
	}
	return NoChannelKind
}

func eventName(s string) bool {
	return s != "" && len(s) <= maxID && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// rule is one row of the access table: what a role may do with a kind. What
// stands in no row is refused to everybody.
type rule struct {
	kind      Kind
	send      []methods.Role
	subscribe []methods.Role
}

var (
	all      = []methods.Role{methods.Administrator, methods.Operator, methods.Reader, methods.Depot, methods.Host}
	watchers = []methods.Role{methods.Administrator, methods.Operator, methods.Reader, methods.Depot}
	admins   = []methods.Role{methods.Administrator}
)

// rules is the access table. A host speaks with the server and itself, hears
// nothing of others, and nobody but the server tells what happened. Sending to a
// host is a call of hostControl_opsiclientdRpc, which is the administrators'.
var rules = []rule{
	{kind: Services, send: all, subscribe: nil},
	{kind: Own, send: all, subscribe: all},
	{kind: OwnSession, send: all, subscribe: all},
	{kind: FreeSession, send: nil, subscribe: all},
	{kind: Hosts, send: admins, subscribe: nil},
	{kind: Events, send: nil, subscribe: watchers},
	{kind: People, send: nil, subscribe: admins},
}

// MaySend tells whether a role may send to a kind of channel.
func MaySend(r methods.Role, k Kind) bool {
	return slices.ContainsFunc(rules, func(u rule) bool { return u.kind == k && slices.Contains(u.send, r) })
}

// MaySubscribe tells whether a role may subscribe to a kind of channel.
func MaySubscribe(r methods.Role, k Kind) bool {
	return slices.ContainsFunc(rules, func(u rule) bool { return u.kind == k && slices.Contains(u.subscribe, r) })
}
