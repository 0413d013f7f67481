package enrolment

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
)

// Limits of a token.
const (
	mostUses    = 100_000
	longestLife = 366 * 24 * time.Hour
	secretSize  = 20 // bytes, 160 bits
	mostTokens  = 10_000
	keepSpent   = 30 * 24 * time.Hour // for people who look what became of one
)

// TokenRow is a token as the server keeps it: of the secret only a digest.
type TokenRow struct {
	Name     string   `col:"name,ident"`
	Secret   string   `col:"secret"` // SHA-256, hexadecimal
	Uses     int64    `col:"uses"`
	Used     int64    `col:"used"`
	Expires  int64    `col:"expires"` // Unix seconds
	Created  int64    `col:"created"`
	NodeType string   `col:"nodeType"`
	Groups   []string `col:"groups"`
	Depot    string   `col:"depot"`
	Policy   string   `col:"policy"`
	Approve  bool     `col:"approve"`
	By       string   `col:"by"`
	Revoked  bool     `col:"revoked"`
}

// Tokens is the class of TokenRow.
var Tokens = fleet.LocalClass[TokenRow]("joinToken")

func (r TokenRow) state(now time.Time) string {
	switch {
	case r.Revoked:
		return "revoked"
	case r.Used >= r.Uses:
		return "used up"
	case now.Unix() >= r.Expires:
		return "expired"
	}
	return "good"
}

func (r TokenRow) shown(now time.Time) port.JoinToken {
	return port.JoinToken{ID: r.Name, State: r.state(now), Uses: r.Uses, Used: r.Used, Expires: stamp(r.Expires), Created: stamp(r.Created), By: r.By,
		NodeType: r.NodeType, Groups: append([]string{}, r.Groups...), Depot: r.Depot, Policy: r.Policy, Approve: r.Approve}
}

func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.DateTime) }

// CreateToken makes a token. Its text is told this once.
func (e *Enrolment) CreateToken(tx *store.Tx, by string, want port.JoinToken, life time.Duration) (text string, made port.JoinToken, err error) {
	bad := func(format string, args ...any) (string, port.JoinToken, error) {
		return "", made, fleet.Errorf(fleet.Invalid, "cannot make the token: "+format, args...)
	}
	switch {
	case want.Uses < 1 || want.Uses > mostUses:
		return bad("it is for 1 to %d machines, not %d", mostUses, want.Uses)
	case life < time.Minute || life > longestLife:
		return bad("it lives a minute to %d days, not %v", longestLife/(24*time.Hour), life)
	}
	if want.NodeType != "" {
		if err := enrol.ValidNodeType(want.NodeType); err != nil {
			return bad("%w", err)
		}
	}
	if err := enrol.ValidPolicy(enrol.Policy(want.Policy)); err != nil {
		return bad("%w", err)
	}
	pin, err := e.cfg.root(tx)
	if err != nil {
		return "", made, err
	}
	if want.Policy == "" && pin != nil {
		want.Policy = string(enrol.Offline)
	}
	if pin == nil && enrol.Policy(want.Policy) != enrol.PlainOpsi {
		return "", made, fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot make the token: the server has no root of trust that it could pin"),
			"make one first: fernwerk trust init DIR, then fernwerk trust publish DIR; or have such machines believe the server alone, as opsi's do: --policy plain-opsi")
	}
	for _, g := range want.Groups {
		if _, err := tx.Get(fleet.Groups, fleet.Row{"type": fleet.HostGroup, "id": g}); err != nil {
			return "", made, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot make the token: there is no host group %.100q", g), "make it first: fernwerk group create %s", g)
		}
	}
	if want.Depot != "" {
		r, err := tx.ByKey(fleet.Hosts, want.Depot)
		if err != nil {
			return "", made, err
		}
		if r == nil || r.Str("type") == fleet.OpsiClient {
			return "", made, fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot make the token: there is no depot %.100q", want.Depot), "see: fernwerk depot list")
		}
	}
	if err := e.tidyTokens(tx); err != nil {
		return "", made, err
	}
	secret := make([]byte, secretSize)
	rand.Read(secret)
	t := enrol.Token{ID: strings.ToLower(rand.Text()[:12]), Secret: base64.RawURLEncoding.EncodeToString(secret), Addresses: e.cfg.Addresses(), CA: e.cfg.Fingerprint(),
		Root: pin, Policy: enrol.Policy(want.Policy), NodeType: want.NodeType, Expires: tx.Now().Add(life).Unix()}
	if text, err = t.Text(); err != nil {
		return "", made, err
	}
	row := TokenRow{Name: t.ID, Secret: hash(t.Secret), Uses: want.Uses, Expires: t.Expires, Created: tx.Now().Unix(), NodeType: want.NodeType,
		Groups: want.Groups, Depot: want.Depot, Policy: want.Policy, Approve: want.Approve, By: by}
	if err := tx.Put(Tokens, Tokens.Encode(row)); err != nil {
		return "", made, err
	}
	return text, row.shown(tx.Now()), tx.Note(Tokens.Name, row.Name, "create", nil)
}

// tidyTokens drops what nobody looks for any more, and bounds the rest.
func (e *Enrolment) tidyTokens(tx *store.Tx) error {
	rows, err := store.All[TokenRow](tx, Tokens, nil)
	if err != nil {
		return err
	}
	left := len(rows)
	for _, r := range rows {
		if r.state(tx.Now()) != "good" && tx.Now().Unix()-r.Expires > int64(keepSpent/time.Second) {
			if err := tx.Remove(Tokens, Tokens.Encode(r)); err != nil {
				return err
			}
			left--
		}
	}
	if left >= mostTokens {
		return fleet.WithHint(fleet.Errorf(fleet.TooLarge, "cannot make the token: there are %d", left), "revoke some: fernwerk token list")
	}
	return nil
}

// Tokens are all tokens, the newest first, without their secrets.
func (e *Enrolment) Tokens(tx *store.Tx) ([]port.JoinToken, error) {
	rows, err := store.All[TokenRow](tx, Tokens, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b TokenRow) int {
		if d := b.Created - a.Created; d != 0 {
			return int(d)
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := make([]port.JoinToken, len(rows))
	for i, r := range rows {
		out[i] = r.shown(tx.Now())
	}
	return out, nil
}

// RevokeToken ends a token; hosts that joined by it stay.
func (e *Enrolment) RevokeToken(tx *store.Tx, id string) error {
	row, err := tokenRow(tx, id)
	if err != nil {
		return err
	}
	if row.Name == "" {
		return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot revoke the token: there is none with the id %.50q", id), "see: fernwerk token list")
	}
	row.Revoked = true
	if err := tx.Put(Tokens, Tokens.Encode(row)); err != nil {
		return err
	}
	return tx.Note(Tokens.Name, id, "revoke", nil)
}

func tokenRow(tx *store.Tx, id string) (row TokenRow, err error) {
	r, err := tx.ByKey(Tokens, id)
	if r != nil {
		Tokens.Decode(r, &row)
	}
	return row, err
}

// look finds a token that is good.
func look(tx *store.Tx, t enrol.Token) (TokenRow, error) {
	row, err := tokenRow(tx, t.ID)
	if err != nil {
		return row, err
	}
	if row.Name == "" || subtle.ConstantTimeCompare([]byte(row.Secret), []byte(hash(t.Secret))) != 1 {
		return row, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "cannot join: the server does not know this token"), "it may be another server's, or have been tidied away: make one with fernwerk token create")
	}
	if state := row.state(tx.Now()); state != "good" {
		return row, fleet.WithHint(fleet.Errorf(fleet.Denied, "cannot join: the token is %s", state), "make another: fernwerk token create")
	}
	return row, nil
}

// take uses a token once.
func take(tx *store.Tx, t enrol.Token) (TokenRow, error) {
	row, err := look(tx, t)
	if err != nil {
		return row, err
	}
	row.Used++
	return row, tx.Put(Tokens, Tokens.Encode(row))
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
