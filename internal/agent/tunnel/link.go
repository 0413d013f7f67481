package tunnel

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/openvpn"
)

const (
	firstWait = 500 * time.Millisecond
	lastWait  = 30 * time.Second
	// renewLook is how often the certificate of a tunnel that is up is looked at.
	renewLook = 10 * time.Minute
	// strayLook is after how long without the tunnel the server is asked whether its
	// configuration is still the one; then after twice as long, up to renewLook.
	strayLook = 20 * time.Second
)

// link keeps one tunnel up.
type link struct {
	*Service
	place Place
	left  chan struct{} // closed: it shall be up no longer
	once  sync.Once
	force bool // fetch credentials although they look good: the server refused us
	st    Status
}

func newLink(s *Service, p Place) *link {
	return &link{Service: s, place: p, left: make(chan struct{})}
}

func (l *link) leave() { l.once.Do(func() { close(l.left) }) }

// serve keeps the tunnel up until it shall be no longer, or ctx ends: then openvpn
// stays.
func (l *link) serve(ctx context.Context) {
	l.st, _ = readStatus(l.place.Dir) // of the agent before
	l.st.Name = l.place.Name
	if c, _, err := reach(ctx, l.place); err != nil {
		l.forget(ctx) // the way to the server may need the machine's own ones
	} else {
		c.Close()
	}
	wait := firstWait
	for {
		began := time.Now()
		err := l.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if l.over() {
			l.down(ctx)
			return
		}
		if time.Since(began) > time.Minute {
			wait = firstWait
		}
		l.failed(ctx, err)
		l.Log.Warn("Tunnel is tried again", "tunnel", l.place.Name, "after", wait, "error", err, "hint", fleet.HintOf(err))
		select {
		case <-ctx.Done():
			return
		case <-l.left:
			l.down(ctx)
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

func (l *link) over() bool {
	select {
	case <-l.left:
		return true
	default:
		return false
	}
}

// failed notes why there is no tunnel.
func (l *link) failed(ctx context.Context, err error) {
	l.forget(ctx)
	l.set(func(st *Status) {
		st.State, st.Problem, st.Address, st.PID = Connecting, err.Error(), "", 0
		if why := refusal(l.place.path(logFile)); errors.Is(err, errEnded) && why != "" {
			st.State, st.Problem, l.force = Refused, why, true
		}
	})
}

// down leaves the tunnel.
func (l *link) down(ctx context.Context) {
	if err := end(ctx, l.place); err != nil {
		l.Log.Warn("Tunnel's openvpn does not end", "tunnel", l.place.Name, "error", err)
	}
	l.forget(ctx)
	l.set(func(st *Status) { *st = Status{Name: l.place.Name, State: Off} })
	l.Log.Info("Tunnel is left", "tunnel", l.place.Name)
}

// owner is the tunnel's name for the machine's resolver.
func (l *link) owner() string { return owned + l.place.Name }

// forget takes back what the machine was told of the tunnel's DNS servers.
func (l *link) forget(ctx context.Context) {
	if err := l.resolver().Remove(ctx, l.owner()); err != nil {
		l.Log.Warn("Tunnel's DNS servers stay", "tunnel", l.place.Name, "error", err)
	}
	if l.st.DNSBy != "" {
		l.set(func(st *Status) { st.DNS, st.Search, st.DNSBy = nil, nil, "" })
	}
}

// again tells of them once more: the agent before may have died over it.
func (l *link) again(ctx context.Context) {
	by, err := l.resolver().Again(ctx, l.owner())
	if err != nil {
		l.Log.Warn("Tunnel's DNS servers are not used", "tunnel", l.place.Name, "error", err)
	}
	l.set(func(st *Status) { st.DNSBy = by })
}

func (l *link) set(change func(*Status)) {
	was := l.st.State
	change(&l.st)
	if l.st.State != was {
		l.st.Since = time.Now().UTC().Truncate(time.Second)
	}
	if err := l.st.write(l.place.Dir); err != nil {
		l.Log.Warn("Tunnel's state is not noted", "tunnel", l.place.Name, "error", err)
	}
}

// errEnded is that openvpn ended, or closed its socket.
var errEnded = errors.New("openvpn ended")

// session has openvpn run until something is wrong.
func (l *link) session(ctx context.Context) error {
	if err := l.credentials(ctx); err != nil {
		return err
	}
	c, pid, err := l.attach(ctx)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	defer c.Close()
	events, ended := make(chan openvpn.Event, 1024), make(chan error, 1)
	all.Go(func() {
		ended <- c.Serve(ctx, func(e openvpn.Event) {
			select {
			case events <- e:
			case <-ctx.Done():
			}
		})
	})
	if err := l.begin(ctx, c, pid); err != nil {
		return errors.Join(errEnded, err)
	}
	stray := strayLook
	look := time.NewTimer(stray)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.left:
			return nil
		case err := <-ended:
			return errors.Join(errEnded, err)
		case e := <-events:
			was := l.st.State
			if err := l.happened(ctx, c, e); err != nil {
				return errors.Join(errEnded, err)
			}
			if was == Connected && l.st.State != was {
				stray = strayLook
				look.Reset(stray)
			}
		case <-look.C:
			if err := l.renew(ctx, c); err != nil {
				return errors.Join(errEnded, err)
			}
			if stray = min(2*stray, renewLook); l.st.State == Connected {
				stray = renewLook
			}
			look.Reset(stray)
		}
	}
}

// renew makes the place good while openvpn runs. Without the tunnel what looks good may
// be of yesterday: the server may use another port, or UDP.
func (l *link) renew(ctx context.Context, c *openvpn.Conn) error {
	fetch := l.Client.Fetch
	if l.st.State != Connected {
		fetch = l.Client.again
	}
	changed, until, err := fetch(ctx, l.place, true)
	if err != nil {
		l.Log.Warn("Tunnel credentials not renewed", "tunnel", l.place.Name, "error", err, "hint", fleet.HintOf(err))
	}
	if !changed {
		return nil
	}
	l.Log.Info("Tunnel credentials renewed", "tunnel", l.place.Name, "until", until)
	return c.Signal(ctx, openvpn.Reload)
}

// credentials makes the place good. What is there is used if the server is out of
// reach: the tunnel may be the way to it.
func (l *link) credentials(ctx context.Context) error {
	fetch := l.Client.Fetch
	if l.force {
		fetch = l.Client.again
	}
	_, until, err := fetch(ctx, l.place, true)
	if err == nil {
		l.force = false
		l.st.Until = until
		return nil
	}
	if until, due := l.Client.due(l.place); until.After(l.Client.Now()) || !due {
		l.Log.Warn("Tunnel credentials not renewed", "tunnel", l.place.Name, "error", err)
		return nil
	}
	return err
}

// begin lets openvpn begin, or takes over what it does.
func (l *link) begin(ctx context.Context, c *openvpn.Conn, pid int) error {
	now, err := c.States(ctx)
	if err != nil {
		return err
	}
	if err := c.Release(ctx); err != nil {
		return err
	}
	fresh := l.st.PID != pid
	if fresh {
		l.forget(ctx)
	}
	l.set(func(st *Status) {
		if st.PID = pid; fresh {
			st.State, st.Address = Connecting, ""
		}
		st.state(now)
	})
	if !fresh {
		l.again(ctx)
	}
	return nil
}

// state takes in one of openvpn's states: time,CONNECTED,SUCCESS,OURS,SERVER,...
func (st *Status) state(text string) {
	part := strings.Split(text, ",")
	if len(part) < 5 {
		return
	}
	if part[1] != "CONNECTED" || part[2] != "SUCCESS" {
		if st.State == Connected || st.State == "" {
			st.State = Connecting
		}
		return
	}
	ours, err := netip.ParseAddr(part[3])
	if err != nil {
		return
	}
	st.State, st.Address, st.Problem, st.Server = Connected, ours.String(), "", ""
	if server, err := netip.ParseAddr(part[4]); err == nil {
		st.Server = server.String()
	}
}

func (l *link) happened(ctx context.Context, c *openvpn.Conn, e openvpn.Event) error {
	switch e.Kind {
	case openvpn.Hold:
		return c.Release(ctx)
	case openvpn.State:
		was := l.st.State
		l.set(func(st *Status) { st.state(e.Text) })
		if l.st.State != was {
			l.Log.Info("Tunnel", "tunnel", l.place.Name, "state", l.st.State, "address", l.st.Address)
		}
	case openvpn.Up:
		l.forget(ctx)
		n := brought(l.owner(), e.Env)
		l.set(func(st *Status) { st.Device = n.Device })
		rule := ""
		if l.Rule != nil {
			rule = l.Rule(ctx, l.place.Name)
		}
		by, err := l.resolver().Apply(ctx, rule, n)
		if err != nil {
			l.Log.Warn("Tunnel's DNS servers are not used", "tunnel", l.place.Name, "error", err)
		}
		l.set(func(st *Status) {
			st.DNSBy, st.DNS, st.Search = by, nil, n.Search
			for _, a := range n.Servers {
				st.DNS = append(st.DNS, a.String())
			}
		})
	case openvpn.Down:
		l.forget(ctx)
	}
	return nil
}
