package depot

import (
	"context"

	"github.com/fernwerk/fernwerk/internal/backend/port"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// judgement asks who signed what was just installed. The installation stands
// whatever the answer is.
func (in *installation) judgement(ctx context.Context) *port.TrustJudgement {
	j, err := in.book.Judge(ctx, in.intent.Product)
	switch {
	case fleet.CodeOf(err) == fleet.NotHere, fleet.CodeOf(err) == fleet.NotFound: // a config server of before, or in a test
		return nil
	case err != nil:
		in.Log.WarnContext(ctx, "nobody knows who signed the product", "product", in.intent.Product, "err", err)
		return nil
	}
	return j
}
