package identity

import (
	"context"
	"strings"
)

// Machine is the identity as it is at each request: it is renewed while the agent
// runs.
type Machine struct {
	DataDir   string
	UserAgent string
}

// CA are the authorities that the machine believes, PEM; nil before it has joined.
func (m Machine) CA() []byte {
	id, err := Load(m.DataDir)
	if err != nil {
		return nil
	}
	return []byte(id.CA)
}

// Ask posts to a path of the server, as this machine, and reads the answer.
func (m Machine) Ask(ctx context.Context, path string, in, out any) error {
	id, err := Load(m.DataDir)
	if err != nil {
		return err
	}
	client, prepare, err := id.HTTP(m.UserAgent)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	_, err = Post(ctx, client, strings.TrimSuffix(id.Server, "/")+path, prepare, in, out)
	return err
}
