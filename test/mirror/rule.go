package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// rule is one lie. Path is a regular expression for the path of a request.
type rule struct {
	Path  string `json:"path"`
	Do    string `json:"do"`
	Times int    `json:"times"` // how often; 0 is always

	Status int               `json:"status"` // serve: 0 is 200
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"` // instead of the true answer; append: behind it

	Old  string `json:"old"`  // replace
	New  string `json:"new"`  // replace, instead
	Size int    `json:"size"` // truncate: bytes that are left; flip: which byte, from the middle

	path *regexp.Regexp
	hits int
	sent int64
}

// book has the rules of all hosts.
type book struct {
	mu    sync.Mutex
	rules map[string][]*rule
}

// take finds the rule for a request, and counts it.
func (b *book) take(host, path string) *rule {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.rules[host] {
		if r.path.MatchString(path) && (r.Times == 0 || r.hits < r.Times) {
			r.hits++
			return r
		}
	}
	return nil
}

func (b *book) sent(r *rule, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.sent += int64(n)
}

// hit is what became of a rule.
type hit struct {
	Hits int   `json:"hits"`
	Sent int64 `json:"sent"`
}

// control answers /-/rules/ID: PUT sets the rules, GET says what became of them.
func (b *book) control(w http.ResponseWriter, r *http.Request, host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Method != http.MethodPut {
		out := []hit{}
		for _, r := range b.rules[host] {
			out = append(out, hit{r.hits, r.sent})
		}
		json.NewEncoder(w).Encode(out)
		return
	}
	var rules []*rule
	if err := json.NewDecoder(r.Body).Decode(&rules); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, one := range rules {
		re, err := regexp.Compile(one.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		one.path = re
	}
	b.rules[host] = rules
}

// lie answers a request by a rule; next is the true answer.
func (m *mirror) lie(w http.ResponseWriter, r *http.Request, one *rule, next http.Handler) {
	if one.Do == "serve" {
		for k, v := range one.Header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(max(one.Status, http.StatusOK))
		n, _ := w.Write(one.Body)
		m.book.sent(one, n)
		return
	}
	r.Header.Del("If-None-Match") // what is to be changed must come
	switch one.Do {
	case "instead":
		r.URL.Path = one.path.ReplaceAllString(r.URL.Path, one.New)
		next.ServeHTTP(w, r)
		return
	case "replace":
		r.Header.Set("Accept", "application/json")
		r.Header.Set("Accept-Encoding", "identity")
	}
	was := &kept{header: http.Header{}, status: http.StatusOK}
	if len(one.Body) > 0 && one.Do != "append" {
		was.body.Write(one.Body) // what the true server may not have any more
	} else {
		next.ServeHTTP(was, r)
	}
	body := was.body.Bytes()
	switch one.Do {
	case "flip":
		if len(body) > 0 {
			body[min(max(len(body)/2+one.Size, 0), len(body)-1)] ^= 1
		}
	case "replace":
		body = bytes.ReplaceAll(body, []byte(one.Old), []byte(one.New))
	case "truncate":
		body = body[:min(one.Size, len(body))]
	case "append":
		body = append(body, one.Body...)
	case "lose": // the server has it; whoever asked does not learn that
		panic(http.ErrAbortHandler)
	}
	for k, v := range was.header {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	switch one.Do {
	case "endless":
		w.WriteHeader(was.status)
		m.endless(w, one, body)
	case "drip":
		w.WriteHeader(was.status)
		m.drip(w, r, one, body)
	case "huge":
		w.Header().Set("Content-Length", "1000000000000")
		w.WriteHeader(was.status)
		n, _ := w.Write(body)
		m.book.sent(one, n)
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(was.status)
		n, _ := w.Write(body)
		m.book.sent(one, n)
	}
}

// endless goes on until the other side has had enough.
func (m *mirror) endless(w io.Writer, one *rule, body []byte) {
	for block := bytes.Repeat([]byte(" "), 64<<10); ; body = block {
		n, err := w.Write(body)
		m.book.sent(one, n)
		if err != nil {
			return
		}
	}
}

// drip sends a byte, and the next ten seconds later.
func (m *mirror) drip(w http.ResponseWriter, r *http.Request, one *rule, body []byte) {
	for i := range body {
		n, err := w.Write(body[i : i+1])
		m.book.sent(one, n)
		if err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(10 * time.Second):
		}
	}
}

// kept is an answer that was not sent yet.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }
