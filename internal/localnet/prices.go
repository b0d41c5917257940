package localnet

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cosmos/gogoproto/proto"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	abci "github.com/cometbft/cometbft/abci/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"
	ibctm "github.com/cosmos/ibc-go/v11/modules/light-clients/07-tendermint"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// priceConfig is how the consumer makes the provider's price; nil if governance
// sets it and nothing is averaged.
func (n *Network) priceConfig(p *PairingSpec, consumer *Chain) (*consumertypes.PriceConfig, error) {
	config := &consumertypes.PriceConfig{
		Window: time.Duration(p.PriceWindow), MaxPostAge: time.Duration(p.MaxPostAge), MaxDeviation: math.LegacyZeroDec(),
	}
	switch p.PriceFeed {
	case consumertypes.PriceFeedFeeders:
		for _, name := range p.Feeders {
			config.Feeders = append(config.Feeders, consumer.Address(name))
		}
		config.MinFeeders = p.MinFeeders
		var err error
		config.MaxDeviation, err = math.LegacyNewDecFromStr(p.MaxDeviation)
		return config, err
	case consumertypes.PriceFeedProof:
		source, err := n.priceSource(p)
		config.Source = &source
		return config, err
	default:
		if config.Window == 0 && config.MaxPostAge == 0 {
			return nil, nil
		}
		return config, nil
	}
}

// priceSource is where x/bank of the source's chain keeps the account's balance:
// decimal digits.
func (n *Network) priceSource(p *PairingSpec) (consumertypes.PriceSource, error) {
	s := p.PriceSource
	client, _, err := n.clientsBetween(p.Consumer, s.Chain)
	if err != nil {
		return consumertypes.PriceSource{}, err
	}
	c := n.Chain(s.Chain)
	address, err := c.AddressBytes(c.Address(s.Account))
	if err != nil {
		return consumertypes.PriceSource{}, err
	}
	key, err := collections.EncodeKeyWithPrefix(banktypes.BalancesPrefix.Bytes(),
		collections.PairKeyCodec(sdk.AccAddressKey, collections.StringKey), collections.Join(sdk.AccAddress(address), s.Denom))
	return consumertypes.PriceSource{
		ClientId: client, Path: [][]byte{[]byte(banktypes.StoreKey), key},
		Encoding: consumertypes.PRICE_ENCODING_TEXT, Exponent: s.Exponent,
	}, err
}

// firstPrice lets feeders post the topology's price, or proves the one that is there.
func (n *Network) firstPrice(ctx context.Context, p *PairingSpec) (string, error) {
	ids, err := n.Pairing(p.Provider, p.Consumer)
	if err != nil {
		return "", err
	}
	if p.PriceFeed == consumertypes.PriceFeedProof {
		price, err := n.ProvePrice(ctx, ids, ValidatorAccount(0))
		return fmt.Sprintf("proved from %s: %s", p.PriceSource.Chain, price), err
	}
	for _, name := range p.Feeders {
		if err := n.PostPrice(ctx, ids, name, p.Price); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("posted by %d feeders: %s", len(p.Feeders), p.Price), nil
}

// PostPrice lets a feeder post a price of the pairing's provider.
func (n *Network) PostPrice(ctx context.Context, ids PairingState, feeder, price string) error {
	consumer := n.Chain(ids.Consumer)
	dec, err := math.LegacyNewDecFromStr(price)
	if err != nil {
		return err
	}
	_, err = consumer.Tx(ctx, feeder, &consumertypes.MsgPostPrice{
		Feeder: consumer.Address(feeder), ProviderId: ids.ProviderID, Price: dec,
	})
	return err
}

// ProvePrice proves the price of the pairing's provider with `meshd tx
// meshconsumer prove-price`: as the chain that holds it had it at the newest
// height that the consumer's light client knows. It returns the number that was
// proved.
func (n *Network) ProvePrice(ctx context.Context, ids PairingState, submitter string) (math.LegacyDec, error) {
	consumer := n.Chain(ids.Consumer)
	source, _, err := n.priceHeight(ctx, ids)
	if err != nil {
		return math.LegacyDec{}, err
	}
	res, err := consumer.CLITx(ctx, submitter, consumertypes.ModuleName, "prove-price", ids.ProviderID, "--source-node", source.primary().Ports.rpc())
	if err != nil {
		return math.LegacyDec{}, err
	}
	for _, e := range res.Events {
		if e.Type != proto.MessageName(&consumertypes.EventPriceProved{}) {
			continue
		}
		// The SDK adds which message an event is of; no message has such a field.
		e.Attributes = slices.DeleteFunc(e.Attributes, func(a abci.EventAttribute) bool { return a.Key == "msg_index" })
		msg, err := sdk.ParseTypedEvent(e)
		if err != nil {
			return math.LegacyDec{}, err
		}
		if proved, ok := msg.(*consumertypes.EventPriceProved); ok {
			return math.LegacyNewDecFromIntWithPrec(proved.Observed, math.LegacyPrecision), nil
		}
	}
	return math.LegacyDec{}, fmt.Errorf("chain %s: transaction %s has proved no price", consumer.ID, res.TxHash)
}

// priceHeight is the chain that holds the price of the pairing's provider, and its
// newest height that the consumer's light client knows.
func (n *Network) priceHeight(ctx context.Context, ids PairingState) (*Chain, uint64, error) {
	consumer := n.Chain(ids.Consumer)
	res, err := consumertypes.NewQueryClient(consumer.Conn()).Provider(ctx, &consumertypes.QueryProviderRequest{ProviderId: ids.ProviderID})
	if err != nil {
		return nil, 0, err
	}
	feed := res.Provider.Provider.Config.PriceOrDefault()
	if feed.Source == nil {
		return nil, 0, fmt.Errorf("chain %s: the price of %s is not proved", ids.Consumer, ids.Provider)
	}
	chainID, height, err := consumer.clientHeight(ctx, feed.Source.ClientId)
	if err != nil {
		return nil, 0, err
	}
	source := n.Chain(chainID)
	if source == nil {
		return nil, 0, fmt.Errorf("chain %s: %s is a client of %s, which is not in the network", ids.Consumer, feed.Source.ClientId, chainID)
	}
	return source, height.RevisionHeight, nil
}

// clientHeight is the chain that a light client tracks, and the newest height it
// knows of it.
func (c *Chain) clientHeight(ctx context.Context, clientID string) (string, clienttypes.Height, error) {
	res, err := clienttypes.NewQueryClient(c.Conn()).ClientState(ctx, &clienttypes.QueryClientStateRequest{ClientId: clientID})
	if err != nil {
		return "", clienttypes.Height{}, err
	}
	var state exported.ClientState
	if err := c.enc.registry.UnpackAny(res.ClientState, &state); err != nil {
		return "", clienttypes.Height{}, err
	}
	tendermint, ok := state.(*ibctm.ClientState)
	if !ok {
		return "", clienttypes.Height{}, fmt.Errorf("chain %s: %s is a client of type %s", c.ID, clientID, state.ClientType())
	}
	return tendermint.ChainId, tendermint.LatestHeight, nil
}

// KnowsHeight says whether the light client that the pairing's price is proved
// with knows a later height of the source than the one given.
func (n *Network) KnowsHeight(ctx context.Context, ids PairingState, height int64) (bool, error) {
	_, known, err := n.priceHeight(ctx, ids)
	return known > uint64(height), err
}
