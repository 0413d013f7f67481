package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/kit/term"
)

// hostID is the machine that the demo plays.
const hostID = "far-away.demo.example"

// syncEvent fills the caches and installs nothing, as the seed's timer does for
// machines that are seldom in the office.
const syncEvent = "timer"

// newHost is what `fernwerk host create --json` answers.
type newHost struct {
	HostID          string `json:"hostId"`
	OneTimePassword string `json:"oneTimePassword"`
	CAFingerprint   string `json:"caFingerprint"`
}

// status is what the demo reads of `fernwerk-agent status --json`.
type status struct {
	Unsent int             `json:"unsent"`
	Flags  map[string]bool `json:"flags"`
	Cache  struct {
		Products []struct {
			ProductID      string `json:"productId"`
			ProductVersion string `json:"productVersion"`
			Cached         bool   `json:"cached"`
		} `json:"products"`
		BytesDone  int64 `json:"bytesDone"`
		BytesTotal int64 `json:"bytesTotal"`
	} `json:"cache"`
	Changes []change `json:"changes"` // newest first
}

type change struct {
	ID     string `json:"id"`
	Event  string `json:"event"`
	Status string `json:"status"`
	Text   string `json:"text"`
}

// ended tells whether the change has ended, and is an error if it failed.
func (s status) ended(id string) (bool, error) {
	for _, c := range s.Changes {
		if c.ID != id {
			continue
		}
		if c.Status == "failed" {
			return true, fmt.Errorf("the agent's event %s failed: %s", c.Event, c.Text)
		}
		return c.Status == "done", nil
	}
	return false, nil
}

// cached tells whether both caches are complete, with this version of a product.
func (s status) cached(t *tree) bool {
	if !s.Flags["config_cached"] || !s.Flags["products_cached"] {
		return false
	}
	for _, p := range s.Cache.Products {
		if p.ProductID == t.id {
			return p.Cached && p.ProductVersion == t.version
		}
	}
	return false
}

// agentCommand runs fernwerk-agent to its end.
func (d *demo) agentCommand(ctx context.Context, args ...string) ([]byte, error) {
	argv := append([]string{d.program("fernwerk-agent")}, args...)
	return d.do(ctx, d.environment(), append(argv, "--data", d.path("agent"))...)
}

func (d *demo) status(ctx context.Context) (s status, err error) {
	out, err := d.agentCommand(ctx, "status", "--json")
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	return s, err
}

// boot starts the agent as if the machine had started.
func (d *demo) boot(ctx context.Context) (err error) {
	d.boots++
	d.agent, err = d.start(ctx, d.environment(fmt.Sprintf("FERNWERK_BOOT_ID=demo-boot-%d", d.boots)),
		d.program("fernwerk-agent"), "run", "--data", d.path("agent"), "--control", "127.0.0.1:0")
	return err
}

// join creates the host, joins it and starts its agent.
func (d *demo) join(ctx context.Context) error {
	out, err := d.admin(ctx, "host", "create", hostID, "--description", "seldom in the office", "--json")
	if err == nil {
		err = json.Unmarshal(out, &d.host)
	}
	if err != nil {
		return err
	}
	if _, err := d.agentCommand(ctx, "join", "--server", "https://"+d.line.Addr().String(), "--host-id", d.host.HostID,
		"--one-time-password", d.host.OneTimePassword, "--ca-fingerprint", d.host.CAFingerprint); err != nil {
		return err
	}
	for _, product := range []string{baseProduct, mainProduct} {
		target, err := json.Marshal([]string{d.target})
		if err != nil {
			return err
		}
		if _, err := d.admin(ctx, "rpc", "productPropertyState_create", product, "target", hostID, string(target)); err != nil {
			return err
		}
	}
	if err := d.schedule(ctx); err != nil {
		return err
	}
	if err := d.boot(ctx); err != nil {
		return err
	}
	// Its first contact is at its start.
	if err := d.started(ctx, ""); err != nil {
		return err
	}
	d.tell("%s runs; its property target is %s", hostID, d.target)
	return nil
}

// schedule switches the seed's timer on, by host parameters as it says, so late
// that it never fires by itself here: what we measure shall happen once.
func (d *demo) schedule(ctx context.Context) error {
	for parameter, value := range map[string]string{"active": "[true]", "start_interval": `["86400"]`} {
		id := "opsiclientd.event_" + syncEvent + "." + parameter
		if _, err := d.admin(ctx, "rpc", "configState_create", id, hostID, value); err != nil {
			return err
		}
	}
	return nil
}

// fire makes the sync event occur and waits until all that it asks for is done.
func (d *demo) fire(ctx context.Context) error {
	_, err := d.agentCommand(ctx, "fire", syncEvent, "--wait")
	if gone := d.agent.gone(); gone != nil {
		return gone
	}
	return err
}

// fill requests the action and waits for both caches.
func (d *demo) fill(ctx context.Context) error {
	if err := d.request(ctx); err != nil {
		return err
	}
	took, wire, err := d.sync(ctx)
	if err != nil {
		return err
	}
	d.figures.SyncSeconds = round(took.Seconds(), 3)
	d.figures.WireBytes = wire
	d.figures.GoodputRatio = round(float64(d.ideal)/float64(d.Rate)/took.Seconds(), 4)
	d.tell("both caches are complete after %.1f s; the line carried %s; goodput %.2f of tar | zstd -3 at full rate",
		took.Seconds(), term.Bytes(wire), d.figures.GoodputRatio)
	return nil
}

// request asks for the main product; what it depends on comes with it.
func (d *demo) request(ctx context.Context) error {
	out, err := d.admin(ctx, "action", "set", mainProduct, "setup", "--host", hostID, "--json")
	if err != nil {
		return err
	}
	var list []struct{ ProductID, ActionRequest string }
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	var words []string
	for _, r := range list {
		words = append(words, r.ActionRequest+" of "+r.ProductID)
	}
	d.tell("requested, in this order: %s", strings.Join(words, ", "))
	return nil
}

// sync fires the event and waits until both caches hold the main product, by
// our clock and by the bytes on the line.
func (d *demo) sync(ctx context.Context) (took time.Duration, wire int64, err error) {
	bar := term.NewProgress(d.Out, d.Mode, "   caching", 0, 0)
	done := make(chan error, 1)
	d.line.Reset()
	began := time.Now()
	go func() { done <- d.fire(ctx) }()
	err = d.watch(ctx, done, bar)
	took = time.Since(began)
	up, down := d.line.Counts()
	if err == nil {
		err = d.complete(ctx, bar)
	}
	bar.Close()
	return took, up + down, err
}

// watch moves the bar until something is done. It asks seldom, as each question
// is a process on the machine that is measured.
func (d *demo) watch(ctx context.Context, done <-chan error, bar *term.Progress) error {
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			// One that is complete is that of the version before, or is told by who waits.
			if s, err := d.status(ctx); err == nil && s.Cache.BytesDone < s.Cache.BytesTotal {
				bar.Set(s.Cache.BytesDone, s.Cache.BytesTotal)
			}
		}
	}
}

// complete is an error unless both caches hold the main product.
func (d *demo) complete(ctx context.Context, bar *term.Progress) error {
	s, err := d.status(ctx)
	if err != nil {
		return err
	}
	bar.Set(s.Cache.BytesDone, max(s.Cache.BytesTotal, s.Cache.BytesDone))
	if main := d.trees[1]; !s.cached(main) {
		return fmt.Errorf("%s %s is not in the caches: %+v", main.id, main.version, s)
	}
	return nil
}

// install restarts the machine with no server anywhere, and looks at what it
// installed.
func (d *demo) install(ctx context.Context) error {
	if err := d.refused(ctx); err != nil {
		return err
	}
	if err := d.reboot(ctx); err != nil {
		return err
	}
	if err := d.refused(ctx); err != nil {
		return err
	}
	files, size, err := compare(ctx, d.trees[1].src(), d.path("installed", "src"))
	if err != nil {
		return err
	}
	d.figures.Files, d.figures.Bytes, d.figures.OfflineInstall = files, size, true
	order, err := d.order()
	if err != nil {
		return err
	}
	want := []string{baseProduct + " 1.0", mainProduct + " 1.0: hello from the cache"}
	if strings.Join(order, "\n") != strings.Join(want, "\n") {
		return fmt.Errorf("the order was %q, not %q", order, want)
	}
	d.tell("installed in this order: %s, %s", order[0], order[1])
	d.tell("%d files, %s: each equal to its source; nobody answered at %s meanwhile", files, term.Bytes(size), d.port)
	return nil
}

// reboot stops the agent, starts it with a new boot id and waits until the
// actions that the start brings are done.
func (d *demo) reboot(ctx context.Context) error {
	before, err := d.status(ctx)
	if err != nil {
		return err
	}
	d.agent.end()
	if err := d.boot(ctx); err != nil {
		return err
	}
	last := ""
	if len(before.Changes) > 0 {
		last = before.Changes[0].ID
	}
	return d.started(ctx, last)
}

// started waits until what the agent's start brings is done; last is the newest
// change from before.
func (d *demo) started(ctx context.Context, last string) error {
	return await(ctx, d.agent, 3*time.Minute, "the end of what the start brings", func() (bool, error) {
		s, err := d.status(ctx)
		if err != nil {
			return false, err
		}
		for _, c := range s.Changes {
			if c.ID == last {
				break
			}
			if strings.HasPrefix(c.Event, "opsiclientd_start") {
				return s.ended(c.ID)
			}
		}
		return false, nil
	})
}

// knows is what the server knows of a product on the host.
type knows struct {
	ProductID          string `json:"productId"`
	ProductVersion     string `json:"productVersion"`
	InstallationStatus string `json:"installationStatus"`
	ActionRequest      string `json:"actionRequest"`
	ActionResult       string `json:"actionResult"`
}

// merge starts the server again, lets the agent meet it, and asks it.
func (d *demo) merge(ctx context.Context) error {
	if err := d.startServer(ctx); err != nil {
		return err
	}
	if err := d.fire(ctx); err != nil {
		return err
	}
	if err := d.reported(ctx, d.trees...); err != nil {
		return err
	}
	log, err := d.admin(ctx, "log", "show", hostID, "instlog")
	if err != nil {
		return err
	}
	if !strings.Contains(string(log), "hello from the cache, "+hostID) {
		return errors.New("the log on the server does not hold what the script said")
	}
	d.tell("the installation log is there, %s", term.Bytes(int64(len(log))))
	if err := d.history(ctx); err != nil {
		return err
	}
	d.figures.Merged = true
	return nil
}

// history shows what the server's journal says of the host's own changes, and
// is an error if it does not have the results of all products.
func (d *demo) history(ctx context.Context) error {
	out, err := d.admin(ctx, "host", "history", hostID, "--limit", "50", "--json")
	if err != nil {
		return err
	}
	var entries []struct {
		At, Actor, Class, Object string
		After                    map[string]any
	}
	if err := json.Unmarshal(out, &entries); err != nil {
		return err
	}
	for _, t := range d.trees {
		found := false
		for _, e := range entries {
			if e.Actor == "host "+hostID && e.Class == "productOnClient" && strings.HasPrefix(e.Object, t.id+";") && e.After["actionResult"] == "successful" {
				d.tell("the history says: %s %s: %s, actionResult %s", e.At, e.Actor, t.id, e.After["actionResult"])
				found = true
				break
			}
		}
		if !found {
			return fmt.Errorf("the server's history does not hold the result of %s", t.id)
		}
	}
	return nil
}

// reported asks the server about products, and is an error unless each is
// installed in its version, successfully, with nothing left to do.
func (d *demo) reported(ctx context.Context, trees ...*tree) error {
	out, err := d.admin(ctx, "action", "list", "--all", "--host", hostID, "--json")
	if err != nil {
		return err
	}
	var list []knows
	if err := json.Unmarshal(out, &list); err != nil {
		return err
	}
	for _, t := range trees {
		want := knows{t.id, t.version, "installed", "none", "successful"}
		var got knows
		for _, k := range list {
			if k.ProductID == t.id {
				got = k
			}
		}
		if got != want {
			return fmt.Errorf("the server knows %+v, not %+v", got, want)
		}
		d.tell("the server knows: %s %s is %s, result %s, nothing requested", got.ProductID, got.ProductVersion, got.InstallationStatus, got.ActionResult)
	}
	return nil
}

func round(f float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(f*scale) / scale
}
