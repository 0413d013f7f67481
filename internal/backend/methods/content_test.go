package methods_test

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/store"
)

func init() {
	none := func(string) []any { return nil }
	handArguments["trust_getDocuments"], handArguments["trust_makeKeys"] = none, none
	handArguments["trust_publish"] = func(string) []any { return []any{[]any{}, "", []any{"YQ=="}} }
	handArguments["trust_getContent"] = func(string) []any { return []any{"0000"} }
	handArguments["trust_getTree"] = func(string) []any { return []any{"depot1.example.org", "firefox"} }
}

// signed is a server's documents of content trust, as far as the matrix needs
// them.
type signed struct{}

func (signed) Documents(context.Context, int64) (*port.TrustDocuments, error) {
	return &port.TrustDocuments{Targets: "list"}, nil
}

func (signed) Publish(context.Context, store.Origin, port.TrustPublication) (*port.TrustPublished, error) {
	return &port.TrustPublished{}, nil
}

func (signed) MakeKeys(context.Context, store.Origin) (map[string]string, error) {
	return map[string]string{"snapshot": "00"}, nil
}

func (signed) Content(*store.Tx, string) ([]byte, error) { return []byte("content"), nil }
func (signed) Follow(*store.Tx) error                    { return nil }

func (signed) Judge(*store.Tx, string, string) (*port.TrustJudgement, error) {
	return &port.TrustJudgement{Signed: port.SignedByNone}, nil
}
