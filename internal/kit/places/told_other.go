//go:build !linux

package places

import (
	"context"
	"errors"
)

// told is for systems that tell.
func told(context.Context, func()) error { return errors.ErrUnsupported }
