package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	govv1beta1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1beta1"

	"github.com/mesh-security/mesh/app"
)

// TestLegacyProposal: a proposal of the old kind is a proposal and not a panic, over both versions of the message.
func TestLegacyProposal(t *testing.T) {
	chain, chainApp := newChain(t)
	proposer := chain.SenderAccount.GetAddress()
	deposit := sdk.NewCoins(sdk.NewInt64Coin(sdk.DefaultBondDenom, 10_000_000))
	content := govv1beta1.NewTextProposal("title", "description")
	old, err := govv1beta1.NewMsgSubmitProposal(content, deposit, proposer)
	require.NoError(t, err)
	wrapped, err := govv1.NewLegacyContent(content, app.Authority())
	require.NoError(t, err)
	wrapping, err := govv1.NewMsgSubmitProposal([]sdk.Msg{wrapped}, deposit, proposer.String(), "", "title", "summary", false)
	require.NoError(t, err)
	for _, msg := range []sdk.Msg{old, wrapping} {
		ctx, _ := chain.GetContext().CacheContext()
		_, err := chainApp.MsgServiceRouter().Handler(msg)(ctx, msg)
		require.NoError(t, err, "%T", msg)
	}
}
