package watchtower

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const stateVersion = 1

// Status is how far a submission is.
type Status string

// The statuses of a submission.
const (
	// StatusPending: to be submitted, now or at NextTry.
	StatusPending Status = "pending"
	// StatusSent: a transaction was signed and may be included until TimeoutHeight.
	StatusSent Status = "sent"
	// StatusDone: the proof was accepted, or is not needed any more.
	StatusDone Status = "done"
	// StatusRefused: the chain will never accept it.
	StatusRefused Status = "refused"
)

// Submission is what became of one piece of evidence at one consumer of one provider chain.
type Submission struct {
	Status     Status `json:"status"`
	ConsumerID string `json:"consumer_id"`
	// Result is the last outcome in a word, as in the metrics.
	Result   string    `json:"result,omitempty"`
	Attempts int       `json:"attempts,omitempty"`
	NextTry  time.Time `json:"next_try,omitzero"`
	// TxHash is the transaction sent last; it cannot be in a block at or below FromHeight or above TimeoutHeight.
	TxHash        string    `json:"tx_hash,omitempty"`
	FromHeight    int64     `json:"from_height,omitempty"`
	TimeoutHeight int64     `json:"timeout_height,omitempty"`
	Error         string    `json:"error,omitempty"`
	UpdatedAt     time.Time `json:"updated_at,omitzero"`
}

// open reports whether something is left to be done.
func (s Submission) open() bool { return s.Status == StatusPending || s.Status == StatusSent }

// chainState is the place in one chain.
type chainState struct {
	// Height is the last height worked on.
	Height int64 `json:"height"`
}

// evidenceState is a piece of evidence with its submissions by "provider chain/consumer id".
type evidenceState struct {
	ChainID      string                `json:"chain_id"`
	Kind         Kind                  `json:"kind"`
	Height       int64                 `json:"height"`
	CommonHeight int64                 `json:"common_height,omitempty"`
	Time         time.Time             `json:"time"`
	FoundAt      time.Time             `json:"found_at"`
	Payload      [][]byte              `json:"payload"`
	Submissions  map[string]Submission `json:"submissions"`
}

type stateFile struct {
	Version  int                       `json:"version"`
	Chains   map[string]*chainState    `json:"chains"`
	Evidence map[string]*evidenceState `json:"evidence"`
}

// ErrState is a state file that cannot be used.
var ErrState = errors.New("state file cannot be used")

// Store is the state file. Its methods may be called from many goroutines; a method that returns nil has its change on
// disk, except Advance.
type Store struct {
	path     string
	readOnly bool
	rename   func(from, to string) error // tests crash here

	mu     sync.Mutex
	data   stateFile
	parsed map[string]*Evidence
}

// OpenStore reads the state file; a file that does not exist is an empty state. A read-only store changes only its
// memory.
func OpenStore(path string, readOnly bool) (*Store, error) {
	s := &Store{
		path: path, readOnly: readOnly, rename: os.Rename,
		data: stateFile{
			Version: stateVersion, Chains: make(map[string]*chainState), Evidence: make(map[string]*evidenceState),
		},
		parsed: make(map[string]*Evidence),
	}
	bz, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = s.decode(bz)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w; move it away to start anew", ErrState, path, err)
	}
	return s, nil
}

func (s *Store) decode(bz []byte) error {
	var data stateFile
	dec := json.NewDecoder(bytes.NewReader(bz))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&data); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	if data.Version != stateVersion {
		return fmt.Errorf("version %d, this program knows %d", data.Version, stateVersion)
	}
	if data.Chains == nil || data.Evidence == nil {
		return errors.New("incomplete")
	}
	for id, chain := range data.Chains {
		if chain == nil || chain.Height < 0 {
			return fmt.Errorf("place in chain %q", id)
		}
	}
	for hash, ev := range data.Evidence {
		if ev == nil {
			return fmt.Errorf("evidence %s is empty", hash)
		}
		parsed, err := ev.parse()
		if err != nil {
			return fmt.Errorf("evidence %s: %w", hash, err)
		}
		if ev.Submissions == nil {
			ev.Submissions = make(map[string]Submission)
		}
		for key, sub := range ev.Submissions {
			if !slices.Contains([]Status{StatusPending, StatusSent, StatusDone, StatusRefused}, sub.Status) {
				return fmt.Errorf("evidence %s: submission %s: status %q", hash, key, sub.Status)
			}
		}
		s.parsed[hash] = parsed
	}
	s.data = data
	return nil
}

func (e *evidenceState) parse() (*Evidence, error) {
	out := &Evidence{ChainID: e.ChainID, Kind: e.Kind, Height: e.Height, CommonHeight: e.CommonHeight, Time: e.Time}
	return out, out.setPayload(e.Payload)
}

// save replaces the file whole: after a crash it is either the old or the new one.
//
// CONTRACT: the lock is held.
func (s *Store) save() error {
	if s.readOnly {
		return nil
	}
	bz, err := json.MarshalIndent(s.data, "", " ")
	if err != nil {
		return err
	}
	temp := s.path + ".tmp"
	if err := writeSynced(temp, bz); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := s.rename(temp, s.path); err != nil {
		return fmt.Errorf("replace state: %w", err)
	}
	// The new name must survive a power failure, too.
	dir, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return fmt.Errorf("replace state: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func writeSynced(path string, bz []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(bz)
	return errors.Join(err, f.Sync(), f.Close())
}

// Height is the last height worked on, and false if the chain has not been followed yet.
func (s *Store) Height(chainID string) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	chain, ok := s.data.Chains[chainID]
	if !ok {
		return 0, false
	}
	return chain.Height, true
}

// Advance sets the last height worked on, in memory only: if it is lost, some blocks are read again.
func (s *Store) Advance(chainID string, height int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.Chains[chainID] = &chainState{Height: height}
}

// Save writes what is only in memory.
func (s *Store) Save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.save()
}

// Record adds evidence and returns what of it is new. It is on disk before the caller may go past its block.
func (s *Store) Record(now time.Time, found ...*Evidence) ([]*Evidence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var added []*Evidence
	for _, ev := range found {
		hash := ev.Hash()
		if _, ok := s.data.Evidence[hash]; ok {
			continue
		}
		payload, err := ev.payload()
		if err != nil {
			return nil, err
		}
		s.data.Evidence[hash] = &evidenceState{
			ChainID: ev.ChainID, Kind: ev.Kind, Height: ev.Height, CommonHeight: ev.CommonHeight, Time: ev.Time,
			FoundAt: now, Payload: payload, Submissions: make(map[string]Submission),
		}
		s.parsed[hash] = ev
		added = append(added, ev)
	}
	if len(added) == 0 {
		return nil, nil
	}
	return added, s.save()
}

// Complete stores the second header of misbehaviour.
func (s *Store) Complete(hash string, ev *Evidence) error {
	payload, err := ev.payload()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, ok := s.data.Evidence[hash]
	if !ok {
		return nil
	}
	stored.Payload = payload
	s.parsed[hash] = ev
	return s.save()
}

// Found is a piece of evidence with its name.
type Found struct {
	Hash     string
	Evidence *Evidence
}

// Evidence returns what is known of all chains but one, oldest first.
func (s *Store) Evidence(exceptChain string) []Found {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Found
	for hash, ev := range s.data.Evidence {
		if ev.ChainID != exceptChain {
			out = append(out, Found{Hash: hash, Evidence: s.parsed[hash]})
		}
	}
	slices.SortFunc(out, func(a, b Found) int {
		if c := s.data.Evidence[a.Hash].FoundAt.Compare(s.data.Evidence[b.Hash].FoundAt); c != 0 {
			return c
		}
		return strings.Compare(a.Hash, b.Hash)
	})
	return out
}

// Submission returns a copy of a submission, and false if there is none.
func (s *Store) Submission(hash, target string) (Submission, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev, ok := s.data.Evidence[hash]
	if !ok {
		return Submission{}, false
	}
	sub, ok := ev.Submissions[target]
	return sub, ok
}

// SetSubmission stores a submission. Evidence forgotten meanwhile is an error: what is to be sent must be on disk.
func (s *Store) SetSubmission(hash, target string, sub Submission) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev, ok := s.data.Evidence[hash]
	if !ok {
		return fmt.Errorf("evidence %s is forgotten", hash)
	}
	ev.Submissions[target] = sub
	return s.save()
}

// Targets returns the names of a piece of evidence's submissions whose provider chain is chainID, sorted.
func (s *Store) Targets(hash, chainID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev, ok := s.data.Evidence[hash]
	if !ok {
		return nil
	}
	var out []string
	for target := range maps.Keys(ev.Submissions) {
		if providerOf(target) == chainID {
			out = append(out, target)
		}
	}
	slices.Sort(out)
	return out
}

// Open counts the submissions to a provider chain that are not finished.
func (s *Store) Open(chainID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, ev := range s.data.Evidence {
		for target, sub := range ev.Submissions {
			if providerOf(target) == chainID && sub.open() {
				n++
			}
		}
	}
	return n
}

// Forget drops evidence whose time is before a limit, unless a transaction of it may still be included.
func (s *Store) Forget(before time.Time) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for hash, ev := range s.data.Evidence {
		if !ev.Time.Before(before) {
			continue
		}
		sent := false
		for _, sub := range ev.Submissions {
			sent = sent || sub.Status == StatusSent
		}
		if !sent {
			delete(s.data.Evidence, hash)
			delete(s.parsed, hash)
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, s.save()
}
