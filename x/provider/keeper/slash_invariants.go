package keeper

import (
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	"github.com/mesh-security/mesh/x/mesh/invariant"
	"github.com/mesh-security/mesh/x/provider/types"
)

// pendingClaims is how many claims of a validator are pending.
type pendingClaims struct {
	Client    string `json:"client"`
	Validator []byte `json:"validator"`
	N         int    `json:"n"`
}

func slashName(id uint64) string { return fmt.Sprintf("slash %d", id) }

// slashesInvariant says that every slash has its place in the queue and, while it is pending, in its validator's list; that
// a validator has no more pending claims than allowed; and that only executed slashes took something.
func (k *Keeper) slashesInvariant() invariant.Check {
	return invariant.Check{Name: InvariantSlashes, Phases: []invariant.Phase{
		invariant.Each(k.Slashes, slashName, k.checkSlash),
		invariant.EachKey(k.SlashQueue, func(key timeSlash) string { return slashName(key.K2()) },
			func(p *invariant.Page, key timeSlash) error {
				p.Spend(1)
				rec, err := k.Slashes.Get(p.Context(), key.K2())
				if err != nil {
					return missing("queued", err)
				}
				if nanos(rec.DueAt) != key.K1() {
					return fmt.Errorf("queued for %s, due at %s", fromNanos(key.K1()), rec.DueAt)
				}
				return nil
			}),
		invariant.Pass(collections.Map[clientValID, collections.NoValue](k.PendingSlashes),
			func(key clientValID) string { return slashName(key.K3()) },
			func() pendingClaims { return pendingClaims{} },
			func(p *invariant.Page, s *pendingClaims, key clientValID, _ collections.NoValue) error {
				p.Spend(1)
				rec, err := k.Slashes.Get(p.Context(), key.K3())
				if err != nil {
					return missing("listed as pending", err)
				}
				if !rec.IsPending() || rec.ClientId != key.K1() || string(rec.Validator) != string(key.K2()) {
					return fmt.Errorf("listed as pending on %s, status %s", consumerVal(key.K1(), key.K2()), rec.Status)
				}
				if s.Client != key.K1() || string(s.Validator) != string(key.K2()) {
					*s = pendingClaims{Client: key.K1(), Validator: key.K2()}
				}
				if rec.IsProof() {
					return nil
				}
				if s.N++; s.N > types.MaxPendingSlashes {
					return fmt.Errorf("more than %d claims of %s are pending", types.MaxPendingSlashes, consumerVal(key.K1(), key.K2()))
				}
				return nil
			},
			func(*invariant.Page, *pendingClaims) {}),
	}}
}

func (k *Keeper) checkSlash(p *invariant.Page, id uint64, rec types.SlashRecord) error {
	ctx := p.Context()
	p.Spend(2)
	next, err := k.NextSlashID.Peek(ctx)
	if err != nil {
		return err
	}
	if id != rec.Id || id >= next {
		return fmt.Errorf("it says it is %d, the next is %d", rec.Id, next)
	}
	if found, err := k.SlashQueue.Has(ctx, collections.Join(nanos(rec.DueAt), id)); err != nil || !found {
		return errors.Join(fmt.Errorf("it is not queued for %s", rec.DueAt), err)
	}
	listed, err := k.PendingSlashes.Has(ctx, collections.Join3(rec.ClientId, rec.Validator, id))
	if err != nil {
		return err
	}
	if listed != rec.IsPending() || rec.IsPending() != rec.SettledAt.IsZero() {
		return fmt.Errorf("status %s, settled at %s, listed as pending %t", rec.Status, rec.SettledAt, listed)
	}
	if rec.Status != types.SLASH_STATUS_EXECUTED && (rec.Amount.IsPositive() || rec.Reward.IsPositive()) {
		return fmt.Errorf("it is %s but took %s", rec.Status, rec.Amount)
	}
	if rec.Reward.MulRaw(100).GT(rec.Amount.MulRaw(rewardPercent)) {
		return fmt.Errorf("reward of %s for %s", rec.Reward, rec.Amount)
	}
	return nil
}

// batchTokens is what a consumer's unmatured batches hold.
type batchTokens struct {
	Client string      `json:"client"`
	Tokens sdkmath.Int `json:"tokens"`
}

// metersInvariant says that meters count what unmatured batches hold, and that no pool that takes stake is flagged: new
// stake would share the flag's protection.
func (k *Keeper) metersInvariant() invariant.Check {
	return invariant.Check{Name: InvariantMeters, Phases: []invariant.Phase{
		invariant.Each(k.Pools, poolName, func(_ *invariant.Page, _ uint64, pool types.Pool) error {
			if !pool.IsBatch() && pool.Flagged {
				return errors.New("it takes stake although it was punished for double signing")
			}
			return nil
		}),
		invariant.Pass(collections.Map[clientValID, collections.NoValue](k.Batches), batchName,
			func() batchTokens { return batchTokens{} },
			func(p *invariant.Page, s *batchTokens, key clientValID, _ collections.NoValue) error {
				p.Spend(1)
				if s.Client != key.K1() {
					k.compareMeter(p, s)
					*s = batchTokens{key.K1(), sdkmath.ZeroInt()}
				}
				pool, err := k.Pools.Get(p.Context(), key.K3())
				if err == nil && pool.IsLeaving() {
					s.Tokens = s.Tokens.Add(pool.Tokens)
				}
				return err
			}, k.compareMeter),
		invariant.Each(k.Consumers, func(id string) string { return id }, func(p *invariant.Page, id string, _ types.Consumer) error {
			p.Spend(2)
			m, err := k.meter(p.Context(), id)
			if err != nil {
				return err
			}
			if m.Used.IsNegative() || m.Proved.IsNegative() || m.Total.IsNegative() {
				return fmt.Errorf("meter: used %s of %s, proved %s", m.Used, m.Total, m.Proved)
			}
			batches, err := firstKeys(p.Context(), k.Batches, collections.NewPrefixedTripleRange[string, []byte, uint64](id), 1)
			if err == nil && len(batches) == 0 && !m.Batches.IsZero() {
				err = fmt.Errorf("meter: %s in batches, of which there are none", m.Batches)
			}
			return err
		}),
	}}
}

// compareMeter compares a consumer's meter with what its batches hold.
func (k *Keeper) compareMeter(p *invariant.Page, s *batchTokens) {
	if s.Client == "" {
		return
	}
	m, err := k.meter(p.Context(), s.Client)
	if err == nil && !m.Batches.Equal(s.Tokens) {
		err = fmt.Errorf("meter: %s in batches, they have %s", m.Batches, s.Tokens)
	}
	if err != nil {
		p.Fail(s.Client, err)
	}
}
