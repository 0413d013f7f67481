package service

import (
	"context"
	"fmt"
	"time"

	"github.com/fernwerk/fernwerk/internal/ctl/offline"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/trust"
)

// Ends of documents that are worth a word. The timestamp is signed anew each day
// and counts for four.
const (
	timestampSoon = 48 * time.Hour
	signedSoon    = 30 * 24 * time.Hour
)

// checkTrust looks whether what hosts may run is signed, and until when.
func (t command) checkTrust(ctx context.Context) finding {
	there, err := offline.Ask(ctx, t.Tool)
	switch {
	case fleet.CodeOf(err) == fleet.NotFound, fleet.CodeOf(err) == fleet.NotHere, fleet.CodeOf(err) == fleet.Denied:
		return fine("this server or account has nothing to do with it")
	case err != nil:
		return finding{"bad", err.Error(), fleet.HintOf(err)}
	case len(there.Roots) == 0:
		return fine("nothing is signed: hosts believe the server (fernwerk trust init)")
	case there.Timestamp == "":
		return finding{"warning", "there is a trust root, and no signed list", "fernwerk trust publish DIR"}
	}
	return judgeTrust(there, time.Now())
}

func judgeTrust(there *offline.Remote, now time.Time) finding {
	at, err := trust.ParseTimestamp([]byte(there.Timestamp))
	if err != nil {
		return finding{"bad", err.Error(), ""}
	}
	list, err := trust.ParseTargets(trust.RoleTargets, []byte(there.Targets))
	if err != nil {
		return finding{"bad", err.Error(), ""}
	}
	root, err := trust.ParseRoot([]byte(there.Roots[len(there.Roots)-1]))
	if err != nil {
		return finding{"bad", err.Error(), ""}
	}
	until := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }
	switch {
	case at.Expires.Sub(now) < 0:
		return finding{"bad", "the timestamp ended on " + until(at.Expires) + ": hosts say that what they have is stale", "the server signs it each day: its log says why it did not"}
	case at.Expires.Sub(now) < timestampSoon:
		return finding{"warning", "the timestamp ends on " + until(at.Expires), "the server signs it each day: its log says why it did not"}
	case list.Expires.Sub(now) < signedSoon:
		return finding{"warning", "the signed list ends on " + until(list.Expires), "fernwerk trust renew DIR; then: fernwerk trust publish DIR"}
	case root.Expires.Sub(now) < signedSoon:
		return finding{"warning", "the root ends on " + until(root.Expires), "fernwerk trust renew --root DIR; then: fernwerk trust publish DIR"}
	}
	return fine("%s", fmt.Sprintf("root %d, list %d with %d names", root.Version, list.Version, len(list.Targets)))
}
