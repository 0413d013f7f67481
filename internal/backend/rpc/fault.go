package rpc

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
)

// faults ties the meanings of errors to the class names of opsi's exceptions
// and to HTTP statuses. Of several rows with one class the first says what the
// class means when it comes from a plain opsi server.
var faults = []struct {
	code   fleet.Code
	class  string
	status int // for a request refused as a whole
}{
	{fleet.Internal, "BackendError", http.StatusInternalServerError},
	{fleet.Invalid, "BackendBadValueError", http.StatusBadRequest},
	{fleet.NotFound, "BackendMissingDataError", http.StatusNotFound},
	{fleet.Conflict, "BackendReferentialIntegrityError", http.StatusConflict},
	{fleet.Exists, "BackendReferentialIntegrityError", http.StatusConflict},
	{fleet.Unavailable, "BackendTemporaryError", http.StatusServiceUnavailable},
	{fleet.Locked, "BackendTemporaryError", http.StatusLocked},
	{fleet.Unauthenticated, "BackendAuthenticationError", http.StatusUnauthorized},
	{fleet.Denied, "BackendPermissionDeniedError", http.StatusForbidden},
	{fleet.TooLarge, "BackendBadValueError", http.StatusRequestEntityTooLarge},
	{fleet.NotHere, "BackendUnaccomplishableError", http.StatusNotImplemented},
}

// foreign are further classes that opsi servers send; what is in neither table
// is Internal.
var foreign = map[string]fleet.Code{
	"ValueError":                 fleet.Invalid, // an unknown method, among others
	"TypeError":                  fleet.Invalid,
	"KeyError":                   fleet.Invalid,
	"BackendModuleDisabledError": fleet.NotHere,
	"LicenseMissingError":        fleet.NotFound,
	"LicenseConfigurationError":  fleet.Conflict,
}

func classOf(code fleet.Code) string {
	for _, f := range faults {
		if f.code == code {
			return f.class
		}
	}
	return classOf(fleet.Internal)
}

func statusOf(code fleet.Code) int {
	for _, f := range faults {
		if f.code == code {
			return f.status
		}
	}
	return http.StatusInternalServerError
}

// codeOf finds the meaning of an error object: our code, or opsi's class name.
func codeOf(code, class string) fleet.Code {
	for _, f := range faults {
		if string(f.code) == code {
			return f.code
		}
	}
	for _, f := range faults {
		if f.class == class {
			return f.code
		}
	}
	if c, ok := foreign[class]; ok {
		return c
	}
	return fleet.Internal
}

// fault is the error of one answer.
type fault struct {
	code    fleet.Code
	class   string // opsi's name for it, where it is not the code's usual one
	text    string
	hint    string
	details string // for administrators only
}

// object is the error as JSON-RPC 2.0 or as the older form has it. The number
// is 0 as opsi sends it: the meaning is in the class and in our code.
func (f *fault) object(v2 bool) map[string]any {
	data := map[string]any{"class": cmp.Or(f.class, classOf(f.code)), "details": nil, "code": string(f.code)}
	if f.details != "" {
		data["details"] = f.details
	}
	if f.hint != "" {
		data["hint"] = f.hint
	}
	if v2 {
		return map[string]any{"code": int64(0), "message": f.text, "data": data}
	}
	data["message"] = f.text
	return data
}

// parseFault rebuilds an error from either form, from the {code, text, hint} of
// our other HTTP services, or from a bare text.
func parseFault(v any) *fleet.Error {
	obj, ok := v.(map[string]any)
	if !ok {
		text, _ := v.(string)
		return &fleet.Error{Code: fleet.Internal, Text: cmp.Or(text, "server reports an error without a text")}
	}
	data, ok := obj["data"].(map[string]any)
	if !ok {
		data = obj
	}
	str := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	e := &fleet.Error{
		Code: codeOf(str(data, "code"), str(data, "class")),
		Text: cmp.Or(str(obj, "message"), str(obj, "text"), "server reports an error without a text"),
		Next: str(data, "hint"),
	}
	if class := str(data, "class"); class != classOf(e.Code) {
		e.Class = class
	}
	return e
}

// A RetryAfter in the chain of an Unavailable error says when to ask again. A
// Backend behind a [Handler] may return it, and a [Client] does; it sends
// nothing until then.
type RetryAfter struct{ Wait time.Duration }

func (e *RetryAfter) Error() string { return "try again in " + e.Wait.Round(time.Second).String() }

// The wait that a client obeys, in seconds; opsi's limits.
const (
	shortestWait = 1
	longestWait  = 7200
	usualWait    = 60
)

// parseRetryAfter reads the header; a date or nonsense is the usual wait.
func parseRetryAfter(header string) time.Duration {
	n, err := strconv.Atoi(strings.TrimSpace(header))
	if err != nil {
		return usualWait * time.Second
	}
	return time.Duration(min(max(n, shortestWait), longestWait)) * time.Second
}

// headerText makes a text fit for x-opsi-error: 64 printable ASCII characters.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 64)]
}
