package nodefile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
)

// place is the folder of a file, held open: whatever happens to the path meanwhile,
// it is this folder that is written in.
type place struct {
	*os.Root
	name  string
	owner account // who may own what is there, besides root
}

// openPlace goes from folder to folder, through no link. A folder that is missing is
// made where that is wished; the last one is the file owner's, and closed to others
// where the file is.
func openPlace(root, path string, who account, mode nodefile.Mode, make bool) (p *place, err error) {
	at, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			at.Close()
		}
	}()
	folders, name := folderOf(path)
	for i, folder := range folders {
		info, err := at.Lstat(folder)
		if errors.Is(err, fs.ErrNotExist) && make {
			perm, owner := fs.FileMode(0o755), account{uid: os.Geteuid(), gid: os.Getegid()}
			if i == len(folders)-1 {
				owner = who
				if mode&0o077 == 0 {
					perm = 0o700
				}
			}
			if err := makeFolder(at, folder, perm, owner); err != nil {
				return nil, err
			}
			info, err = at.Lstat(folder)
		}
		if err != nil {
			return nil, err
		}
		if err := safeFolder(info, who); err != nil {
			return nil, fleet.Errorf(fleet.Denied, "its folder %q is not safe: %w", folder, err)
		}
		next, err := openFolder(at, folder)
		if err != nil {
			return nil, err
		}
		at.Close()
		at = next
		opened, err := at.Stat(".")
		if err != nil {
			return nil, err
		}
		if !os.SameFile(info, opened) { // it became a link meanwhile
			return nil, fleet.Errorf(fleet.Denied, "its folder %q is not safe: it changes", folder)
		}
	}
	return &place{Root: at, name: name, owner: who}, nil
}

// makeFolder makes a folder, and gives it away before anybody else finds it open.
func makeFolder(at *os.Root, name string, perm fs.FileMode, who account) error {
	if err := at.Mkdir(name, 0o700); err != nil {
		return err
	}
	if err := giveFolder(at, name, perm, who); err != nil {
		return err
	}
	return syncFolder(at)
}

// giveFolder gives away a folder that was just made. Whoever the folder around it
// belongs to may have put something else in its place meanwhile, which is not given:
// what is, is empty and ours, whatever the name leads to now.
func giveFolder(at *os.Root, name string, perm fs.FileMode, who account) error {
	made, err := openFolder(at, name)
	if err != nil {
		return err
	}
	defer made.Close()
	f, err := made.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner, known := ownerOf(info)
	if _, err := f.ReadDir(1); !errors.Is(err, io.EOF) || known && owner.uid != os.Geteuid() {
		return fleet.Errorf(fleet.Denied, "its folder %q is not safe: it changes", name)
	}
	if err := chownFile(f, who); err != nil {
		return err
	}
	return f.Chmod(perm)
}

// safeFolder says what is wrong with a folder of a path: who may write in it may put
// what he likes in the file's place.
func safeFolder(info fs.FileInfo, who account) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a link")
	case !info.IsDir():
		return errors.New("it is no folder")
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write in it (mode %04o)", info.Mode().Perm())
	}
	if owner, known := ownerOf(info); known && !trusted(owner.uid, who) {
		return fmt.Errorf("it belongs to user %d", owner.uid)
	}
	return nil
}

// trusted tells whether a user may own what is on the way to a file: root, who we
// are, and the file's own owner.
func trusted(uid int, who account) bool {
	return uid == 0 || uid == os.Geteuid() || who.name != "" && uid == who.uid
}

// found is what stands in a place.
type found struct {
	there bool
	data  []byte
	owner account
	mode  nodefile.Mode
	err   error // the marks of its block are no pair
}

// is tells whether owner and mode are right.
func (h *found) is(who account, mode nodefile.Mode) bool {
	return h.mode == mode && (!ownersKnown || h.owner.uid == who.uid && h.owner.gid == who.gid)
}

// maxOther bounds a file in which there is a block, in bytes.
const maxOther = 4 * nodefile.MaxSize

// read reads what stands there. Of a file that will be replaced whole only as much
// counts as a content can have.
func (p *place) read(block bool) (*found, error) {
	info, err := p.Lstat(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return &found{}, nil
	}
	if err != nil {
		return nil, err
	}
	owner, known := ownerOf(info)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "a link stands in its place, which is not followed"), "remove the link")
	case !info.Mode().IsRegular():
		return nil, fleet.Errorf(fleet.Denied, "something that is no file stands in its place")
	case block && known && (!trusted(owner.uid, p.owner) || links(info) > 1):
		// A block keeps what is there: of somebody else's file it would make one for
		// the owner.
		return nil, fleet.WithHint(fleet.Errorf(fleet.Denied, "a file of user %d, or one with several names, stands in its place", owner.uid), "look at it, and give it to the owner or remove it")
	}
	f, err := p.OpenFile(p.name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if opened, err := f.Stat(); err != nil || !os.SameFile(info, opened) {
		return nil, errors.Join(err, fleet.Errorf(fleet.Denied, "what stands in its place changes"))
	}
	h := &found{there: true, owner: owner, mode: nodefile.Mode(info.Mode().Perm())}
	if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0 {
		h.mode |= 0o1000 // no mode of a list
	}
	if h.data, err = io.ReadAll(io.LimitReader(f, maxOther+1)); err != nil {
		return nil, err
	}
	if block && len(h.data) > maxOther {
		return nil, fleet.Errorf(fleet.Denied, "the file in its place has more than %d bytes, and is left alone", maxOther)
	}
	return h, nil
}

// write replaces the file: nobody sees it before it is whole, with its owner and
// mode, and it is durable when that returns.
func (p *place) write(data []byte, who account, mode nodefile.Mode) (err error) {
	id := sha256.Sum256([]byte(p.name))
	temp := atomicfile.TempPrefix + "file-" + hex.EncodeToString(id[:6]) // one that was left behind goes
	if err := p.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := p.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			p.Remove(temp)
			if at := (*fs.PathError)(nil); errors.As(err, &at) { // its path is that of a handle
				err = fmt.Errorf("%s: %w", at.Op, at.Err)
			}
		}
	}()
	if err := chownFile(f, who); err != nil {
		return err
	}
	if err := f.Chmod(fs.FileMode(mode & 0o777)); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := p.Rename(temp, p.name); err != nil {
		return err
	}
	return syncFolder(p.Root)
}

// remove removes the file, durably.
func (p *place) remove() error {
	if err := p.Remove(p.name); err != nil {
		return err
	}
	return syncFolder(p.Root)
}
