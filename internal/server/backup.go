package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/backend/lease"
	"github.com/fernwerk/fernwerk/internal/backend/store"
	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/atomicfile"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
	"github.com/fernwerk/fernwerk/internal/server/backup"
	"github.com/fernwerk/fernwerk/internal/server/cluster"
	"github.com/fernwerk/fernwerk/internal/server/contact"
	"github.com/fernwerk/fernwerk/internal/server/enrolment"
	"github.com/fernwerk/fernwerk/internal/server/enrolment/identity"
)

// kept is what a backup takes of the data folder.
var kept = []string{cluster.KeyFile, "ca"}

// restoring stands in a data folder while a backup is being put there: a server
// does not start on half of one.
const restoring = "restoring"

// replaced begins the names of folders that hold what a restore replaced.
const replaced = "replaced-"

// BackupOptions say what a backup has beside rows, keys and configuration.
type BackupOptions struct {
	Config      string // configuration file
	Depot, Logs bool
}

// Backup writes a backup of a server, which may be running.
func Backup(ctx context.Context, cfg Config, file string, opts BackupOptions) (_ *backup.Contents, err error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(s.path("lock")); errors.Is(err, fs.ErrNotExist) {
		return nil, notUsed(s.cfg.Data)
	}
	if s.cfg.Database == "" {
		if _, err := os.Stat(s.path("fernwerk.db")); err != nil {
			return nil, notUsed(s.cfg.Data)
		}
	}
	db, err := s.openDatabase(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if there, err := there(s.path("ca")); err != nil || there {
		// Not while a change of the authority is half done.
		lock, err := filelock.Await(ctx, s.path("ca", "lock"), 2*time.Second)
		if err != nil {
			return nil, err
		}
		s.add(lock.Release)
	}
	src := backup.Source{DB: db, Data: s.cfg.Data, Keep: kept, Config: opts.Config, Version: s.cfg.Version, Now: s.cfg.Now}
	if opts.Depot {
		src.Depot = s.cfg.DepotFolder()
	}
	if opts.Logs {
		src.Logs = s.path("log")
	}
	return backup.Write(ctx, file, src)
}

func notUsed(dir string) error {
	return fleet.WithHint(fleet.Errorf(fleet.NotFound, "cannot find a server's data in %s", dir), "name its folder with --data, or its configuration with --config")
}

// Restored says what a restore did.
type Restored struct {
	Contents *backup.Contents `json:"contents"`
	// Replaced is the folder with what was there before, "" if nothing was.
	Replaced string `json:"replaced,omitempty"`
}

// Restore puts a backup into the data folder, and the database, of a server that
// does not run. What is there already it refuses to replace without force; the
// files are put aside then, rows of a PostgreSQL database are gone.
//
// A restore that is interrupted is done again: until then no server starts.
func Restore(ctx context.Context, cfg Config, file string, force bool) (r *Restored, err error) {
	s := &Server{cfg: cfg}
	if err := s.defaults(); err != nil {
		return nil, err
	}
	contents, err := backup.Check(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	half, err := there(s.path(restoring))
	if err != nil {
		return nil, err
	}
	if err := s.lockFolder(); err != nil {
		return nil, err
	}
	r = &Restored{Contents: contents}
	if force = force || half; !force {
		if err := s.unused(ctx); err != nil {
			return nil, err
		}
	}
	if err := atomicfile.WriteFile(s.path(restoring), []byte(file+"\n"), 0o600); err != nil {
		return nil, err
	}
	staging := s.path(restoring + "-files")
	if err := errors.Join(os.RemoveAll(staging), os.Mkdir(staging, 0o700)); err != nil {
		return nil, err
	}
	if err := s.unpack(ctx, file, staging, contents.Made); err != nil {
		return nil, err
	}
	if r.Replaced, err = s.place(staging); err != nil {
		return nil, fmt.Errorf("cannot restore: %w", err)
	}
	if err := errors.Join(os.RemoveAll(staging), os.Remove(s.path(restoring)), atomicfile.SyncDir(s.cfg.Data)); err != nil {
		return nil, err
	}
	return r, nil
}

// unused refuses a place that a server has used.
func (s *Server) unused(ctx context.Context) error {
	hint := "choose an empty folder and database, or replace what is there with --force"
	for _, name := range append([]string{"fernwerk.db", "log"}, kept...) {
		if is, err := there(s.path(name)); err != nil {
			return err
		} else if is {
			return fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot restore to %s: it has a server's %s", s.cfg.Data, name), "%s", hint)
		}
	}
	if s.cfg.Database == "" {
		return nil
	}
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	used, err := st.Used(ctx)
	if err == nil && used {
		err = fleet.WithHint(fleet.Errorf(fleet.Exists, "cannot restore: the database has a fleet's rows"), "%s", hint)
	}
	return err
}

// unpack puts the files into the staging folder, and the rows into the database:
// a new file there, or PostgreSQL itself.
func (s *Server) unpack(ctx context.Context, file, staging string, made time.Time) error {
	at := *s
	at.opened = nil
	if s.cfg.Database == "" {
		at.cfg.Data = staging
	}
	st, err := at.openStore(ctx)
	if err != nil {
		return err
	}
	if err := s.alone(ctx, st); err != nil {
		return errors.Join(err, at.Close())
	}
	err = backup.Extract(ctx, file, staging, func(rows io.Reader) error {
		if err := st.Load(ctx, rows); err != nil {
			return err
		}
		if err := errors.Join(contact.Forget(ctx, st), identity.Restored(ctx, st, made), enrolment.Restored(ctx, st)); err != nil {
			return err
		}
		return lease.Forget(ctx, st)
	})
	if err = errors.Join(err, at.Close()); err != nil {
		return err
	}
	return atomicfile.SyncTree(staging)
}

// alone refuses to replace rows under other servers.
func (s *Server) alone(ctx context.Context, st *store.Store) error {
	running, err := lease.New(st, s.cfg.Place()).All(ctx, replicaLease)
	if err != nil {
		return err
	}
	for _, l := range running {
		if l.Holder != s.cfg.Place() {
			return fleet.WithHint(fleet.Errorf(fleet.Locked, "cannot restore: %s uses the database", l.Holder),
				"stop all servers of the database; one that was killed counts for another %v", lease.Life)
		}
	}
	return nil
}

// place moves everything from the staging folder to where it belongs, and what
// is there aside.
func (s *Server) place(staging string) (aside string, err error) {
	entries, err := os.ReadDir(staging)
	if err != nil {
		return "", err
	}
	folder := replaced + s.cfg.Now().UTC().Format("20060102-150405")
	if s.cfg.Database == "" {
		// A log of the former database would be applied to the new one.
		for _, name := range []string{"fernwerk.db-wal", "fernwerk.db-shm"} {
			if err := s.putAside(s.path(name), s.path(folder, name), &aside); err != nil {
				return "", err
			}
		}
	}
	for _, e := range entries {
		to, old := s.path(e.Name()), s.path(folder, e.Name())
		switch {
		case e.Name() == backup.ConfigFile: // which one counts is the administrator's affair
			to = s.path("restored-" + backup.ConfigFile)
		case e.Name() == "depot" && s.cfg.Depot != "": // perhaps another disk
			to, old = s.cfg.Depot, s.cfg.Depot+"."+folder
		}
		if err := s.putAside(to, old, &aside); err != nil {
			return "", err
		}
		if err := move(filepath.Join(staging, e.Name()), to); err != nil {
			return "", err
		}
	}
	return aside, atomicfile.SyncDir(s.cfg.Data)
}

// putAside renames what is there, and notes in which folder it is now.
func (s *Server) putAside(from, to string, aside *string) error {
	if is, err := there(from); err != nil || !is {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	*aside = filepath.Dir(to)
	return atomicfile.SyncDir(filepath.Dir(to))
}

// move renames, or copies where that is another disk.
func move(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Rename(from, to); err == nil {
		return atomicfile.SyncDir(filepath.Dir(to))
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return atomicfile.SyncTree(to)
}

func there(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
