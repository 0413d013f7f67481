// Package cifs reads a depot's products from a Windows share (SMB 2 and 3), the
// seed's second protocol.
//
// A share has no certificate: whoever answers at its address is believed to be
// the depot. So nothing that comes from it is believed either; what checks the
// content is the caller's (package folder). Here each message must be signed, a
// guest's session, which cannot sign, is refused, and messages are encrypted
// where the share asks for it. The password never travels (NTLMv2).
//
// One connection serves all files. It is made when the first is opened, made
// anew when it broke, and only read through. Links are followed as the share
// does it.
package cifs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/cloudsoda/go-smb2"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// Credentials open a share.
type Credentials struct{ Domain, User, Password string }

// Share is a depot's share. It must be made by [New], and closed.
type Share struct {
	address, share, dir string
	credentials         func(context.Context) (Credentials, error)

	dial func(ctx context.Context, network, address string) (net.Conn, error)

	closing sync.WaitGroup // files

	mu   sync.Mutex
	live *connection
}

type connection struct {
	net   net.Conn
	share *smb2.Share
}

// patience bounds the making of a connection.
const patience = 20 * time.Second

// Parse reads a share's address as opsi writes it, smb://host/share or
// smb://host/share/folder; cifs:// is the same. A port may be given.
func Parse(text string) (address, share, dir string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "smb" && u.Scheme != "cifs" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", "", "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %q as a share's address", text), "write it as smb://SERVER/SHARE")
	}
	if u.User != nil {
		return "", "", "", fleet.Errorf(fleet.Invalid, "cannot use a share's address with a user in it")
	}
	port := u.Port()
	if port == "" {
		port = "445"
	}
	share, dir, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	if share == "" || strings.ContainsAny(share+dir, "\\\x00") || dir != "" && path.Clean("/"+dir) != "/"+dir {
		return "", "", "", fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot use %q as a share's address", text), "write it as smb://SERVER/SHARE")
	}
	return net.JoinHostPort(u.Hostname(), port), share, dir, nil
}

// New makes a share of its address; credentials are asked for when it is
// connected.
func New(address string, credentials func(context.Context) (Credentials, error)) (*Share, error) {
	s := &Share{credentials: credentials, dial: (&net.Dialer{}).DialContext}
	var err error
	s.address, s.share, s.dir, err = Parse(address)
	return s, err
}

// Address is host and port, for measuring how far the share is.
func (s *Share) Address() string { return s.address }

// Folder is a product's folder on a share. It is a folder.Folder.
type Folder struct {
	Share   *Share
	Product string
}

// String implements folder.Folder.
func (f *Folder) String() string { return "cifs " + f.Share.address }

// Open implements folder.Folder.
func (f *Folder) Open(ctx context.Context, name string, offset, length, size int64) (io.ReadCloser, error) {
	c, err := f.Share.connect(ctx)
	if err != nil {
		return nil, err
	}
	file, err := c.share.WithContext(ctx).Open(path.Join(f.Share.dir, f.Product, name))
	if err != nil {
		return nil, f.Share.fault(ctx, c, err)
	}
	if length < 0 {
		length = math.MaxInt64
	}
	return &reader{ctx: ctx, share: f.Share, c: c, file: file, offset: offset, left: length, known: size >= 0}, nil
}

// reader reads a part of a file, as much at once as is asked for.
type reader struct {
	ctx          context.Context
	share        *Share
	c            *connection
	file         *smb2.File
	offset, left int64
	known        bool // that so much must be there
}

func (r *reader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.left)], r.offset)
	r.offset += int64(n)
	r.left -= int64(n)
	switch {
	case err == io.EOF && n == 0 && r.known: // the share's word, no broken connection's
		err = fleet.Errorf(fleet.Conflict, "the file has %d bytes on the depot, and more are listed", r.offset)
	case err == io.EOF && n > 0:
		err = nil
	case err != nil && err != io.EOF:
		err = r.share.fault(r.ctx, r.c, err)
	}
	return n, err
}

// Close gives the file back, and does not wait for the answer: on a far line
// that would be a third of the time of a small file.
func (r *reader) Close() error {
	r.share.closing.Go(func() { r.file.Close() })
	return nil
}

// connect returns the live connection, or makes one.
func (s *Share) connect(ctx context.Context) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live != nil {
		return s.live, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the share does not answer within %v", patience))
	defer cancel()
	cred, err := s.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot get the credentials of the share: %w", err)
	}
	if cred.User == "" || cred.Password == "" { // else it would be a guest's session
		return nil, fleet.WithHint(fleet.Errorf(fleet.Unauthenticated, "there is no password for the share %s", s.address),
			"set it with user_setCredentials on the server, or in [depot_server] of agent.conf")
	}
	conn, err := s.dial(ctx, "tcp", s.address)
	if err != nil {
		return nil, fleet.Errorf(fleet.Unavailable, "cannot reach the share: %w", err)
	}
	// What the library waits for does not always end with the context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	d := smb2.Dialer{Negotiator: smb2.Negotiator{RequireMessageSigning: true},
		Initiator: &smb2.NTLMInitiator{User: cred.User, Password: cred.Password, Domain: cred.Domain}}
	session, err := d.DialConn(ctx, conn, s.address)
	if err == nil {
		var share *smb2.Share
		if share, err = session.WithContext(ctx).Mount(s.share); err == nil {
			s.live = &connection{conn, share}
			return s.live, nil
		}
	}
	conn.Close()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return nil, fmt.Errorf("cannot connect to %s on the share: %w", s.share, coded(err))
}

// fault makes an error of a library's, and gives a broken connection up.
func (s *Share) fault(ctx context.Context, c *connection, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	err = coded(err)
	if fleet.CodeOf(err) == fleet.Unavailable {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.live == c {
			s.live = nil
			c.net.Close()
		}
	}
	return err
}

// NT status codes (MS-ERREF 2.3.1) that say more than that something failed.
const (
	statusAccessDenied    = 0xC0000022
	statusLogonFailure    = 0xC000006D
	statusAccountLocked   = 0xC0000234
	statusAccountDisabled = 0xC0000072
	statusPasswordExpired = 0xC0000071
	statusBadNetworkName  = 0xC00000CC
	statusBadName         = 0xC0000033 // one that Windows cannot have
)

func coded(err error) error {
	if _, ok := errors.AsType[*fleet.Error](err); ok {
		return err
	}
	code := fleet.Unavailable
	var status uint32
	if answer, ok := errors.AsType[*smb2.ResponseError](err); ok {
		status = answer.Code
		code = fleet.Internal // it answers, but it cannot
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), status == statusBadNetworkName, status == statusBadName:
		code = fleet.NotFound
	case errors.Is(err, fs.ErrPermission), status == statusAccessDenied:
		code = fleet.Denied
	case status == statusLogonFailure, status == statusAccountLocked, status == statusAccountDisabled, status == statusPasswordExpired:
		code = fleet.Unauthenticated
	}
	return fleet.Errorf(code, "the share says: %w", err)
}

// Close ends the connection.
func (s *Share) Close() error {
	s.mu.Lock()
	var err error
	if s.live != nil {
		err = s.live.net.Close()
		s.live = nil
	}
	s.mu.Unlock()
	s.closing.Wait()
	return err
}
