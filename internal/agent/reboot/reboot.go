// Package reboot carries out the reboots that product actions and events ask for.
//
// A request is one row of the agent's database, written in the transaction that
// records the result which asked for it. So it survives a kill, is carried out
// once, and has come true when the machine has another boot id, whoever booted
// it. How long it waits, and how often people may put it off, is the event's
// configuration:
//
//	shutdown_warning_time             until it is carried out unasked
//	shutdown_user_cancelable          how often it may be put off
//	shutdown_warning_repetition_time  for how long each time
//	shutdown_last_time                from the request on: later than that never
//
// People accept it or put it off by the command line or the control interface.
//
// [Keeper] carries it out when it is due and nothing is being installed: by the
// machine's own command, or one of the configuration. A command that fails, or
// that ends without the machine going down, is tried [MaxTries] times and then
// left alone; the request stays and is shown. Time that a laptop slept is no
// warning: a request that falls due in it waits its warning time anew.
//
// A script that wants to go on after a boot leaves a step, see [Step].
package reboot

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Policy is how a request is carried out, by the event that it came from.
type Policy struct {
	Warning   time.Duration // until it is carried out unasked
	Deferrals int64         // how often it may be put off
	Repeat    time.Duration // for how long each time
	Last      time.Duration // from the request on: not later; 0 is no such limit
}

// Wish is what is asked for.
type Wish struct {
	Text string
	// Hold keeps further actions from being begun before the reboot; the change
	// After goes on behind it.
	Hold  bool
	After string
	Policy
}

// Request is the one reboot that waits.
type Request struct {
	Name     string `col:"name,ident"`
	Boot     string `col:"boot"` // in which it was asked for
	Text     string `col:"text"`
	Hold     bool   `col:"hold"`
	After    string `col:"after"` // id of the change that goes on afterwards, or ""
	Asked    string `col:"asked,time"`
	Due      string `col:"due,time"`
	Latest   string `col:"latest,time"` // "" is no limit
	Warning  int64  `col:"warning"`     // seconds
	Repeat   int64  `col:"repeat"`      // seconds
	MayDefer int64  `col:"mayDefer"`    // how often it may still be put off
	Deferred int64  `col:"deferred"`
	Carried  string `col:"carried,time"` // the command was begun last
	Tries    int64  `col:"tries"`
	Trouble  string `col:"trouble"` // of the last try
}

// step is where a script goes on after a boot.
type step struct {
	Script string `col:"script,ident"`
	Step   string `col:"step"`
	Boots  int64  `col:"boots"`
}

var (
	requests = fleet.LocalClass[Request]("rebootRequest")
	steps    = fleet.LocalClass[step]("rebootStep")
)

// Classes are the classes of the package, for [store.Open].
func Classes() []*fleet.Class { return []*fleet.Class{requests, steps} }

const (
	only    = "reboot" // the row's name
	maxText = 500      // characters of all texts together
)

// Read is the request that waits, if one does: one of an earlier boot has come
// true.
func Read(tx *store.Tx, boot string) (Request, bool, error) {
	r, ok, err := row(tx)
	return r, ok && r.Boot == boot, err
}

func row(tx *store.Tx) (r Request, ok bool, err error) {
	found, err := tx.ByKey(requests, only)
	if err != nil {
		return r, false, fmt.Errorf("cannot read the reboot request: %w", err)
	}
	if found != nil {
		requests.Decode(found, &r)
	}
	return r, found != nil, nil
}

func put(tx *store.Tx, r Request) error {
	if err := tx.Put(requests, requests.Encode(r)); err != nil {
		return fmt.Errorf("cannot keep the reboot request: %w", err)
	}
	return nil
}

// Ask adds a wish to what waits already: the earlier time counts, and the
// stricter policy, and whatever one of them holds up is held up.
func Ask(tx *store.Tx, boot string, w Wish) error {
	r, ok, err := Read(tx, boot)
	if err != nil {
		return err
	}
	now := tx.Now()
	asked := Request{Name: only, Boot: boot, Asked: stamp(now), Due: stamp(now.Add(w.Warning)),
		Warning: seconds(w.Warning), Repeat: seconds(w.Repeat), MayDefer: w.Deferrals}
	if w.Last > 0 {
		asked.Latest = stamp(now.Add(w.Last))
	}
	if ok {
		asked.Asked, asked.Text = r.Asked, r.Text
		if r.Tries < MaxTries { // else whoever asks anew may have another answer
			asked.Carried, asked.Tries = r.Carried, r.Tries
		}
		asked.Hold, asked.After, asked.Deferred = r.Hold, r.After, r.Deferred
		asked.Due = min(r.Due, asked.Due)
		asked.Warning, asked.MayDefer = min(r.Warning, asked.Warning), min(r.MayDefer, asked.MayDefer)
		if r.Latest != "" {
			asked.Latest = clip(r.Latest, asked.Latest)
		}
	}
	asked.Hold = asked.Hold || w.Hold
	if w.After != "" {
		asked.After = w.After
	}
	texts := strings.Split(asked.Text, "; ")
	if w.Text != "" && !slices.Contains(texts, w.Text) {
		asked.Text = strings.TrimPrefix(asked.Text+"; "+w.Text, "; ")
	}
	if long := []rune(asked.Text); len(long) > maxText {
		asked.Text = string(long[:maxText])
	}
	asked.Due = clip(asked.Due, asked.Latest)
	return put(tx, asked)
}

// clip is a time that is not after the latest, "" being none.
func clip(due, latest string) string {
	if latest != "" && latest < due {
		return latest
	}
	return due
}

// Booted takes what was asked for in an earlier boot: it has come true.
func Booted(tx *store.Tx, boot string) (r Request, ok bool, err error) {
	r, ok, err = row(tx)
	if err != nil || !ok || r.Boot == boot {
		return Request{}, false, err
	}
	return r, true, tx.RemoveKey(requests, only)
}

// Accept makes the request due at once.
func Accept(tx *store.Tx, boot string) error {
	r, err := waiting(tx, boot)
	if err != nil {
		return err
	}
	r.Due, r.Tries, r.Trouble, r.Carried = tx.Stamp(), 0, "", ""
	return put(tx, r)
}

// Later puts the request off: for as long as the configuration says, or for a
// time that is given and no longer.
func Later(tx *store.Tx, boot string, by time.Duration) (Request, error) {
	r, err := waiting(tx, boot)
	if err != nil {
		return r, err
	}
	repeat := time.Duration(r.Repeat) * time.Second
	if by <= 0 {
		by = repeat
	}
	switch {
	case r.MayDefer <= 0:
		return r, fleet.Errorf(fleet.Denied, "cannot put the reboot off: it was put off %d times, and may not be any more", r.Deferred)
	case by > repeat:
		return r, fleet.Errorf(fleet.Denied, "cannot put the reboot off by %v: %v is the most", by, repeat)
	}
	due := clip(stamp(tx.Now().Add(by)), r.Latest)
	if due <= max(r.Due, tx.Stamp()) && r.Latest != "" && due == r.Latest {
		return r, fleet.Errorf(fleet.Denied, "cannot put the reboot off: it is at %s UTC at the latest", r.Latest)
	}
	r.Due, r.MayDefer, r.Deferred = max(due, tx.Stamp()), r.MayDefer-1, r.Deferred+1
	return r, put(tx, r)
}

func waiting(tx *store.Tx, boot string) (Request, error) {
	r, ok, err := Read(tx, boot)
	if err == nil && !ok {
		err = fleet.Errorf(fleet.NotFound, "nothing here asks for a reboot")
	}
	return r, err
}

// MaxBoots is how often one action may ask to go on after a boot.
const MaxBoots = 10

// Step is where the script of a key goes on, "" for the beginning.
func Step(tx *store.Tx, key string) (string, error) {
	s, err := stepOf(tx, key)
	return s.Step, err
}

// MayGoOn is an error, with code conflict, for a script that has gone on after
// [MaxBoots] reboots and never came to its end.
func MayGoOn(tx *store.Tx, key, to string) error {
	s, err := stepOf(tx, key)
	if err == nil && s.Boots >= MaxBoots {
		err = fleet.Errorf(fleet.Conflict, "asked %d times to go on after a reboot, the last time at %q: given up", MaxBoots+1, to)
	}
	return err
}

// GoOn keeps where the script of a key goes on after the boot.
func GoOn(tx *store.Tx, key, to string) error {
	if err := MayGoOn(tx, key, to); err != nil {
		return err
	}
	s, err := stepOf(tx, key)
	if err != nil {
		return err
	}
	return tx.Put(steps, steps.Encode(step{Script: key, Step: to, Boots: s.Boots + 1}))
}

func stepOf(tx *store.Tx, key string) (s step, err error) {
	found, err := tx.ByKey(steps, key)
	if err != nil {
		return s, fmt.Errorf("cannot read where %s goes on: %w", key, err)
	}
	if found != nil {
		steps.Decode(found, &s)
	}
	return s, nil
}

// Forget ends it: the script came to its end.
func Forget(tx *store.Tx, key string) error { return tx.RemoveKey(steps, key) }

func stamp(t time.Time) string      { return t.UTC().Format(time.DateTime) }
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
func at(text string) (time.Time, bool) {
	t, err := time.Parse(time.DateTime, text)
	return t, err == nil
}
