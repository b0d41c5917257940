package keeper_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/collections"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"

	"github.com/mesh-security/mesh/x/consumer/keeper"
	"github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/mesh/invariant"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// pages asks for all pages of an invariant, and returns what fails.
func (f *fixture) pages(ctx sdk.Context, name string, limit uint64) (failures []meshtypes.InvariantFailure) {
	f.t.Helper()
	req := &types.QueryInvariantsRequest{Invariant: name, Limit: limit}
	for n := 0; ; n++ {
		require.Less(f.t, n, 10_000, "the pages do not end")
		res, err := f.query.Invariants(ctx, req)
		require.NoError(f.t, err)
		failures = append(failures, res.Failures...)
		if len(res.NextKey) == 0 {
			return failures
		}
		require.LessOrEqual(f.t, len(res.NextKey), invariant.MaxKeyBytes)
		req.Key = res.NextKey
	}
}

// backed returns a chain with rewards and two providers with stake on four validators.
func backed(t *testing.T) *rewarded {
	t.Helper()
	tenth := func(c *types.ProviderConfig) { c.MaxPowerRatio = sdkmath.LegacyNewDecWithPrec(1, 1) }
	r := newRewarded(t, 4, 3, tenth)
	r.addProvider(provider2, tenth)
	r.update(provider2, map[int]int64{1: 5_000, 3: 7_000})
	r.transfers.fail = func(*transfertypes.MsgTransfer) error { return errors.New("rewards wait") }
	r.allocate(0, sdk.NewInt64Coin(bondDenom, 1_000_000))
	r.epoch()
	r.block(blockTime)
	r.epoch()
	r.block(blockTime)
	require.True(t, r.book(provider1, bondDenom).Pending.IsPositive())
	return r
}

func TestInvariantPages(t *testing.T) {
	r := backed(t)
	for _, limit := range []uint64{0, 1, 2, 7, invariant.MaxLimit} {
		require.Empty(t, r.pages(r.ctx, "", limit), "limit %d", limit)
	}
	for _, check := range r.k.Invariants() {
		require.Empty(t, r.pages(r.ctx, check.Name, 3), check.Name)
	}
	// However the work is divided, the same is found.
	for _, v := range r.vals {
		require.NoError(t, r.k.VirtualShares.Set(r.ctx, v.addr, sdkmath.LegacyOneDec()))
	}
	require.NoError(t, r.k.Channels.Set(r.ctx, "channel-99", provider1))
	whole, err := invariant.All(r.ctx, r.k.Invariants())
	require.NoError(t, err)
	require.Len(t, whole, len(r.vals)+1)
	for _, limit := range []uint64{0, 1, 2, 7, invariant.MaxLimit} {
		require.Equal(t, whole, r.pages(r.ctx, "", limit), "limit %d", limit)
	}
}

func TestInvariantsFindWhatIsBroken(t *testing.T) {
	r := backed(t)
	k, val := r.k, r.vals[0].addr
	provider := func(edit func(*types.Provider)) func(sdk.Context) error {
		return func(ctx sdk.Context) error {
			p, err := k.Providers.Get(ctx, provider1)
			require.NoError(t, err)
			edit(&p)
			return k.Providers.Set(ctx, provider1, p)
		}
	}
	book := func(edit func(*types.RewardBook)) func(sdk.Context) error {
		return func(ctx sdk.Context) error {
			key := collections.Join(provider1, bondDenom)
			b, err := k.RewardBooks.Get(ctx, key)
			require.NoError(t, err)
			edit(&b)
			return k.RewardBooks.Set(ctx, key, b)
		}
	}
	zero, one := sdkmath.ZeroInt(), sdkmath.OneInt()
	for _, tc := range []struct {
		invariant, name string
		broken          func(sdk.Context) error
		object          string
	}{
		{keeper.InvariantProviders, "parameters", func(ctx sdk.Context) error { return k.Params.Set(ctx, types.Params{}) }, "parameters"},
		{keeper.InvariantProviders, "one chain twice", func(ctx sdk.Context) error {
			p, err := k.Providers.Get(ctx, provider1)
			require.NoError(t, err)
			p.Config.ProviderId, p.ChannelId = provider3, ""
			return k.Providers.Set(ctx, provider3, p)
		}, "providers together"},
		{keeper.InvariantProviders, "status", provider(func(p *types.Provider) { p.Status = 77 }), "provider " + provider1},
		{keeper.InvariantProviders, "synced later", provider(func(p *types.Provider) { p.SyncedAt = r.ctx.BlockTime().Add(time.Second) }), "provider " + provider1},
		{keeper.InvariantProviders, "cursor", provider(func(p *types.Provider) { p.Marking, p.MarkCursor = false, []byte{1} }), "provider " + provider1},
		{keeper.InvariantProviders, "no account", func(ctx sdk.Context) error { return k.Accounts.Remove(ctx, types.VirtualAccount(provider1)) }, "provider " + provider1},
		{keeper.InvariantProviders, "account of nobody", func(ctx sdk.Context) error { return k.Accounts.Set(ctx, val, provider1) }, "cosmos1"},
		{keeper.InvariantProviders, "no channel", func(ctx sdk.Context) error { return k.Channels.Clear(ctx, nil) }, "provider "},
		{keeper.InvariantProviders, "other channel", func(ctx sdk.Context) error { return k.Channels.Set(ctx, "channel-99", provider1) }, "channel-99"},
		{keeper.InvariantStakes, "count", provider(func(p *types.Provider) { p.Stakes++ }), "provider " + provider1},
		{keeper.InvariantStakes, "none", func(ctx sdk.Context) error { return k.Stakes.Clear(ctx, nil) }, "provider " + provider1},
		{keeper.InvariantStakes, "executed before it was received", func(ctx sdk.Context) error {
			key := collections.Join(provider1, []byte(val))
			rec, err := k.Stakes.Get(ctx, key)
			require.NoError(t, err)
			rec.ExecutedSeq = rec.Seq + 1
			return k.Stakes.Set(ctx, key, rec)
		}, "provider " + provider1 + " on"},
		{keeper.InvariantPlan, "of nobody", func(ctx sdk.Context) error {
			return k.Plan.Set(ctx, collections.Join3(true, []byte(val), "nobody"), types.Target{Tokens: one, Amount: one, Price: sdkmath.LegacyOneDec()})
		}, "provider nobody"},
		{keeper.InvariantPlan, "of no validator", func(ctx sdk.Context) error {
			return k.Plan.Set(ctx, collections.Join3(true, []byte{}, provider1), types.Target{Tokens: one, Amount: one, Price: sdkmath.LegacyOneDec()})
		}, "provider " + provider1},
		{keeper.InvariantValidators, "key", func(ctx sdk.Context) error { return k.Validators.Set(ctx, val, types.ValidatorState{}) }, val.String()},
		{keeper.InvariantValidators, "changed", func(ctx sdk.Context) error { return k.Changed.Set(ctx, make([]byte, 300)) }, "cosmosvaloper"},
		{keeper.InvariantValidators, "stray", func(ctx sdk.Context) error { return k.Strays.Set(ctx, make([]byte, 300)) }, "cosmosvaloper"},
		{keeper.InvariantValidators, "in flight though never sent", func(ctx sdk.Context) error {
			return k.Dirty.Set(ctx, collections.Join(provider1, []byte(val)), types.DirtyValidator{InFlight: 1_000})
		}, "provider " + provider1},
		{keeper.InvariantPrices, "of nobody", func(ctx sdk.Context) error {
			return k.Prices.Set(ctx, "nobody", types.PostedPrice{Price: sdkmath.LegacyOneDec()})
		}, "provider nobody"},
		{keeper.InvariantPrices, "post of zero", func(ctx sdk.Context) error {
			return k.PricePosts.Set(ctx, collections.Join(provider1, []byte(val)), types.PostedPrice{Price: sdkmath.LegacyZeroDec()})
		}, "post of"},
		{keeper.InvariantPrices, "observations fall", func(ctx sdk.Context) error {
			for i := range uint64(2) {
				err := k.PriceObservations.Set(ctx, collections.Join(provider1, 1+i), types.PriceObservation{Accumulator: sdkmath.NewIntFromUint64(2 - i)})
				require.NoError(t, err)
			}
			return nil
		}, "provider " + provider1},
		{keeper.InvariantPrices, "proved height of nobody", func(ctx sdk.Context) error {
			return k.ProvedHeights.Set(ctx, "nobody", meshtypes.NewHeight(1, 1))
		}, "provider nobody"},
		{keeper.InvariantSlashLog, "no entries", provider(func(p *types.Provider) { p.LastIndex = 5 }), "provider " + provider1},
		{keeper.InvariantSlashLog, "beyond the last", func(ctx sdk.Context) error {
			return k.SlashLog.Set(ctx, collections.Join(provider1, uint64(1)), types.SlashRecord{Entry: meshtypes.SlashEntry{Index: 2}})
		}, "slash 1 of provider"},
		{keeper.InvariantFlows, "negative", func(ctx sdk.Context) error {
			return k.Flows.Records().Set(ctx, collections.Join([]byte(val), int64(5)), meshtypes.TokenFlow{Left: one.Neg(), Came: zero})
		}, "flow of"},
		{keeper.InvariantVirtualShares, "by validator", func(ctx sdk.Context) error { return k.VirtualShares.Set(ctx, val, sdkmath.LegacyOneDec()) }, val.String()},
		{keeper.InvariantVirtualShares, "not counted", func(ctx sdk.Context) error { return k.VirtualShares.Remove(ctx, val) }, "provider " + provider1},
		{keeper.InvariantVirtualShares, "by provider", func(ctx sdk.Context) error { return k.ProviderShares.Set(ctx, provider1, sdkmath.LegacyOneDec()) }, "provider " + provider1},
		{keeper.InvariantVirtualShares, "of nobody", func(ctx sdk.Context) error { return k.ProviderShares.Set(ctx, "nobody", sdkmath.LegacyOneDec()) }, "provider nobody"},
		{keeper.InvariantVirtualShares, "counted", func(ctx sdk.Context) error { return k.CountedShares.Set(ctx, val, []byte{9}) }, val.String()},
		{keeper.InvariantVirtualShares, "counted without stake", func(ctx sdk.Context) error { return k.CountedShares.Set(ctx, []byte("stranger"), []byte{9}) }, "cosmosvaloper1"},
		{keeper.InvariantCaps, "cap", provider(func(p *types.Provider) { p.Cap = one }), "provider " + provider1},
		{keeper.InvariantRewards, "book", book(func(b *types.RewardBook) { b.Delivered = b.Delivered.Add(one) }), "rewards of " + provider1},
		{keeper.InvariantRewards, "in flight", book(func(b *types.RewardBook) {
			b.InFlight, b.Collected = b.InFlight.Add(one), b.Collected.Add(one)
		}), "rewards of " + provider1},
		{keeper.InvariantRewards, "no book", func(ctx sdk.Context) error { return k.RewardBooks.Clear(ctx, nil) }, "reward of"},
		{keeper.InvariantRewards, "transfer without book", func(ctx sdk.Context) error {
			return k.RewardTransfers.Set(ctx, collections.Join("channel-7", uint64(9)), types.RewardTransfer{
				ProviderId: provider1, Denom: "unone", Rewards: []types.ValidatorReward{{Validator: val, Amount: one}},
			})
		}, "transfer 9 over channel-7"},
		{keeper.InvariantRewards, "work of nobody", func(ctx sdk.Context) error {
			return k.RewardWork.Set(ctx, "nobody", types.RewardWork{Phase: types.REWARD_PHASE_SWEEP})
		}, "provider nobody"},
		{keeper.InvariantRewards, "balance", func(ctx sdk.Context) error {
			for _, account := range []sdk.AccAddress{types.VirtualAccount(provider1), types.RewardAccount(provider1)} {
				if coins := r.bank.GetAllBalances(ctx, account); !coins.IsZero() {
					require.NoError(t, r.bank.SendCoins(ctx, account, sdk.AccAddress(val), coins))
				}
			}
			return nil
		}, "rewards of " + provider1},
	} {
		t.Run(tc.invariant+"/"+tc.name, func(t *testing.T) {
			ctx, _ := r.ctx.CacheContext()
			require.NoError(t, tc.broken(ctx))
			failures := r.pages(ctx, tc.invariant, 3)
			found := false
			for _, failure := range failures {
				require.Equal(t, tc.invariant, failure.Invariant)
				require.NotEmpty(t, failure.Message)
				found = found || strings.HasPrefix(failure.Object, tc.object)
			}
			require.True(t, found, "%v", failures)
			require.ErrorIs(t, k.CheckInvariants(ctx, tc.invariant), types.ErrInvariant)
		})
	}
}

func TestInvariantRequests(t *testing.T) {
	r := backed(t)
	res, err := r.query.Invariants(r.ctx, &types.QueryInvariantsRequest{Limit: 1})
	require.NoError(t, err)
	for _, tc := range []struct {
		name string
		req  types.QueryInvariantsRequest
		err  error
	}{
		{"unknown", types.QueryInvariantsRequest{Invariant: "none"}, meshtypes.ErrInvariantUnknown},
		{"limit", types.QueryInvariantsRequest{Limit: invariant.MaxLimit + 1}, meshtypes.ErrInvariantLimit},
		{"key", types.QueryInvariantsRequest{Key: []byte("[]")}, meshtypes.ErrInvariantKey},
		{"of another request", types.QueryInvariantsRequest{Invariant: keeper.InvariantCaps, Key: res.NextKey}, meshtypes.ErrInvariantKey},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := r.query.Invariants(r.ctx, &tc.req)
			require.ErrorIs(t, err, tc.err)
		})
	}
	_, err = r.query.Invariants(r.ctx.WithBlockHeight(r.ctx.BlockHeight()+1), &types.QueryInvariantsRequest{Key: res.NextKey})
	require.ErrorIs(t, err, meshtypes.ErrInvariantHeight)
	_, err = r.query.Invariants(r.ctx, nil)
	require.Error(t, err)
}
