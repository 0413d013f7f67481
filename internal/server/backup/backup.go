// Package backup writes a server into one file while it runs, and reads it back.
//
// The file is a tar, packed with zstd. Its members are
//
//	rows.jsonl           the database as package dump writes it, of one moment
//	cluster.key, ca/...  keys; so keep the file as you would keep those
//	fernwerkd.toml       the configuration, if there is a file
//	depot/..., log/...   products and logs of hosts, where they are asked for
//	contents.json        last: what it is, and size and SHA-256 of each member
//
// The rows do not depend on the engine: what was SQLite may become PostgreSQL
// and the other way round.
//
// A backup is written beside its place, read back whole and compared with its
// sums, and then renamed: a file of that name is a good backup. [Check] reads all
// of it again before anything is restored.
//
// # Limits
//
// A product that is installed while the depot is being read may be half in the
// backup; rows and keys are not touched by that. Whoever can change the file can
// change the sums: they find damage, not forgery.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/backend/store/dump"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/sqldb"
)

// Names of members.
const (
	rowsFile     = "rows.jsonl"
	contentsFile = "contents.json"
	// ConfigFile is the member that holds the configuration.
	ConfigFile = "fernwerkd.toml"
)

// layout is the number of the file's layout.
const layout = 1

// Source is what is backed up.
type Source struct {
	DB      *sqldb.DB
	Data    string   // the data folder
	Keep    []string // files and folders in it: they may be missing
	Config  string   // configuration file, "" if there is none
	Depot   string   // the depot's folder; "" leaves it out
	Logs    string   // the folder of logs; "" leaves them out
	Version string   // of the program
	Now     func() time.Time
}

// Member is one file of a backup.
type Member struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Sum  string `json:"sha256"`
}

// Contents is what a backup says of itself.
type Contents struct {
	Layout   int            `json:"layout"`
	Program  string         `json:"program"` // version
	Made     time.Time      `json:"made"`
	Engine   string         `json:"engine"`
	Position store.Position `json:"position"` // of the rows
	Depot    bool           `json:"depot"`
	Logs     bool           `json:"logs"`
	Members  []Member       `json:"members"`
}

// Write makes a backup. After an error there is no file of that name, or the one
// that was.
func Write(ctx context.Context, file string, src Source) (c *Contents, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot back up to %s: %w", file, err)
		}
	}()
	dir := filepath.Dir(file)
	temp, err := os.CreateTemp(dir, atomicfile.TempPrefix+"*") // 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(temp.Name()) // fails after the rename, which is what we want
	defer temp.Close()
	if c, err = write(ctx, temp, dir, src); err != nil {
		return nil, err
	}
	if err := temp.Sync(); err != nil {
		return nil, err
	}
	if _, err := check(ctx, temp.Name()); err != nil {
		return nil, fmt.Errorf("it does not read back: %w", err)
	}
	if err := os.Rename(temp.Name(), file); err != nil {
		return nil, err
	}
	return c, atomicfile.SyncDir(dir)
}

func write(ctx context.Context, temp *os.File, dir string, src Source) (*Contents, error) {
	packed, err := zstd.NewWriter(temp)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	w := &writer{ctx: ctx, tar: tar.NewWriter(packed)}
	c := &Contents{
		Layout: layout, Program: src.Version, Made: src.Now().UTC().Truncate(time.Second), Engine: src.DB.Dialect.String(),
		Depot: src.Depot != "", Logs: src.Logs != "",
	}
	if c.Position, err = w.rows(src.DB, dir); err != nil {
		return nil, err
	}
	for _, name := range src.Keep {
		if err := w.tree(filepath.Join(src.Data, name), filepath.ToSlash(name)); err != nil {
			return nil, err
		}
	}
	for name, from := range map[string]string{ConfigFile: src.Config, "depot": src.Depot, "log": src.Logs} {
		if from != "" {
			if err := w.tree(from, name); err != nil {
				return nil, err
			}
		}
	}
	c.Members = w.members
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, err
	}
	header := &tar.Header{Name: contentsFile, Mode: 0o600, Size: int64(len(text)), ModTime: c.Made, Typeflag: tar.TypeReg}
	if err := w.tar.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.tar.Write(text); err != nil {
		return nil, err
	}
	return c, errors.Join(w.tar.Close(), packed.Close())
}

type writer struct {
	ctx     context.Context
	tar     *tar.Writer
	members []Member
}

// rows dumps the database to a file first: a tar wants to know sizes before.
func (w *writer) rows(db *sqldb.DB, dir string) (pos store.Position, err error) {
	f, err := os.CreateTemp(dir, atomicfile.TempPrefix+"*")
	if err != nil {
		return pos, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	held, err := dump.Write(w.ctx, db, f)
	if err != nil {
		return pos, err
	}
	pos = store.Position(held)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return pos, err
	}
	return pos, w.file(f, rowsFile)
}

// tree adds a file, or a folder with what it holds, under a name. Names that
// begin with a dot are somebody's work under way, but for the depot's manifests.
func (w *writer) tree(from, name string) error {
	return filepath.WalkDir(from, func(at string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is not there, or not any more
		}
		if err != nil {
			return err
		}
		if err := w.ctx.Err(); err != nil {
			return err
		}
		below, err := filepath.Rel(from, at)
		if err != nil {
			return err
		}
		member := path.Join(name, filepath.ToSlash(below))
		switch {
		case at != from && e.Name()[0] == '.' && e.Name() != ".manifests" && path.Dir(member) == name:
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			return w.header(e, member+"/", "")
		case e.Type() == fs.ModeSymlink:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			return w.header(e, member, target)
		case !e.Type().IsRegular():
			return nil // a socket
		}
		f, err := os.Open(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return w.file(f, member)
	})
}

func (w *writer) header(e fs.DirEntry, name, link string) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname, h.Uid, h.Gid, h.Format = name, "", "", 0, 0, tar.FormatPAX
	return w.tar.WriteHeader(h)
}

// file adds what is in a file now; it may grow meanwhile.
func (w *writer) file(f *os.File, name string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.header(fs.FileInfoToDirEntry(info), name, ""); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w.tar, sum), io.LimitReader(&cancelled{w.ctx, f}, info.Size()))
	if err == nil && n != info.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.members = append(w.members, Member{name, n, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

func damaged(format string, args ...any) error {
	return fleet.WithHint(fleet.Errorf(fleet.Invalid, format, args...), "take another backup: this file is damaged, or none of Fernwerk's")
}
