package main

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/agent/identity"
	"github.com/fernwerk/fernwerk/internal/kit/pin"
	"github.com/fernwerk/fernwerk/test/e2e/site"
)

// sample is how many files the sequential downloader fetches really.
const sample = 300

// webdav downloads as a simple client does, opsi's among them: one connection,
// a PROPFIND for each folder, a GET for each file, one after the other, with
// the host's key as password.
type webdav struct {
	client *http.Client
	base   string
	id     identity.Identity
}

// sequential downloads a sample of whole folders, and tells what all of the
// tree costs at the same time for each request and the same overhead in bytes:
// the line's rate carries the content, the rest of the time is waiting.
func (b *bench) sequential(ctx context.Context, s *site.Server, line *site.Line, id identity.Identity, t *tree) (all measured, files int, err error) {
	w, err := plainWebDAV(line, id)
	if err != nil {
		return all, 0, err
	}
	defer w.client.CloseIdleConnections()
	dir := filepath.Join(b.scratch, "webdav")
	if err := os.RemoveAll(dir); err != nil {
		return all, 0, err
	}
	// The same folders each time, and not the first ones.
	order := rand.New(rand.NewPCG(1, 1)).Perm(len(t.folders))
	line.Reset()
	began := time.Now()
	requests, content := 0, int64(0)
	for _, i := range order {
		if files >= sample {
			break
		}
		names, err := w.list(ctx, t.folders[i])
		if err != nil {
			return all, files, err
		}
		requests++
		for _, name := range names {
			n, err := w.get(ctx, path.Join(t.folders[i], name), filepath.Join(dir, filepath.FromSlash(t.folders[i]), name))
			if err != nil {
				return all, files, err
			}
			requests, files, content = requests+1, files+1, content+n
		}
	}
	took := time.Since(began).Seconds()
	up, down := line.Counts()
	b.say("sequential WebDAV: %d folders and files, %d bytes of content, in %.1f s, %d bytes over the line", requests, content, took, up+down)
	rate := float64(site.Branch.Rate)
	waiting := (took - float64(content)/rate) / float64(requests)
	overhead := float64(up+down-content) / float64(requests)
	total := float64(len(t.files) + len(t.folders))
	return measured{waiting*total + float64(t.bytes)/rate, int64(overhead*total) + t.bytes}, files, nil
}

// plainWebDAV is such a client behind a line.
func plainWebDAV(line *site.Line, id identity.Identity) (*webdav, error) {
	cfg, err := pin.Config("127.0.0.1", []byte(id.CA), "")
	if err != nil {
		return nil, err
	}
	return &webdav{base: line.URL(), id: id, client: &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, MaxConnsPerHost: 1,
		DisableCompression: true, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}}, nil
}

func (w *webdav) do(ctx context.Context, method, name string, header http.Header) (*http.Response, error) {
	address, err := url.JoinPath(w.base, "depot", product, (&url.URL{Path: name}).EscapedPath())
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.SetBasicAuth(w.id.HostID, w.id.HostKey)
	return w.client.Do(req)
}

// list asks for a folder, and returns the names of its files.
func (w *webdav) list(ctx context.Context, folder string) (names []string, err error) {
	resp, err := w.do(ctx, "PROPFIND", folder+"/", http.Header{"Depth": {"1"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMultiStatus {
		return nil, fmt.Errorf("PROPFIND of %s: %s", folder, resp.Status)
	}
	var answer struct {
		Responses []struct {
			Href       string    `xml:"href"`
			Collection *struct{} `xml:"propstat>prop>resourcetype>collection"`
		} `xml:"response"`
	}
	if err := xml.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("PROPFIND of %s: %w", folder, err)
	}
	for _, r := range answer.Responses {
		u, err := url.Parse(r.Href)
		if err != nil {
			return nil, err
		}
		if r.Collection == nil {
			names = append(names, path.Base(u.Path))
		}
	}
	return names, nil
}

// get downloads a file.
func (w *webdav) get(ctx context.Context, name, to string) (n int64, err error) {
	resp, err := w.do(ctx, "GET", name, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("GET of %s: %s", name, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	f, err := os.Create(to)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, resp.Body)
	return n, errors.Join(err, f.Close())
}
