package identity

import (
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
	lock, err := hold(dataDir)
	if err != nil {
		return fmt.Errorf("cannot change the machine's identity: %w", err)
	}
	defer lock.Release()
	id, err := Load(dataDir)
	if err == nil {
		err = fn(&id)
	}
	if err == nil {
		err = id.check()
	}
	if err != nil {
		return fmt.Errorf("cannot change the machine's identity: %w", err)
	}
	return id.save(dataDir)
}

// replace changes the identity as it is on the disk by now: the agent renews it,
// and somebody at the machine sets its policy, in two processes at once.
func (id Identity) replace(fn func(*Identity)) (Identity, error) {
	lock, err := hold(id.dir)
	if err != nil {
		return id, fmt.Errorf("cannot change the machine's identity: %w", err)
	}
	defer lock.Release()
	now := id.now()
	fn(&now)
	if err := now.check(); err != nil {
		return id, err
	}
	return now, now.save(id.dir)
}

// How long a change waits for another one, which takes a few writes.
const (
	holdWait = 10 * time.Second
	holdStep = 10 * time.Millisecond
)

// hold keeps others from changing the identity.
func hold(dataDir string) (*filelock.Lock, error) {
	for late := time.Now().Add(holdWait); ; time.Sleep(holdStep) {
		lock, err := filelock.Acquire(filepath.Join(dataDir, "identity.lock"))
		if !errors.Is(err, filelock.ErrHeld) || time.Now().After(late) {
			return lock, err
		}
	}
}
