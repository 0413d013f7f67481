package lab

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"golang.org/x/net/webdav"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/kit/slowline"
)

// Depot registers a depot server with its addresses, either of which may be "".
func (l *Lab) Depot(id, webdavURL, remoteURL string) {
	l.t.Helper()
	row := fleet.Row{"type": fleet.OpsiDepotserver, "id": id}
	for name, value := range map[string]string{"depotWebdavUrl": webdavURL, "depotRemoteUrl": remoteURL} {
		if value != "" {
			row[name] = value
		}
	}
	l.Call("host_createObjects", row)
}

// Holds notes that a depot has a product in a version.
func (l *Lab) Holds(depot, product, version string) {
	l.t.Helper()
	l.Call("productOnDepot_createObjects", fleet.Row{"productId": product, "productType": fleet.LocalbootProduct,
		"productVersion": version, "packageVersion": "1", "depotId": depot})
}

// Through is the address of the server's depot over a line.
func (l *Lab) Through(line *slowline.Proxy) string {
	return "webdavs://" + line.Addr().String() + "/depot"
}

// PlainDepot serves a copy of the server's products as an opsi server does, by
// WebDAV and nothing else, with a certificate of the same authority. It returns
// its address and the folder.
func (l *Lab) PlainDepot() (url, dir string) {
	l.t.Helper()
	dir = l.Copy()
	pem := filepath.Join(l.Server.Dir, "ca", "server.pem")
	cert, err := tls.LoadX509KeyPair(pem, pem)
	if err != nil {
		l.t.Fatal(err)
	}
	dav := &webdav.Handler{Prefix: "/depot", FileSystem: webdav.Dir(dir), LockSystem: webdav.NewMemLS()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /depot/", func(w http.ResponseWriter, r *http.Request) {
		if _, key, ok := r.BasicAuth(); !ok || key == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		dav.ServeHTTP(w, r)
	})
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.StartTLS()
	l.t.Cleanup(s.Close)
	return "webdavs://" + s.Listener.Addr().String() + "/depot", dir
}

// Copy is a copy of the server's depot folder, for a share.
func (l *Lab) Copy() string {
	l.t.Helper()
	dir := filepath.Join(l.t.TempDir(), "depot")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(l.Server.Dir, "depot"))); err != nil {
		l.t.Fatal(err)
	}
	return dir
}

// Timeline are the agent's newest entries, newest first.
func (h *Host) Timeline() (list []string) {
	h.lab.t.Helper()
	lines, err := h.agent.Timeline(context.WithoutCancel(h.lab.t.Context()), 50)
	if err != nil {
		h.lab.t.Fatal(err)
	}
	for _, l := range lines {
		list = append(list, l.Category+": "+l.Text)
	}
	return list
}
