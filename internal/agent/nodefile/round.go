package nodefile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/fernwerk/fernwerk/internal/fleet"
	"github.com/fernwerk/fernwerk/internal/fleet/nodefile"
)

// Round asks once, makes the files right, and tells. Its error says that the list
// may not be the newest, or that the server does not know how the files are.
func (s *Service) Round(ctx context.Context) error {
	s.working.Lock()
	defer s.working.Unlock()
	defer s.show()
	nodeType, policy, err := s.Who()
	if err != nil {
		return err
	}
	if nodeType == "" && s.state.List == "" {
		return nil // most machines are no nodes: their start costs nobody a question
	}
	signed := signs(policy)
	answer, asked := s.ask(ctx, signed, false)
	if fleet.CodeOf(asked) == fleet.NotFound { // a server of before, or opsi's
		asked = nil
	}
	if asked == nil {
		s.state.Asked = s.Now().UTC().Truncate(time.Second)
		if answer.Every > 0 {
			s.every = max(leastWait, min(time.Duration(answer.Every)*time.Second, mostWait))
		}
	}
	text := s.state.Text
	switch {
	case signed:
		text, err = s.signed(ctx, nodeType)
	case asked == nil && answer.List != nil:
		nodeType, text = answer.NodeType, answer.List // its word counts
	}
	if err == nil {
		err = s.follow(nodeType, text, signed)
	}
	s.state.Problem = ""
	if err != nil {
		s.state.Problem = err.Error()
		if h := fleet.HintOf(err); h != "" {
			s.state.Problem += "; " + h
		}
	}
	// A list that was taken at the server's word counts no more once signatures are
	// asked for.
	if l := s.state.list(); l != nil && (!signed || s.state.Signed) {
		if saved := s.apply(ctx, l); saved != nil {
			return saved
		}
	}
	if saved := s.save(); saved != nil {
		return saved
	}
	if asked != nil {
		return asked
	}
	if s.untold() || answer.Tell {
		if _, told := s.ask(ctx, signed, answer.Tell); told != nil && fleet.CodeOf(told) != fleet.NotFound {
			return told
		}
	}
	return err
}

// follow takes a list, if it is one for this machine.
func (s *Service) follow(nodeType string, text []byte, signed bool) error {
	if text == nil {
		return nil
	}
	if nodefile.Sum(text) == s.state.List {
		s.state.Signed = signed
		return nil
	}
	l, err := nodefile.Parse(text)
	if err == nil && l.NodeType != nodeType {
		err = fleet.Errorf(fleet.Denied, "the list is for nodes of type %q, and this is one of type %q", l.NodeType, nodeType)
	}
	if err != nil {
		return fmt.Errorf("refused a list of files, the one before goes on counting: %w", err)
	}
	s.state.List, s.state.Text, s.state.Signed = nodefile.Sum(text), text, signed
	return nil
}

// signed is the list that was signed offline; one without files if none was.
func (s *Service) signed(ctx context.Context, nodeType string) ([]byte, error) {
	if nodeType == "" {
		return nil, nil
	}
	if err := s.Trust.Refresh(ctx); err != nil {
		s.Log.Debug("Signed documents were not renewed", "error", err)
	}
	name := nodefile.Target(nodeType)
	sum, ok := s.Trust.Digest(name)
	if ok && hex.EncodeToString(sum[:]) == s.state.List {
		return s.state.Text, nil
	}
	data, err := s.Trust.Content(ctx, name)
	if !ok && fleet.CodeOf(err) == fleet.NotFound {
		return (&nodefile.List{NodeType: nodeType}).Bytes()
	}
	return data, err
}

// untold tells whether the server does not know yet how things are.
func (s *Service) untold() bool {
	report, err := json.Marshal(s.state.report())
	return err == nil && string(report) != s.told.report || !slices.Equal(s.told.keys, s.hostKeys())
}

// ask asks the server once, and tells it what it does not know.
func (s *Service) ask(ctx context.Context, signed, all bool) (answer nodefile.Answer, err error) {
	req := nodefile.Request{Holds: s.state.List, Signed: signed}
	now := told{keys: s.hostKeys()}
	report := s.state.report()
	text, err := json.Marshal(report)
	now.report = string(text)
	if all || now.report != s.told.report {
		req.Report = report
	}
	if all || !slices.Equal(now.keys, s.told.keys) {
		req.HostKeys = now.keys
	}
	if err != nil {
		return answer, err
	}
	if err := s.Ask(ctx, nodefile.AskPath, req, &answer); err != nil {
		return answer, fleet.Errorf(fleet.CodeOf(err), "cannot ask for the files of this node: %w", err)
	}
	s.told = now
	for _, e := range s.state.Files {
		e.Told = e.State == nodefile.Removed
	}
	return answer, nil
}

// fetch is the content of a file, verified.
func (s *Service) fetch(ctx context.Context, f nodefile.File) ([]byte, error) {
	var answer nodefile.BlobAnswer
	if err := s.Ask(ctx, nodefile.BlobPath, nodefile.BlobRequest{SHA256: f.SHA256}, &answer); err != nil {
		return nil, waitsFor(fmt.Errorf("its content cannot be had: %w", err))
	}
	return f.Open(answer.Blob)
}
