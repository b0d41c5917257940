package keeper

import (
	"context"

	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// learn takes the provider's half from a session that it sent. A higher one means that the provider created its state
// anew: the amounts, sequence numbers and log positions stored from it are forgotten, our own seq begins again, and every
// validator is marked. The slash log begins again too.
func (k *Keeper) learn(ctx sdk.Context, p types.Provider, sent meshtypes.Session) (types.Provider, bool, error) {
	session, learned := p.Session.Learn(meshtypes.SideConsumer, sent)
	if !learned {
		return p, false, nil
	}
	p.Session = session
	p.Forget()
	if p.Stakes > 0 {
		p.DroppedHeight = ownHeight(ctx)
	}
	var err error
	if p.Stakes, err = k.forgetStakes(ctx, p.Config.ProviderId); err != nil {
		return p, false, err
	}
	if err := k.forgetSlashes(ctx, p.Config.ProviderId); err != nil {
		return p, false, err
	}
	if err := k.unsend(ctx, p.Config.ProviderId); err != nil {
		return p, false, err
	}
	if err := k.setProvider(ctx, p); err != nil {
		return p, false, err
	}
	k.emit(ctx, &types.EventSessionLearned{ProviderId: p.Config.ProviderId, Session: session})
	return p, true, nil
}

// forgetStakes forgets the amounts and seqs that came from a provider, and what is planned for it. Records stay where
// virtual stake or a failing decrease may be, with an amount of zero, so that it leaves; their number is returned.
func (k *Keeper) forgetStakes(ctx context.Context, providerID string) (uint32, error) {
	if err := k.dropPlan(ctx, providerID, false); err != nil {
		return 0, err
	}
	records := map[string]types.StakeRecord{}
	var keys []stakeKey
	err := k.Stakes.Walk(ctx, collections.NewPrefixedPairRange[string, []byte](providerID),
		func(key stakeKey, rec types.StakeRecord) (bool, error) {
			keys = append(keys, key)
			records[string(key.K2())] = rec
			return false, nil
		})
	if err != nil {
		return 0, err
	}
	var kept uint32
	for _, key := range keys {
		_, shares, err := k.virtualStake(ctx, types.VirtualAccount(providerID), key.K2())
		if err != nil {
			return 0, err
		}
		old := records[string(key.K2())]
		if !shares.IsPositive() && old.FailingSince.IsZero() {
			if err := k.Stakes.Remove(ctx, key); err != nil {
				return 0, err
			}
			continue
		}
		rec := types.NewStakeRecord()
		rec.FailingSince = old.FailingSince
		if err := k.Stakes.Set(ctx, key, rec); err != nil {
			return 0, err
		}
		kept++
	}
	return kept, nil
}
