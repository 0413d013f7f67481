package trust

import "context"

// Renew is a turn of [Trust.Serve].
func (t *Trust) Renew(ctx context.Context) error {
	if err := t.renew(ctx); err != nil {
		return err
	}
	return t.refresh(ctx)
}

// Refresh is what Serve does when it is woken.
func (t *Trust) Refresh(ctx context.Context) error { return t.refresh(ctx) }
