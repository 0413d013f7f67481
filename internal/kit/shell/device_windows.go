package shell

import "golang.org/x/sys/windows"

// errCrossDevice is what a rename between volumes gives.
const errCrossDevice = windows.ERROR_NOT_SAME_DEVICE
