package methods_test

import (
	"strings"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet/update"
)

// published has every update that is asked for.
type published struct{}

func (published) Publish(*store.Tx, store.Origin, int, int) (port.Update, error) {
	return port.Update{}, nil
}
func (published) Withdraw(*store.Tx, store.Origin, int) (port.Update, error) {
	return port.Update{}, nil
}
func (published) Decide(*store.Tx, store.Origin, string, int, string) error { return nil }
func (published) Report(*store.Tx, string, update.Report) (bool, error)     { return true, nil }
func (published) Status(*store.Tx, int, func(string) bool) ([]port.Update, error) {
	return []port.Update{{Number: "017"}}, nil
}
func (published) Output(*store.Tx, string, int) ([]port.UpdateHost, error) { return nil, nil }

func init() {
	report := map[string]any{"number": "017", "id": "motd", "digest": strings.Repeat("a", 64), "key": strings.Repeat("k", 26),
		"revision": int64(1), "attempt": int64(1), "state": string(update.Done)}
	for name, args := range map[string]func(string) []any{
		"update_publish":   func(string) []any { return []any{"017"} },
		"update_withdraw":  func(string) []any { return []any{"017"} },
		"update_decide":    func(h string) []any { return []any{"017", h, update.Skip} },
		"update_getStatus": func(h string) []any { return []any{"017", h} },
		"update_report":    func(string) []any { return []any{report} },
	} {
		handArguments[name] = args
	}
}
