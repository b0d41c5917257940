package integration_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtbytes "github.com/cometbft/cometbft/libs/bytes"
	rpcclient "github.com/cometbft/cometbft/rpc/client"
	coretypes "github.com/cometbft/cometbft/rpc/core/types"

	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	"github.com/mesh-security/mesh/internal/meshtest"
	"github.com/mesh-security/mesh/x/consumer/client/cli"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// rpc answers queries of a chain's state as its RPC does.
type rpc struct{ chain *meshtest.Chain }

func (r rpc) ABCIQueryWithOptions(
	_ context.Context, path string, data cmtbytes.HexBytes, opts rpcclient.ABCIQueryOptions,
) (*coretypes.ResultABCIQuery, error) {
	res, err := r.chain.App.Query(r.chain.CommittedContext(), &abci.RequestQuery{Path: path, Data: data, Height: opts.Height, Prove: opts.Prove})
	if err != nil {
		return nil, err
	}
	return &coretypes.ResultABCIQuery{Response: *res}, nil
}

// provedPrice is a pairing whose price is what a third chain's state has as the price of the provider's token.
type provedPrice struct {
	*meshtest.Pairing
	t     *testing.T
	net   *meshtest.Network
	third *meshtest.Chain
	// held has the price in the third chain's state, light is the consumer's end of the link to that chain.
	held   *meshtest.Pairing
	light  *meshtest.End
	source consumertypes.PriceSource
}

// provedTrusting is the trusting period of the consumer's client of the third chain.
const provedTrusting = 4 * time.Minute

func pairWithProvedPrice(t *testing.T, edit func(meshtest.ChainConfig) meshtest.ChainConfig) *provedPrice {
	t.Helper()
	n := networkOf(t, edit(meshtest.ChainConfig{Name: "prov"}), edit(meshtest.ChainConfig{Name: "cons"}), edit(meshtest.ChainConfig{Name: "third"}))
	x := &provedPrice{t: t, net: n, third: n.Chain("third")}
	cons := n.Chain("cons")
	x.held = n.Pair(n.Chain("prov"), x.third) // has a price in its state, by governance
	x.Pairing = n.Pair(n.Chain("prov"), cons)
	x.light = n.ConnectFor(x.third, cons, provedTrusting).On(cons)
	x.source = consumertypes.PriceSource{
		ClientId:  x.light.Client,
		Path:      [][]byte{[]byte(consumertypes.StoreKey), slices.Concat(consumertypes.PricesKey.Bytes(), []byte(x.held.ProviderID))},
		FieldPath: []uint32{1}, Encoding: consumertypes.PRICE_ENCODING_TEXT, Exponent: -sdkmath.LegacyPrecision,
	}
	x.UpdateProvider(func(c *providerConfig) {
		c.PriceFeed = consumertypes.PriceFeedProof
		c.Price = &consumertypes.PriceConfig{MaxDeviation: sdkmath.LegacyZeroDec(), MaxPostAge: time.Hour, Source: &x.source}
	})
	return x
}

// fetch returns a proof of the newest price, which the consumer's client knows the header for.
func (x *provedPrice) fetch(submitter *meshtest.Account) *consumertypes.MsgProvePrice {
	x.t.Helper()
	x.net.Steps(2) // a header has the root of the state before it
	x.Consumer.Relayer().Send(x.light.MsgUpdateClient())
	msg, err := cli.FetchPriceProof(x.t.Context(), rpc{x.third}, x.source, x.light.ClientHeight())
	require.NoError(x.t, err)
	msg.Submitter, msg.ProviderId = submitter.String(), x.ProviderID
	return msg
}

// TestPriceProvedFromAThirdChain: what a third chain's state has as the price of the provider's token is proved on the
// consumer against its light client of that chain, and voting power follows.
func TestPriceProvedFromAThirdChain(t *testing.T) {
	x := pairWithProvedPrice(t, func(cfg meshtest.ChainConfig) meshtest.ChainConfig { return cfg })
	n, p, third, held, light := x.net, x.Pairing, x.third, x.held, x.light
	cons := p.Consumer
	p.CrossStake("alice", val(p, 0), 100*one)
	settle(n, p)
	requireInt(t, 0, p.TotalVirtual(), "no price has been proved yet")

	anybody := val(p, 1).Operator
	fetch := func() *consumertypes.MsgProvePrice { return x.fetch(anybody) }
	first := fetch()
	anybody.Send(first)
	n.Advance(3 * epoch)
	requireInt(t, 90*one, p.TotalVirtual(), "at a price of 1 and a discount of a tenth")

	// The same proof again, another value, another height.
	require.ErrorIs(t, anybody.Try(first).Err(), consumertypes.ErrPriceHeight)
	third.MustGov(held.MsgSetPrice(meshtest.Dec("0.5")))
	msg := fetch()
	lie := *msg
	lie.Value = first.Value
	require.ErrorIs(t, anybody.Try(&lie).Err(), consumertypes.ErrPriceProof)
	lie = *msg
	lie.ProofHeight.Height--
	require.ErrorIs(t, anybody.Try(&lie).Err(), consumertypes.ErrPriceNoHeader)
	lie = *msg
	lie.ProofHeight.Height += 1000
	require.ErrorIs(t, anybody.Try(&lie).Err(), consumertypes.ErrPriceNoHeader)
	power := cons.Power(val(p, 0))
	anybody.Send(msg)
	n.Advance(3 * epoch)
	requireInt(t, 45*one, p.TotalVirtual(), "the fall counts at once")
	require.Equal(t, power-45, cons.Power(val(p, 0)))

	// A client that has expired proves nothing any more; the price grows old, and stake can still leave in full.
	msg = fetch()
	light.Link().NoKeepAlive = true
	n.AdvanceIn(provedTrusting+time1, 10*time.Second)
	require.Equal(t, exported.Expired, light.ClientStatus())
	require.ErrorIs(t, anybody.Try(msg).Err(), consumertypes.ErrPriceClient)
	p.CrossUnstake("alice", val(p, 0), 100*one)
	settle(n, p)
	requireInt(t, 0, p.TotalVirtual())
}
