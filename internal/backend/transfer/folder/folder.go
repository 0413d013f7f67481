// Package folder fetches from a depot that can only be read file by file: one
// that opsi made, or any that is reached by CIFS.
//
// There are two ways, by what says how the files must be:
//
//   - An index of ours (SHA-256) is there. Then [Source] is a source of package
//     transfer like any other: chunks are parts of files, and what it brings is
//     checked as ever.
//   - Only the seed's `<product>.files` is there (MD5). [Collect] fetches the
//     files that are not on this machine and makes an index of what arrived, by
//     which package transfer then fills the folder. MD5 protects against a
//     broken transfer, not against an attacker; whether that is enough is for
//     the caller to decide before.
//
// Nothing is ever listed on the depot: the index and the list say all that is to
// be known, so no PROPFIND and no directory is read. Files are asked for side by
// side ([Parallel]), because over a far line the time is spent in waiting.
//
// Memory is bounded: at most 2 x Parallel parts of files are ahead of what is
// being written, each with at most 3 blocks of 128 KiB.
package folder

import (
	"context"
	"io"
)

// Parallel is how many files are asked for at once.
const Parallel = 16

// block is the most that is read from the line at once.
const block = 128 << 10

// Folder is a product's folder on a depot.
type Folder interface {
	// Open reads length bytes of a file from offset on; the file has size bytes.
	// A size of -1 is not known, a length of -1 is all that there is. The content
	// is what the depot has stored, never decoded. That it is the right one is for
	// the caller to check, as is an end that comes too early.
	//
	// The code of an error is NotFound if there is no such file, Conflict if it
	// has another size, NotHere if the depot cannot begin at an offset,
	// Unavailable or Internal if asking again may help; any other says that this
	// depot is of no use.
	Open(ctx context.Context, name string, offset, length, size int64) (io.ReadCloser, error)
	// String names protocol and depot, for people.
	String() string
}

// part is a part of a file, opened when it is first read: so the time until the
// depot answers is watched like that of the content.
type part struct {
	ctx                  context.Context
	folder               Folder
	name                 string
	offset, length, size int64
	body                 io.ReadCloser
}

func (p *part) Read(b []byte) (int, error) {
	if p.body == nil {
		body, err := p.folder.Open(p.ctx, p.name, p.offset, p.length, p.size)
		if err != nil {
			return 0, err
		}
		p.body = body
	}
	return p.body.Read(b)
}

func (p *part) Close() error {
	if p.body == nil {
		return nil
	}
	return p.body.Close()
}
