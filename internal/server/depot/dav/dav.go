// Package dav serves the depot's folders by WebDAV: the way that opsi clients
// and every ordinary machine can take. Products are to be read only; the folders
// of packages can be written to ([Writable]).
//
// GET and HEAD with ranges, OPTIONS, and PROPFIND of one folder at a time (RFC
// 4918, 9.1.1: without a Depth the whole tree is meant, which is refused).
// Bodies are sent as they are stored, never with a Content-Encoding: opsi clients
// have stored expanded files because of that. Everything else is 405; who may
// not write at all is told so before, by the caller.
//
// Names at the top that begin with a dot are the depot's own and do not exist
// here. Links are followed as long as they stay inside (os.Root). A name that
// is not there is looked for in any case, as opsi does.
package dav

import (
	"context"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"strings"

	"golang.org/x/net/webdav"
)

// Prefix is the path that the handler must be mounted at.
const Prefix = "/depot"

// Tag is the strong entity tag of a file, by its path in the folder; "" for
// none that is certain: then its time and size make one.
type Tag func(name string, info fs.FileInfo) string

// Handler serves a folder.
func Handler(dir string, tag Tag) http.Handler { return reading(Prefix, dir, tag, methodsHere) }

// methodsHere goes into Allow.
const methodsHere = "GET, HEAD, OPTIONS, PROPFIND"

func reading(prefix, dir string, tag Tag, allow string) http.Handler {
	inner := &webdav.Handler{Prefix: prefix, FileSystem: readOnly{dir, tag}, LockSystem: webdav.NewMemLS()}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead:
			w.Header().Set("Cache-Control", "no-cache") // the tag decides
		case "PROPFIND":
			if depth := r.Header.Get("Depth"); depth != "0" && depth != "1" {
				w.Header().Set("Content-Type", "application/xml; charset=utf-8")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(`<?xml version="1.0" encoding="utf-8"?><D:error xmlns:D="DAV:"><D:propfind-finite-depth/></D:error>`))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		case http.MethodOptions:
			w.Header().Set("DAV", "1")
			w.Header().Set("MS-Author-Via", "DAV")
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusOK)
			return
		default:
			w.Header().Set("Allow", allow)
			http.Error(w, r.Method+" is not done here", http.StatusMethodNotAllowed)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// readOnly is the depot's folder without what is nobody's product. Each access
// opens the folder anew: it may be replaced, and os.Root keeps links inside.
type readOnly struct {
	dir string
	tag Tag
}

// clean turns a request's path into one of the folder.
func clean(name string) (string, error) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return ".", nil
	}
	if strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\\\x00") {
		return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return name, nil
}

func (r readOnly) OpenFile(_ context.Context, name string, flag int, _ os.FileMode) (webdav.File, error) {
	if flag != os.O_RDONLY {
		return nil, fs.ErrPermission
	}
	name, err := clean(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name = spelled(root, name)
	// A pipe that somebody put there must not block us.
	if info, err := root.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	return &served{f, r.tag, name}, nil
}

func (r readOnly) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	name, err := clean(name)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name = spelled(root, name)
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	return tagged{info, r.tag, name}, nil
}

func (readOnly) Mkdir(context.Context, string, os.FileMode) error { return fs.ErrPermission }
func (readOnly) RemoveAll(context.Context, string) error          { return fs.ErrPermission }
func (readOnly) Rename(_ context.Context, _, _ string) error      { return fs.ErrPermission }

// served is an open file or folder.
type served struct {
	*os.File
	tag  Tag
	name string
}

func (*served) Write([]byte) (int, error) { return 0, fs.ErrPermission }

func (s *served) Stat() (fs.FileInfo, error) {
	info, err := s.File.Stat()
	if err != nil {
		return nil, err
	}
	return tagged{info, s.tag, s.name}, nil
}

// Readdir leaves out what is hidden. Links that lead nowhere are left out by
// the caller, which looks at each name.
func (s *served) Readdir(n int) ([]fs.FileInfo, error) {
	list, err := s.File.Readdir(n)
	if s.name != "." {
		return list, err
	}
	shown := list[:0]
	for _, info := range list {
		if !strings.HasPrefix(info.Name(), ".") {
			shown = append(shown, info)
		}
	}
	return shown, err
}

// tagged adds the entity tag.
type tagged struct {
	fs.FileInfo
	tag  Tag
	name string
}

func (t tagged) ETag(context.Context) (string, error) {
	if t.tag != nil {
		if tag := t.tag(t.name, t.FileInfo); tag != "" {
			return tag, nil
		}
	}
	return "", webdav.ErrNotImplemented
}

// ContentType spares a PROPFIND the look into every file.
func (t tagged) ContentType(context.Context) (string, error) {
	if typ := mime.TypeByExtension(path.Ext(t.name)); typ != "" {
		return typ, nil
	}
	return "application/octet-stream", nil
}
