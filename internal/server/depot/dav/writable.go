package dav

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/fernwerk/fernwerk/internal/kit/freespace"
	"github.com/fernwerk/fernwerk/internal/kit/patience"
)

const (
	// maxUpload bounds one file, in bytes.
	maxUpload = 64 << 30
	// reserve stays free on the disk, in bytes: the database may live there.
	reserve = 64 << 20
	// partial begins the names of uploads under way, which nobody sees.
	partial = ".upload-"

	methodsWritable = methodsHere + ", PUT, DELETE, MKCOL"
)

// Writable serves a folder below a prefix, to be read and written: PUT, DELETE
// and MKCOL are done too. A file is there whole, as it was before, or not at all;
// what broken uploads left is removed. Who may write is for the caller to know.
func Writable(prefix, dir string) (http.Handler, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	left, err := fs.Glob(root.FS(), partial+"*")
	for _, name := range left {
		err = errors.Join(err, root.Remove(name))
	}
	if err != nil {
		return nil, err
	}
	read := reading(prefix, dir, nil, methodsWritable)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var change func(*os.Root, string, http.ResponseWriter, *http.Request) (status int, err error)
		switch r.Method {
		case http.MethodPut:
			change = put
		case http.MethodDelete:
			change = remove
		case "MKCOL":
			change = makeFolder
		default:
			read.ServeHTTP(w, r)
			return
		}
		status, err := writing(prefix, dir, w, r, change)
		if err != nil {
			http.Error(w, http.StatusText(status)+": "+err.Error(), status)
			return
		}
		w.WriteHeader(status)
	}), nil
}

func writing(prefix, dir string, w http.ResponseWriter, r *http.Request, change func(*os.Root, string, http.ResponseWriter, *http.Request) (int, error)) (int, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, "/"), prefix)
	name, err := clean(rest)
	if !ok || "/"+name != rest || err != nil || name == "." || strings.Contains(name, "/.") {
		return http.StatusForbidden, errors.New("no such name can be written")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	defer root.Close()
	status, err := change(root, name, w, r)
	switch {
	case err == nil || status != 0:
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		status = http.StatusInsufficientStorage
	case errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case errors.Is(err, fs.ErrExist):
		status = http.StatusMethodNotAllowed // RFC 4918, 9.3.1
	default:
		status = http.StatusForbidden // os.Root refuses what leads out
	}
	return status, err
}

// put writes a file beside, then renames it.
func put(root *os.Root, name string, w http.ResponseWriter, r *http.Request) (int, error) {
	if r.Header.Get("Content-Range") != "" {
		return http.StatusBadRequest, errors.New("a part of a file is not taken") // RFC 9110, 14.5
	}
	if r.ContentLength > maxUpload {
		return http.StatusRequestEntityTooLarge, errors.New("the file is too large")
	}
	if free, err := freespace.Of(root.Name()); err != nil || free < uint64(max(r.ContentLength, 0))+reserve {
		return http.StatusInsufficientStorage, errors.Join(errors.New("the disk has no room for it"), err)
	}
	if info, err := root.Stat(path.Dir(name)); err != nil || !info.IsDir() {
		return http.StatusConflict, errors.New("its folder is not there") // RFC 4918, 9.7.1
	}
	before, err := root.Lstat(name)
	if err == nil && !before.Mode().IsRegular() {
		return http.StatusMethodNotAllowed, errors.New("there is something that is no file")
	}
	temp := partial + rand.Text()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(patience.Body(w, r.Body), maxUpload+1), make([]byte, 1<<20))
	if err == nil && n > maxUpload {
		err = syscall.EFBIG
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		root.Remove(temp)
		if r.Context().Err() == nil && errors.Is(err, io.ErrUnexpectedEOF) {
			return http.StatusBadRequest, err
		}
		return 0, err
	}
	if before != nil {
		return http.StatusNoContent, nil
	}
	return http.StatusCreated, nil
}

func remove(root *os.Root, name string, _ http.ResponseWriter, _ *http.Request) (int, error) {
	if _, err := root.Lstat(name); err != nil {
		return 0, err
	}
	if err := root.RemoveAll(name); err != nil {
		return 0, err
	}
	return http.StatusNoContent, nil
}

func makeFolder(root *os.Root, name string, _ http.ResponseWriter, r *http.Request) (int, error) {
	if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n > 0 {
		return http.StatusUnsupportedMediaType, errors.New("a folder is made without a body")
	}
	if _, err := root.Stat(path.Dir(name)); err != nil {
		return http.StatusConflict, errors.New("its folder is not there")
	}
	if err := root.Mkdir(name, 0o755); err != nil {
		return 0, err
	}
	return http.StatusCreated, nil
}
