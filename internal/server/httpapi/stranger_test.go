package httpapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// A stranger who sends a byte now and then does not keep us waiting for ever.
func TestStrangersBodyHasItsTime(t *testing.T) {
	s := everything(io.Discard)
	s.reading = 50 * time.Millisecond
	read := make(chan error, 1)
	s.Parts.Join = func(_ http.ResponseWriter, r *http.Request) (any, int, error) {
		_, err := io.ReadAll(r.Body)
		read <- err
		return nil, 0, err
	}
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-read:
		if err == nil {
			t.Error("half a body is whole")
		}
	case <-time.After(20 * time.Second):
		t.Error("it is still being read")
	}
}
