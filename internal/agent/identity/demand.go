package identity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/enrol"
	"github.com/fernwerk/fernwerk/internal/kit/filelock"
)

// SetPolicy changes what the machine demands of content. Only somebody on the
// machine does it; the running agent goes by it from then on.
func SetPolicy(dataDir string, policy enrol.Policy) error {
	if err := enrol.ValidPolicy(policy); err != nil {
		return err
	}
	return change(dataDir, func(id *Identity) error {
		if policy != enrol.PlainOpsi && policy != "" && id.TrustVersion == 0 {
			return fleet.WithHint(fleet.Errorf(fleet.Invalid, "cannot demand %s content: this machine has no trust root", policy),
				"give it one first: fernwerk-agent trust pin VERSION SHA256; fernwerk trust status prints both")
		}
		id.Policy = policy
		return nil
	})
}

// SetRoot changes the root that the machine begins with; what it followed from
// another one does not count any more.
func SetRoot(dataDir string, root enrol.Root) error {
	if err := root.Check(); err != nil {
		return err
	}
	return change(dataDir, func(id *Identity) error {
		id.TrustVersion, id.TrustSHA256 = root.Version, root.SHA256
		return nil
	})
}

func change(dataDir string, fn func(*Identity) error) error {
	err := alone(dataDir, func() error {
		id, err := Load(dataDir)
		if err == nil {
			err = fn(&id)
		}
		if err == nil {
			err = id.check()
		}
		if err == nil {
			err = id.save(dataDir)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot change the machine's identity: %w", err)
	}
	return nil
}

// patience is for another one who changes the identity: a file is read and written.
const patience = 10 * time.Second

// alone runs what reads the identity and writes it while nobody else does: the
// agent renews a certificate, and somebody on the machine sets the policy.
func alone(dataDir string, fn func() error) error {
	lock, err := filelock.Await(context.Background(), filepath.Join(dataDir, "identity.lock"), patience)
	if err != nil {
		return err
	}
	return errors.Join(fn(), lock.Release())
}
