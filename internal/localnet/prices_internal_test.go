package localnet

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

func TestPriceConfig(t *testing.T) {
	enc, err := newEncoding("juno")
	require.NoError(t, err)
	address := bytes.Repeat([]byte{7}, 20)
	text, err := enc.accounts.BytesToString(address)
	require.NoError(t, err)
	juno := &Chain{ID: "juno", Prefix: "juno", enc: enc, accounts: []AccountState{{Name: "oracle", Address: text}}}
	n := &Network{
		state:  &State{Links: []LinkState{{A: "osmosis", B: "juno", AClient: "07-tendermint-4", BClient: "07-tendermint-0"}}},
		chains: []*Chain{juno},
	}

	config, err := n.priceConfig(&PairingSpec{PriceFeed: consumertypes.PriceFeedGovernance}, juno)
	require.NoError(t, err)
	require.Nil(t, config)

	config, err = n.priceConfig(&PairingSpec{
		PriceFeed: consumertypes.PriceFeedFeeders, Feeders: []string{"oracle"}, MinFeeders: 1, MaxDeviation: "0.1",
	}, juno)
	require.NoError(t, err)
	require.Equal(t, []string{text}, config.Feeders)
	require.Equal(t, "0.100000000000000000", config.MaxDeviation.String())

	config, err = n.priceConfig(&PairingSpec{
		Consumer: "osmosis", PriceFeed: consumertypes.PriceFeedProof,
		PriceSource: &PriceSourceSpec{Chain: "juno", Account: "oracle", Denom: "uprice", Exponent: -6},
	}, nil)
	require.NoError(t, err)
	source := config.Source
	require.NoError(t, source.Validate())
	require.Equal(t, "07-tendermint-4", source.ClientId, "the consumer's client")
	key := append([]byte{2, 20}, address...)
	require.Equal(t, [][]byte{[]byte("bank"), append(key, "uprice"...)}, source.Path, "where x/bank keeps a balance")

	// What x/bank writes there.
	number, err := source.Read([]byte("2500000"))
	require.NoError(t, err)
	require.Equal(t, "2500000000000000000", number.String(), "2.5, scaled by 10^18")
}
