package depots

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/backend/rpc"
)

// Judge asks the config server who signed the tree that the depot has of a
// product.
func (b Book) Judge(ctx context.Context, product string) (*port.TrustJudgement, error) {
	m, err := rpc.As[map[string]any](b.call(ctx, "trust_getTree", b.DepotID, product))
	if err != nil {
		return nil, err
	}
	j := &port.TrustJudgement{Platforms: texts(m["platforms"]), Refused: texts(m["refused"]), Refusing: int(count(m["refusing"])), Silent: int(count(m["silent"]))}
	j.Signed, _ = m["signed"].(string)
	j.Known, _ = m["known"].(bool)
	return j, nil
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := []string{}
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func count(v any) int64 {
	switch n := v.(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}
