// Package instlog keeps the installation log, and says what of it the server does
// not have yet.
//
// It is one file for all product actions, as opsi's instlog.log. A long one is cut
// when the next action begins: the part before stays beside it. It is sent whole,
// the newest 5 MiB of it, so that sending twice is as good as once.
package instlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Sent remembers which state of a log the server has.
type Sent struct {
	Log    string `col:"log,ident"`
	Digest string `col:"digest"`
}

// Class is the class of Sent, for [store.Open].
var Class = fleet.LocalClass[Sent]("sentLog")

// maxSent is the newest part of the log that is sent: opsi's
// max_log_transfer_size, in bytes.
const maxSent = 5 << 20

const name = "instlog"

// Log is the log of a data folder.
type Log struct {
	Store *store.Store
	Path  string
}

// Open opens the log for appending; a long one is cut.
func (l Log) Open() (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(l.Path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep the installation log: %w", err)
	}
	if info, err := os.Stat(l.Path); err == nil && info.Size() > 2*maxSent {
		if err := os.Rename(l.Path, l.Path+".1"); err != nil {
			return nil, fmt.Errorf("cannot keep the installation log: %w", err)
		}
	}
	f, err := os.OpenFile(l.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the installation log: %w", err)
	}
	return f, nil
}

// Send hands the log to send, unless the server has it. What it returns says how
// it went, and notes that it did.
func (l Log) Send(ctx context.Context, send func(text string) error) (text string, commit func(*store.Tx) error, err error) {
	data, err := newest(l.Path, maxSent)
	if errors.Is(err, os.ErrNotExist) {
		return "no log", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot read the log: %w", err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	var known fleet.Row
	err = l.Store.View(ctx, func(tx *store.Tx) error {
		var err error
		known, err = tx.ByKey(Class, name)
		return err
	})
	if err != nil || known.Str("digest") == digest {
		return "nothing new", nil, err
	}
	if err := send(string(data)); err != nil {
		return "", nil, fmt.Errorf("cannot send the log: %w", err)
	}
	return fmt.Sprintf("%d bytes sent", len(data)), func(tx *store.Tx) error {
		return tx.Put(Class, fleet.Row{"log": name, "digest": digest})
	}, nil
}

// newest is the end of a log, from the start of a line, with a word on what is
// missing.
func newest(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	skip := max(0, info.Size()-most)
	data, err := io.ReadAll(io.NewSectionReader(f, skip, most))
	if err != nil || skip == 0 {
		return data, err
	}
	cut := bytes.IndexByte(data, '\n') + 1
	return append(fmt.Appendf(nil, "[the first %d bytes are left out]\n", skip+int64(cut)), data[cut:]...), nil
}
