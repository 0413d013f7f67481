package freespace

import "golang.org/x/sys/windows"

func disk(path string) (size, available uint64, err error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, 0, err
	}
	if err := windows.GetDiskFreeSpaceEx(p, &available, &size, nil); err != nil {
		return 0, 0, err
	}
	return size, available, nil
}
