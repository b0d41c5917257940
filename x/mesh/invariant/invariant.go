// Package invariant checks what must hold over the whole of a module's state, in pages of bounded work, so that a node
// that serves a chain can be asked.
//
// A check is a list of phases. Each goes through one collection and looks at its objects one by one; what it remembers from
// one object to the next, as a sum, is small and travels in the key of the next page.
package invariant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cosmossdk.io/collections"
	errorsmod "cosmossdk.io/errors"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// DefaultLimit is how many records a page reads if the request does not say.
	DefaultLimit = 100
	// MaxLimit is the most records that may be asked for.
	MaxLimit = 1_000
	// MaxKeyBytes is the most bytes of a page's key.
	MaxKeyBytes = 16 << 10

	// readAhead is how many records are read at once.
	readAhead = 64
	// groupSize is how many sums are taken in one pass.
	groupSize = 16
)

// ErrUnfinished is what looking at an object returns if the page is full before all of it was looked at: the next page begins
// with the same object.
var ErrUnfinished = errors.New("the page is full")

var errPanic = errors.New("panic")

// Check is an invariant.
type Check struct {
	Name   string
	Phases []Phase
}

// Phase is a part of a check. Make it with Once, Each, Pass, Loop or Grouped.
type Phase struct {
	// begin returns a pointer to what the phase remembers.
	begin func() any
	// run goes on with the phase and says whether it is done; else the page is full.
	run func(p *Page, state any) bool
}

// Page is what one request looks at.
type Page struct {
	ctx       sdk.Context
	check     string
	unlimited bool
	left      int64
	records   uint64
	failures  []types.InvariantFailure
	// keyErr is what is wrong with the key that the page begins with.
	keyErr error
}

// Context returns the state to look at.
func (p *Page) Context() sdk.Context { return p.ctx }

// Spend counts records read beyond the one that each object is.
func (p *Page) Spend(n int) {
	p.left -= int64(n)
	p.records += uint64(n)
}

// Fail notes that the invariant does not hold for an object.
func (p *Page) Fail(object string, err error) {
	p.failures = append(p.failures, types.InvariantFailure{Invariant: p.check, Object: object, Message: err.Error()})
}

func (p *Page) full() bool { return !p.unlimited && p.left <= 0 }

// most returns n, or what is left of the page if that is less, but at least 1.
func (p *Page) most(n int) int {
	if p.unlimited {
		return n
	}
	return int(max(1, min(int64(n), p.left)))
}

// try looks at an object. What it returns, and a panic, is a failure of that object: a broken state may break the
// arithmetic too. It says whether the object is finished.
func (p *Page) try(object string, look func() error) bool {
	err := guard(look)
	if err != nil && !errors.Is(err, ErrUnfinished) {
		p.Fail(object, err)
	}
	return !errors.Is(err, ErrUnfinished)
}

// guard returns what a function returns, and as an error what it panics with, other than that its gas has run out.
func guard(f func() error) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case storetypes.ErrorOutOfGas, storetypes.ErrorGasOverflow, storetypes.ErrorNegativeGasConsumed:
			panic(r)
		default:
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	return f()
}

// Once returns a phase that looks at one object.
//
// CONTRACT: it is bounded work.
func Once(object string, look func(p *Page) error) Phase {
	return Loop(func() bool { return false }, func(p *Page, _ *bool) bool {
		p.try(object, func() error { return look(p) })
		p.Spend(1)
		return true
	})
}

// Loop returns a phase that remembers an S, which JSON must render without loss. run says whether it is done; else the page is
// full and run is called again with the same S on the next page.
func Loop[S any](begin func() S, run func(p *Page, s *S) bool) Phase {
	return Phase{
		begin: func() any { s := begin(); return &s },
		run:   func(p *Page, state any) bool { return run(p, state.(*S)) },
	}
}

// Each returns a phase that looks at every object of a collection by itself. The work on one object must be bounded.
func Each[K, V any](m collections.Map[K, V], object func(K) string, look func(p *Page, key K, value V) error) Phase {
	return Loop(func() []byte { return nil }, func(p *Page, after *[]byte) bool {
		return Walk(p, m, after, object, func(key K, value V) error { return look(p, key, value) })
	})
}

// EachKey is Each for a set.
func EachKey[K any](set collections.KeySet[K], object func(K) string, look func(p *Page, key K) error) Phase {
	return Each(collections.Map[K, collections.NoValue](set), object, func(p *Page, key K, _ collections.NoValue) error { return look(p, key) })
}

// Pass returns a phase that looks at the objects of a collection in order and remembers an S, as in Loop. end is called
// after the last.
func Pass[K, V, S any](
	m collections.Map[K, V], object func(K) string, begin func() S,
	look func(p *Page, s *S, key K, value V) error, end func(p *Page, s *S),
) Phase {
	type state struct {
		After []byte `json:"after,omitempty"`
		Sum   S      `json:"sum"`
	}
	return Loop(func() state { return state{Sum: begin()} }, func(p *Page, s *state) bool {
		if !Walk(p, m, &s.After, object, func(key K, value V) error { return look(p, &s.Sum, key, value) }) {
			return false
		}
		p.try(m.GetName(), func() error { end(p, &s.Sum); return nil })
		return true
	})
}

// Grouped returns a phase for sums that are kept in a collection, while what they add up is in others, in another order. It
// takes some of the sums at a time as items, makes all passes over the others, each of which adds to the items, and
// compares.
func Grouped[K, V, T any](
	m collections.Map[K, V], object func(K) string, item func(key K, value V) T, name func(T) string,
	passes []func(p *Page, after *[]byte, items []T) bool, compare func(p *Page, item T) error,
) Phase {
	type state struct {
		Last  []byte `json:"last,omitempty"`
		Items []T    `json:"items,omitempty"`
		Pass  int    `json:"pass,omitempty"`
		After []byte `json:"after,omitempty"`
	}
	return Loop(func() state { return state{} }, func(p *Page, s *state) bool {
		if s.Pass < 0 || s.Pass > len(passes) {
			p.keyErr = fmt.Errorf("pass %d", s.Pass)
			return false
		}
		for {
			if len(s.Items) == 0 {
				if p.full() {
					return false
				}
				size := groupSize
				if p.unlimited {
					size = 1 << 20
				}
				records, ok := read(p, m, s.Last, p.most(size))
				if !ok {
					return p.keyErr == nil
				}
				if len(records) == 0 {
					return true
				}
				for _, r := range records {
					if r.err != nil {
						p.Fail(object(r.key), r.err)
						continue
					}
					s.Items = append(s.Items, item(r.key, r.value))
				}
				p.Spend(len(records))
				s.Last = encode(m, records[len(records)-1].key)
			}
			for ; s.Pass < len(passes); s.Pass++ {
				if !passes[s.Pass](p, &s.After, s.Items) {
					return false
				}
				s.After = nil
			}
			for _, it := range s.Items {
				p.try(name(it), func() error { return compare(p, it) })
			}
			s.Items, s.Pass = nil, 0
		}
	})
}

// Walk looks at the objects of a collection behind the key *after, which it moves along. It says whether it came to the end;
// else the page is full. A page that is not full when it begins looks at one object at least.
func Walk[K, V any](
	p *Page, m collections.Map[K, V], after *[]byte, object func(K) string, look func(key K, value V) error,
) (done bool) {
	for !p.full() {
		want := p.most(readAhead)
		records, ok := read(p, m, *after, want)
		if !ok {
			return p.keyErr == nil
		}
		for _, r := range records {
			if p.full() {
				return false
			}
			finished := p.try(object(r.key), func() error {
				if r.err != nil {
					return r.err
				}
				return look(r.key, r.value)
			})
			if !finished {
				return false
			}
			p.Spend(1)
			*after = encode(m, r.key)
		}
		if len(records) < want {
			return true
		}
	}
	return false
}

// record is an object as read; err says why its value cannot be decoded.
type record[K, V any] struct {
	key   K
	value V
	err   error
}

// read returns up to n records behind a key, and closes the iterator before anything is done with them. ok is false if there is
// no way to go on: the key is malformed (keyErr), or one in the store is, which is a failure.
func read[K, V any](p *Page, m collections.Map[K, V], after []byte, n int) (records []record[K, V], ok bool) {
	rng := new(collections.Range[K])
	if len(after) > 0 {
		read, key, err := m.KeyCodec().Decode(after)
		if err != nil || read != len(after) || !bytes.Equal(encode(m, key), after) {
			p.keyErr = fmt.Errorf("position in %s", m.GetName())
			return nil, false
		}
		rng = rng.StartExclusive(key)
	}
	it, err := m.Iterate(p.ctx, rng)
	if err != nil {
		p.Fail(m.GetName(), err)
		return nil, false
	}
	defer func() { _ = it.Close() }()
	for ; it.Valid() && len(records) < n; it.Next() {
		var r record[K, V]
		if r.key, err = it.Key(); err != nil {
			p.Fail(m.GetName(), fmt.Errorf("the rest cannot be read: %w", err))
			return nil, false
		}
		r.value, r.err = it.Value()
		records = append(records, r)
	}
	return records, true
}

func encode[K, V any](m collections.Map[K, V], key K) []byte {
	bz, err := collections.EncodeKeyWithPrefix(nil, m.KeyCodec(), key)
	if err != nil {
		panic(err) // it was decoded before
	}
	return bz
}

// position is the key of a page: where it begins.
type position struct {
	// Height is the height of the first page.
	Height int64 `json:"height"`
	// Only is the check asked for, empty for all.
	Only string `json:"only,omitempty"`
	// Check and Phase are those to go on with, and State is what it remembers; none if it has not begun.
	Check string          `json:"check"`
	Phase int             `json:"phase,omitempty"`
	State json.RawMessage `json:"state,omitempty"`
}

// Result is what one page says.
type Result struct {
	// Failures are what does not hold.
	Failures []types.InvariantFailure
	// NextKey is where the next page begins, at the same height; empty if this is the last.
	NextKey []byte
	// Records is how many records were read.
	Records uint64
	// Height is that of the state looked at.
	Height int64
}

// Run looks at one page of the check of the given name, or of all one after the other: at limit records (DefaultLimit if zero),
// or more by those of one object. Errors: ErrInvariantLimit, ErrInvariantUnknown, ErrInvariantKey for a key that no page
// has returned, ErrInvariantHeight for one that a page of another height has.
func Run(ctx sdk.Context, checks []Check, name string, key []byte, limit uint64) (res Result, err error) {
	switch {
	case limit > MaxLimit:
		return res, errorsmod.Wrapf(types.ErrInvariantLimit, "%d, at most %d", limit, MaxLimit)
	case limit == 0:
		limit = DefaultLimit
	}
	res.Height = ctx.BlockHeight()
	if checks, err = choose(checks, name); err != nil {
		return res, err
	}
	at := position{Check: checks[0].Name}
	if len(key) > 0 {
		if at, err = decodeKey(key); err != nil {
			return res, err
		}
		if at.Only != name {
			return res, errorsmod.Wrapf(types.ErrInvariantKey, "it is of a request for %q", at.Only)
		}
		if at.Height != res.Height {
			return res, errorsmod.Wrapf(types.ErrInvariantHeight, "pages began at %d, this is %d", at.Height, res.Height)
		}
	}
	first := slices.IndexFunc(checks, func(c Check) bool { return c.Name == at.Check })
	if first < 0 || at.Phase < 0 || at.Phase >= len(checks[first].Phases) {
		return res, errorsmod.Wrap(types.ErrInvariantKey, "no such part")
	}
	p := &Page{ctx: ctx, left: int64(limit)}
	state := checks[first].Phases[at.Phase].begin()
	if len(at.State) > 0 {
		if err := decodeJSON(at.State, state); err != nil {
			return res, errorsmod.Wrap(types.ErrInvariantKey, err.Error())
		}
	}
	var next *position
	err = guard(func() (err error) {
		next, err = p.run(checks[first:], at.Phase, state)
		return err
	})
	if errors.Is(err, errPanic) {
		// Only what stands in the key can make the machinery itself panic; objects are looked at under a guard of their own.
		err = errorsmod.Wrap(types.ErrInvariantKey, err.Error())
	}
	if err != nil {
		return res, err
	}
	res.Failures, res.Records = p.failures, p.records
	if next != nil {
		next.Height, next.Only = res.Height, name
		if res.NextKey, err = json.Marshal(next); err != nil {
			return res, err
		}
	}
	return res, nil
}

// run goes on from a phase of the first check until the page is full, and returns where, or nil if all is done.
func (p *Page) run(checks []Check, phase int, state any) (*position, error) {
	for _, c := range checks {
		p.check = c.Name
		for ; phase < len(c.Phases); phase++ {
			if state == nil {
				if p.full() {
					return &position{Check: c.Name, Phase: phase}, nil
				}
				state = c.Phases[phase].begin()
			}
			done := c.Phases[phase].run(p, state)
			if p.keyErr != nil {
				return nil, errorsmod.Wrap(types.ErrInvariantKey, p.keyErr.Error())
			}
			if !done {
				bz, err := json.Marshal(state)
				return &position{Check: c.Name, Phase: phase, State: bz}, err
			}
			state = nil
		}
		phase = 0
	}
	return nil, nil
}

// All looks at everything: unbounded work. Without names it is every check. Errors: ErrInvariantUnknown.
func All(ctx sdk.Context, checks []Check, names ...string) ([]types.InvariantFailure, error) {
	p := &Page{ctx: ctx, unlimited: true}
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		chosen, err := choose(checks, name)
		if err != nil {
			return nil, err
		}
		if _, err := p.run(chosen, 0, nil); err != nil {
			return nil, err
		}
	}
	return p.failures, nil
}

// Err is All with the failures as one error, each of which wraps the error given.
func Err(ctx sdk.Context, checks []Check, wrap error, names ...string) error {
	failures, err := All(ctx, checks, names...)
	for _, f := range failures {
		err = errors.Join(err, errorsmod.Wrapf(wrap, "%s: %s: %s", f.Invariant, f.Object, f.Message))
	}
	return err
}

func choose(checks []Check, name string) ([]Check, error) {
	if name == "" {
		return checks, nil
	}
	names := make([]string, len(checks))
	for i, c := range checks {
		if c.Name == name {
			return checks[i : i+1], nil
		}
		names[i] = c.Name
	}
	return nil, errorsmod.Wrapf(types.ErrInvariantUnknown, "%.40q, there are %q", name, names)
}

func decodeKey(key []byte) (at position, err error) {
	if len(key) > MaxKeyBytes {
		return at, errorsmod.Wrapf(types.ErrInvariantKey, "%d bytes", len(key))
	}
	if err := decodeJSON(key, &at); err != nil {
		return at, errorsmod.Wrap(types.ErrInvariantKey, err.Error())
	}
	return at, nil
}

func decodeJSON(bz []byte, into any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	d := json.NewDecoder(bytes.NewReader(bz))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}
