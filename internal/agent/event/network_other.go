//go:build !linux

package event

import "context"

// networkChanges: nothing tells here; it is looked at every lookEvery.
func networkChanges(ctx context.Context, _ chan<- struct{}) error {
	<-ctx.Done()
	return ctx.Err()
}
