package openvpn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Kind is what an [Event] is about.
type Kind string

// The kinds. Those of clients have a CID; a connection that asks to be let in, and
// one that proves itself anew, a KID too.
const (
	Connect     Kind = "CLIENT:CONNECT"
	Reauth      Kind = "CLIENT:REAUTH"
	Established Kind = "CLIENT:ESTABLISHED"
	Disconnect  Kind = "CLIENT:DISCONNECT"
	Response    Kind = "CLIENT:CR_RESPONSE" // to a challenge; nobody makes any here
	Address     Kind = "CLIENT:ADDRESS"
	ByteCount   Kind = "BYTECOUNT"     // of openvpn as a client
	ClientBytes Kind = "BYTECOUNT_CLI" // of one client
	State       Kind = "STATE"
	Hold        Kind = "HOLD"
	Up          Kind = "UPDOWN:UP"
	Down        Kind = "UPDOWN:DOWN"
	Info        Kind = "INFO"
	Fatal       Kind = "FATAL"
	Other       Kind = "" // Text is the whole of it
)

// Event is what openvpn says by itself.
type Event struct {
	Kind     Kind
	CID, KID uint64
	Addr     netip.Addr // of Address
	Primary  bool       // of Address: the client's own, and no route to behind it
	In, Out  uint64     // of ByteCount and ClientBytes
	Text     string     // of State, Hold, Info, Fatal, Response and Other
	Env      []string   // name=value
	// Cut says that there were more variables than are kept: nothing is to be
	// decided by them.
	Cut bool
}

// Var is a variable of the event, "" if it has none. A name that is there twice
// has no value: nobody knows which.
func (e Event) Var(name string) string {
	value, found := "", false
	for _, v := range e.Env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			if found {
				return ""
			}
			value, found = rest, true
		}
	}
	return value
}

// block tells whether variables follow.
func (k Kind) block() bool {
	switch k {
	case Connect, Reauth, Established, Disconnect, Response, Up, Down:
		return true
	}
	return false
}

// Lines are the event as openvpn writes it.
func (e Event) Lines() []string {
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	first := ">" + string(e.Kind)
	switch e.Kind {
	case Connect, Reauth:
		first += "," + n(e.CID) + "," + n(e.KID)
	case Response:
		first += "," + n(e.CID) + "," + n(e.KID) + "," + e.Text
	case Established, Disconnect:
		first += "," + n(e.CID)
	case Address:
		primary := "0"
		if e.Primary {
			primary = "1"
		}
		return []string{first + "," + n(e.CID) + "," + e.Addr.String() + "," + primary}
	case ByteCount:
		return []string{first + ":" + n(e.In) + "," + n(e.Out)}
	case ClientBytes:
		return []string{first + ":" + n(e.CID) + "," + n(e.In) + "," + n(e.Out)}
	case Up, Down:
	case Other:
		return []string{">" + e.Text}
	default:
		return []string{first + ":" + e.Text}
	}
	all := []string{first}
	for _, v := range e.Env {
		all = append(all, e.prefix()+v)
	}
	return append(all, e.prefix()+"END")
}

func (e Event) prefix() string {
	head, _, _ := strings.Cut(string(e.Kind), ":")
	return ">" + head + ":ENV,"
}

// Parser reads what openvpn writes, line by line. The zero Parser is ready.
type Parser struct {
	open *Event // its variables follow
	size int
}

// Line reads one line, without its end. An event is given when it is whole;
// answer says that the line belongs to the answer to a command.
func (p *Parser) Line(line string) (e *Event, answer bool, err error) {
	if len(line) > maxLine || strings.ContainsAny(line, "\r\n\x00") {
		return nil, false, fmt.Errorf("a line of openvpn's has %d bytes, or characters that it may not have", len(line))
	}
	if p.open != nil {
		e, err := p.variable(line)
		return e, false, err
	}
	rest, ok := strings.CutPrefix(line, ">")
	if !ok {
		return nil, true, nil
	}
	e, err = event(rest)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read %.100q of openvpn: %w", line, err)
	}
	if e.Kind.block() {
		p.open, p.size = e, 0
		return nil, false, nil
	}
	return e, false, nil
}

func (p *Parser) variable(line string) (*Event, error) {
	text, ok := strings.CutPrefix(line, p.open.prefix())
	if !ok {
		return nil, fmt.Errorf("cannot read %.100q of openvpn: it stands among variables", line)
	}
	if text == "END" {
		e := p.open
		p.open = nil
		return e, nil
	}
	if name, _, ok := strings.Cut(text, "="); !ok || name == "" {
		return nil, fmt.Errorf("cannot read %.100q of openvpn: it is no variable", line)
	}
	if p.size += len(text); len(p.open.Env) >= maxEnv || p.size > maxBlock {
		p.open.Cut = true
		return nil, nil
	}
	p.open.Env = append(p.open.Env, text)
	return nil, nil
}

// event reads a line behind its >.
func event(text string) (*Event, error) {
	word, rest, ok := strings.Cut(text, ":")
	if !ok {
		return &Event{Text: text}, nil
	}
	e := &Event{Kind: Kind(word), Text: rest}
	switch e.Kind {
	case State, Hold, Info, Fatal:
		return e, nil
	case ByteCount:
		return e.numbers(rest, &e.In, &e.Out)
	case ClientBytes:
		return e.numbers(rest, &e.CID, &e.In, &e.Out)
	}
	switch word {
	case "UPDOWN":
		if e.Kind = Kind(text); e.Kind != Up && e.Kind != Down {
			return nil, fmt.Errorf("nobody knows %q", rest)
		}
		e.Text = ""
		return e, nil
	case "CLIENT":
		return client(rest)
	}
	return &Event{Text: text}, nil
}

func client(rest string) (*Event, error) {
	word, rest, _ := strings.Cut(rest, ",")
	e := &Event{Kind: Kind("CLIENT:" + word)}
	switch e.Kind {
	case Connect, Reauth:
		return e.numbers(rest, &e.CID, &e.KID)
	case Established, Disconnect:
		return e.numbers(rest, &e.CID)
	case Response:
		part := strings.SplitN(rest, ",", 3)
		if len(part) != 3 {
			return nil, fmt.Errorf("it has %d parts", len(part))
		}
		e.Text = part[2]
		if _, err := e.numbers(part[0]+","+part[1], &e.CID, &e.KID); err != nil {
			return nil, err
		}
		e.Text = part[2]
		return e, nil
	case Address:
		part := strings.Split(rest, ",")
		if len(part) != 3 || part[2] != "0" && part[2] != "1" {
			return nil, fmt.Errorf("it is no address of a client")
		}
		// A network behind a client is written 10.0.0.0/8; nobody gives any here.
		a, err := netip.ParseAddr(part[1])
		if err != nil || a.String() != part[1] {
			return nil, fmt.Errorf("%.60q is no address", part[1])
		}
		e.Addr, e.Primary = a, part[2] == "1"
		return e.numbers(part[0], &e.CID)
	}
	return nil, fmt.Errorf("nobody knows CLIENT:%.40s", word)
}

// numbers reads decimal numbers, written as they are written back.
func (e *Event) numbers(text string, to ...*uint64) (*Event, error) {
	part := strings.Split(text, ",")
	if len(part) != len(to) {
		return nil, fmt.Errorf("it has %d numbers, not %d", len(part), len(to))
	}
	for i, s := range part {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || strconv.FormatUint(n, 10) != s {
			return nil, fmt.Errorf("%.30q is no number", s)
		}
		*to[i] = n
	}
	e.Text = ""
	return e, nil
}
