//go:build !linux && !darwin

package peercred

import "errors"

func uidOf(int) (int, error) { return -1, errors.ErrUnsupported }
