package integration_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	"github.com/mesh-security/mesh/internal/meshtest"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

func editMinSelfDelegation(v *meshtest.Validator, minimum int64) sdk.Msg {
	m := sdkmath.NewInt(minimum)
	return stakingtypes.NewMsgEditValidator(v.String(), stakingtypes.NewDescription(
		stakingtypes.DoNotModifyDesc, stakingtypes.DoNotModifyDesc, stakingtypes.DoNotModifyDesc,
		stakingtypes.DoNotModifyDesc, stakingtypes.DoNotModifyDesc,
	), nil, &m)
}

func withdrawRewards(a *meshtest.Account, v *meshtest.Validator) sdk.Msg {
	return distrtypes.NewMsgWithdrawDelegatorReward(a.String(), v.String())
}

// errNo is what a hostile chain answers.
var errNo = errors.New("no")

// sendReport sends a report as a hostile consumer would.
func sendReport(t *testing.T, p *meshtest.Pairing, r meshtypes.ConsumerReport) {
	t.Helper()
	bz, err := r.Marshal()
	require.NoError(t, err)
	p.Consumer.SendRaw(meshtypes.PortConsumer, p.ConsumerChannel, bz)
}

// sendUpdate sends an update as a hostile provider would.
func sendUpdate(t *testing.T, p *meshtest.Pairing, r meshtypes.StakeUpdate) {
	t.Helper()
	bz, err := r.Marshal()
	require.NoError(t, err)
	p.Provider.SendRaw(meshtypes.PortProvider, p.ProviderChannel, bz)
}

// freeze freezes the client at an end, as misbehaviour would.
func freeze(t *testing.T, e *meshtest.End) {
	t.Helper()
	e.Chain.Direct(func(ctx sdk.Context) {
		ck := e.Chain.App.IBCKeeper.ClientKeeper
		state, ok := ck.GetClientState(ctx, e.Client)
		require.True(t, ok)
		tm, ok := state.(*ibctm.ClientState)
		require.True(t, ok)
		tm.FrozenHeight = ibctm.FrozenHeight
		ck.SetClientState(ctx, e.Client, tm)
	})
}

// nativeBonded returns a consumer's bonded tokens without the virtual stake of the pairings.
func nativeBonded(c *meshtest.Chain, pairings ...*meshtest.Pairing) sdkmath.Int {
	sum := sdkmath.ZeroInt()
	for _, v := range c.Validators {
		if rec := c.Validator(v); rec.IsBonded() {
			sum = sum.Add(rec.Tokens)
			for _, p := range pairings {
				sum = sum.Sub(p.Virtual(v))
			}
		}
	}
	return sum
}

// delegations returns an account's native delegations with shares.
func delegations(t *testing.T, c *meshtest.Chain, a sdk.AccAddress) []stakingtypes.Delegation {
	t.Helper()
	out, err := c.App.StakingKeeper.GetAllDelegatorDelegations(c.CommittedContext(), a)
	require.NoError(t, err)
	return out
}

var rewardsBackup sync.Map

// breakRewards removes what x/distribution needs to pay the pairing's virtual delegation to a validator.
func breakRewards(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator) {
	t.Helper()
	p.Consumer.Direct(func(ctx sdk.Context) {
		dk := p.Consumer.App.DistrKeeper
		info, err := dk.GetDelegatorStartingInfo(ctx, v.ValAddress(), p.VirtualAccount())
		require.NoError(t, err)
		rewardsBackup.Store(v, info)
		require.NoError(t, dk.DeleteDelegatorStartingInfo(ctx, v.ValAddress(), p.VirtualAccount()))
	})
}

// repairRewards undoes breakRewards.
func repairRewards(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator) {
	t.Helper()
	p.Consumer.Direct(func(ctx sdk.Context) {
		info, ok := rewardsBackup.Load(v)
		require.True(t, ok)
		start, ok := info.(distrtypes.DelegatorStartingInfo)
		require.True(t, ok)
		require.NoError(t, p.Consumer.App.DistrKeeper.SetDelegatorStartingInfo(ctx, v.ValAddress(), p.VirtualAccount(), start))
	})
}

// withdrawAndDelegate returns messages that withdraw a delegator's native rewards and delegate an amount.
func withdrawAndDelegate(p *meshtest.Pairing, del string, v *meshtest.Validator, tokens int64) []sdk.Msg {
	return []sdk.Msg{withdrawRewards(p.Provider.Account(del), v), p.Provider.MsgDelegate(del, v, tokens)}
}
