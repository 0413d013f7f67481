package bus

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fernwerk/fernwerk/internal/backend/rpc"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Path is where a server has its bus.
const Path = "/messagebus/v1"

// The types of messages.
const (
	GeneralError        = "general_error"
	Event               = "event"
	SubscriptionRequest = "channel_subscription_request"
	SubscriptionEvent   = "channel_subscription_event"
	TraceRequest        = "trace_request"
	TraceResponse       = "trace_response"
	Request             = "jsonrpc_request"
	Response            = "jsonrpc_response"
)

// Executes tells whether messages of a type would run commands or move files
// on the other side.
func Executes(typ string) bool {
	return strings.HasPrefix(typ, "terminal_") || strings.HasPrefix(typ, "process_") || strings.HasPrefix(typ, "file_")
}

const (
	// MaxMessage is the most bytes of a message, before and after unpacking.
	// What is larger goes over /rpc.
	MaxMessage = 1 << 20
	// Validity is how long a message counts.
	Validity = time.Minute
	maxName  = 300 // of a channel: a host id has 253
	maxID    = 128
)

// ErrNotConnected is the error of a question to a host that is at no server's
// bus.
var ErrNotConnected = fleet.Errorf(fleet.Unavailable, "host is not connected to the message bus")

// Message is one message. The zero value of a field is left out.
type Message struct {
	Type, ID           string
	Sender, Channel    string
	BackChannel, RefID string
	Created, Expires   int64          // milliseconds
	Body               map[string]any // the fields of its type
}

// New makes a message that is good for a minute.
func New(typ, channel string, body map[string]any, now time.Time) Message {
	return Message{Type: typ, ID: uuid.NewString(), Sender: Self, Channel: channel, Body: body,
		Created: now.UnixMilli(), Expires: now.Add(Validity).UnixMilli()}
}

// Answer makes the answer to a message.
func (m Message) Answer(typ string, body map[string]any, now time.Time) Message {
	to := m.BackChannel
	if to == "" {
		to = m.Sender
	}
	a := New(typ, to, body, now)
	a.RefID = m.ID
	return a
}

// Refusal is the general_error that answers a message.
func (m Message) Refusal(err error, now time.Time) Message {
	text := err.Error()
	if fleet.CodeOf(err) == fleet.Internal {
		text = "internal error"
	}
	if hint := fleet.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	return m.Answer(GeneralError, map[string]any{"error": map[string]any{"code": int64(0), "message": text, "details": nil}}, now)
}

// Text is a field of the type that holds text, or "".
func (m Message) Text(name string) string { s, _ := m.Body[name].(string); return s }

// Texts is a field that holds a list of texts.
func (m Message) Texts(name string) ([]string, error) {
	list, ok := m.Body[name].([]any)
	if !ok {
		return nil, fleet.Errorf(fleet.Invalid, "cannot take %s: %s is no list", m.Type, name)
	}
	out := make([]string, len(list))
	for i, v := range list {
		if out[i], ok = v.(string); !ok {
			return nil, fleet.Errorf(fleet.Invalid, "cannot take %s: %s holds what is no text", m.Type, name)
		}
	}
	return out, nil
}

// header ties the fields that every message has to their places.
func (m *Message) header() map[string]*string {
	return map[string]*string{"type": &m.Type, "id": &m.ID, "sender": &m.Sender, "channel": &m.Channel,
		"back_channel": &m.BackChannel, "ref_id": &m.RefID}
}

// Encode makes the frame of a message, packed by an encoding, "" for none.
func Encode(m Message, encoding string) ([]byte, error) {
	fields := make(map[string]any, len(m.Body)+8)
	for name, v := range m.Body {
		if v != nil {
			fields[name] = v
		}
	}
	for name, v := range m.header() {
		if *v != "" {
			fields[name] = *v
		}
	}
	fields["created"], fields["expires"] = m.Created, m.Expires
	data, err := rpc.EncodeFrame(fields, encoding)
	if err == nil && len(data) > MaxMessage {
		err = fleet.Errorf(fleet.TooLarge, "it is larger than %d bytes", MaxMessage)
	}
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeOf(err), "cannot send %s: %w", m.Type, err)
	}
	return data, nil
}

// Decode reads a frame. The error is Invalid or TooLarge; what is known of the
// message, its id above all, comes with it, for the answer.
func Decode(data []byte, encoding string) (m Message, err error) {
	fields, err := rpc.DecodeFrame(data, encoding, MaxMessage)
	if err != nil {
		code := fleet.Invalid
		if fleet.CodeOf(err) == fleet.TooLarge {
			code = fleet.TooLarge
		}
		return m, fleet.Errorf(code, "cannot read message: %w", err)
	}
	for name, to := range m.header() {
		v, given := fields[name]
		delete(fields, name)
		if !given || v == nil {
			continue
		}
		s, ok := v.(string)
		if !ok || len(s) > maxName || (name == "id" || name == "ref_id" || name == "type") && len(s) > maxID {
			err = fleet.Errorf(fleet.Invalid, "cannot read message: its %s is no short text", name)
			continue
		}
		*to = s
	}
	for name, to := range map[string]*int64{"created": &m.Created, "expires": &m.Expires} {
		if *to, err = millis(fields[name], name, err); fields[name] != nil {
			delete(fields, name)
		}
	}
	m.Body = fields
	if err == nil && (m.Type == "" || m.ID == "" || m.Channel == "") {
		err = fleet.Errorf(fleet.Invalid, "cannot read message: it needs type, id and channel")
	}
	return m, err
}

// millis reads a time; some clients write it as a float. An earlier error stays.
func millis(v any, name string, err error) (int64, error) {
	switch v := v.(type) {
	case nil:
		return 0, err
	case int64:
		return v, err
	case float64:
		if v > -1<<53 && v < 1<<53 {
			return int64(v), err
		}
	}
	if err == nil {
		err = fleet.Errorf(fleet.Invalid, "cannot read message: %s is no time", name)
	}
	return 0, err
}
