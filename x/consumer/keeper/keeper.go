// Package keeper is the consumer side of Mesh Security: it turns the stake that providers report into virtual stake on
// this chain's validators.
package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/core/store"
	"cosmossdk.io/log/v2"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/x/consumer/types"
	"github.com/mesh-security/mesh/x/mesh/flow"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// Keys of the module's state: a provider and a validator; and a validator and a provider, behind the phase of the plan.
type (
	stakeKey = collections.Pair[string, []byte]
	planKey  = collections.Triple[bool, []byte, string]
)

// Keeper holds the module's state and the keepers it works with.
type Keeper struct {
	cdc       codec.BinaryCodec
	authority string

	accounts types.AccountKeeper
	bank     types.BankKeeper
	staking  types.StakingKeeper

	// Connected after construction: they depend on this keeper, or on what does.
	slashing    types.SlashingKeeper
	clients     types.ClientKeeper
	connections types.ConnectionKeeper
	channels    types.ChannelKeeper
	sender      types.PacketSender
	// clientsV2 and senderV2 are IBC v2's; they are nil on a chain without it.
	clientsV2 meshtypes.ClientKeeperV2
	senderV2  meshtypes.PacketSenderV2
	// distribution pays rewards out; transfer sends them. Either may be missing.
	distribution types.DistributionKeeper
	transfer     types.TransferKeeper
	vetoQuorum   func(context.Context) (sdkmath.LegacyDec, error)
	tallies      types.Tallies
	feeds        map[string]PriceFeed

	Schema collections.Schema
	Params collections.Item[types.Params]
	Epoch  collections.Item[types.EpochState]
	// Providers are all providers by id, removed ones included.
	Providers collections.Map[string, types.Provider]
	// Channels leads from an open channel to its provider.
	Channels collections.Map[string, string]
	// Accounts leads from the account that holds virtual stake to its provider.
	Accounts collections.Map[[]byte, string]
	// Prices are the posted prices by provider.
	Prices collections.Map[string, types.PostedPrice]
	// Stakes are the amounts reported, by provider and validator.
	Stakes collections.Map[stakeKey, types.StakeRecord]
	// Plan is what is left of the epoch's plan: decreases (false) first, then increases, each by validator and provider.
	Plan collections.Map[planKey, types.Target]
	// Validators is the registry of this chain's validators by operator address.
	Validators collections.Map[[]byte, types.ValidatorState]
	// Changed are the validators to mark for every provider.
	Changed collections.KeySet[[]byte]
	// Dirty are the validators to report, by provider.
	Dirty collections.Map[stakeKey, types.DirtyValidator]
	// Strays are the validators that lost a delegation and may have nothing but virtual stake left.
	Strays collections.KeySet[[]byte]
	// VirtualShares are the shares of all virtual delegations by validator; derived from x/staking's delegations.
	VirtualShares collections.Map[[]byte, sdkmath.LegacyDec]
	// ProviderShares are the shares of all virtual delegations by provider; derived from x/staking's delegations.
	ProviderShares collections.Map[string, sdkmath.LegacyDec]
	// CountedShares are the virtual shares that count in governance, by validator: the sum of shares · weight over
	// providers, with 36 decimals, as the bytes of an integer; derived. A sum of zero is not kept.
	CountedShares collections.Map[[]byte, []byte]
	// VirtualSupply is the sum taken at the beginning of the block; derived.
	VirtualSupply collections.Item[types.VirtualSupply]
	// Flows is the log of virtual stake that left and came.
	Flows flow.Log
	// Heights are the times (unix nanoseconds) of epochs' ends by height.
	Heights collections.Map[int64, uint64]
	// PricePosts are what feeders posted last, by provider and account.
	PricePosts collections.Map[stakeKey, types.PostedPrice]
	// PriceObservations are the accumulators that prices are averaged with, by provider and unix nanoseconds.
	PriceObservations collections.Map[observationKey, types.PriceObservation]
	// ProvedHeights are the heights of other chains at which prices were last proved, by provider.
	ProvedHeights collections.Map[string, meshtypes.Height]
	// SlashLog are the slashes of validators with a provider's stake, by provider and index from 1 in each session.
	SlashLog collections.Map[slashKey, types.SlashRecord]
	rewardState
}

// NewKeeper returns the consumer keeper. IBC and x/slashing are connected afterwards (ConnectIBC, ConnectSlashing),
// because they are built later.
//
// CONTRACT: the module account types.ModuleName exists and may mint.
func NewKeeper(
	cdc codec.BinaryCodec, storeService store.KVStoreService, authority string,
	ak types.AccountKeeper, bk types.BankKeeper, sk types.StakingKeeper,
) *Keeper {
	if ak.GetModuleAddress(types.ModuleName) == nil {
		panic(fmt.Sprintf("the %s module account has not been set", types.ModuleName))
	}
	if _, err := ak.AddressCodec().StringToBytes(authority); err != nil {
		panic(fmt.Sprintf("%s: invalid authority: %s", types.ModuleName, err))
	}

	sb := collections.NewSchemaBuilder(storeService)
	pair := collections.PairKeyCodec(collections.StringKey, collections.BytesKey)
	k := &Keeper{
		cdc:       cdc,
		authority: authority,
		accounts:  ak,
		bank:      bk,
		staking:   sk,

		Params:    collections.NewItem(sb, types.ParamsKey, "params", codec.CollValue[types.Params](cdc)),
		Epoch:     collections.NewItem(sb, types.EpochKey, "epoch", codec.CollValue[types.EpochState](cdc)),
		Providers: collections.NewMap(sb, types.ProvidersKey, "providers", collections.StringKey, codec.CollValue[types.Provider](cdc)),
		Channels:  collections.NewMap(sb, types.ChannelsKey, "channels", collections.StringKey, collections.StringValue),
		Accounts:  collections.NewMap(sb, types.AccountsKey, "accounts", collections.BytesKey, collections.StringValue),
		Prices:    collections.NewMap(sb, types.PricesKey, "prices", collections.StringKey, codec.CollValue[types.PostedPrice](cdc)),
		Stakes:    collections.NewMap(sb, types.StakesKey, "stakes", pair, types.StakeRecordValue(cdc)),
		Plan: collections.NewMap(sb, types.PlanKey, "plan",
			collections.TripleKeyCodec(collections.BoolKey, collections.BytesKey, collections.StringKey),
			types.TargetValue(cdc)),
		Validators:     collections.NewMap(sb, types.ValidatorsKey, "validators", collections.BytesKey, codec.CollValue[types.ValidatorState](cdc)),
		Changed:        collections.NewKeySet(sb, types.ChangedKey, "changed", collections.BytesKey),
		Dirty:          collections.NewMap(sb, types.DirtyKey, "dirty", pair, codec.CollValue[types.DirtyValidator](cdc)),
		Strays:         collections.NewKeySet(sb, types.StraysKey, "strays", collections.BytesKey),
		VirtualShares:  collections.NewMap(sb, types.VirtualSharesKey, "virtual_shares", collections.BytesKey, sdk.LegacyDecValue),
		ProviderShares: collections.NewMap(sb, types.ProviderSharesKey, "provider_shares", collections.StringKey, sdk.LegacyDecValue),
		CountedShares:  collections.NewMap(sb, types.CountedSharesKey, "counted_shares", collections.BytesKey, collections.BytesValue),
		VirtualSupply:  collections.NewItem(sb, types.VirtualSupplyKey, "virtual_supply", codec.CollValue[types.VirtualSupply](cdc)),
		Flows:          flow.NewLog(sb, cdc, types.FlowRecordsKey, types.FlowQueueKey, types.FlowLastKey),
		Heights:        collections.NewMap(sb, types.HeightsKey, "heights", collections.Int64Key, collections.Uint64Value),
		PricePosts:     collections.NewMap(sb, types.PricePostsKey, "price_posts", pair, codec.CollValue[types.PostedPrice](cdc)),
		PriceObservations: collections.NewMap(sb, types.PriceObservationsKey, "price_observations",
			collections.PairKeyCodec(collections.StringKey, collections.Uint64Key), codec.CollValue[types.PriceObservation](cdc)),
		ProvedHeights: collections.NewMap(sb, types.ProvedHeightsKey, "proved_heights", collections.StringKey, codec.CollValue[meshtypes.Height](cdc)),
		SlashLog: collections.NewMap(sb, types.SlashLogKey, "slash_log",
			collections.PairKeyCodec(collections.StringKey, collections.Uint64Key), codec.CollValue[types.SlashRecord](cdc)),
	}
	k.feeds = k.priceFeeds()

	k.rewardState = newRewardState(sb, cdc)

	schema, err := sb.Build()
	if err != nil {
		panic(err)
	}
	k.Schema = schema
	return k
}

// ConnectIBC connects the keeper to IBC.
func (k *Keeper) ConnectIBC(clients types.ClientKeeper, connections types.ConnectionKeeper, channels types.ChannelKeeper) {
	k.clients, k.connections, k.channels = clients, connections, channels
	if k.sender == nil {
		k.sender = channels
	}
}

// SetPacketSender sets what packets are sent through: the top of the IBC module's stack.
func (k *Keeper) SetPacketSender(sender types.PacketSender) { k.sender = sender }

// ConnectSlashing connects the keeper to x/slashing, which knows who is tombstoned.
func (k *Keeper) ConnectSlashing(slashing types.SlashingKeeper) { k.slashing = slashing }

// SetVetoThreshold sets where to read the governance module's veto threshold; without it one third counts.
func (k *Keeper) SetVetoThreshold(threshold func(context.Context) (sdkmath.LegacyDec, error)) {
	k.vetoQuorum = threshold
}

// GetAuthority returns the address that may send the module's messages.
func (k *Keeper) GetAuthority() string { return k.authority }

// Logger returns the module's logger.
func (k *Keeper) Logger(ctx context.Context) log.Logger {
	return sdk.UnwrapSDKContext(ctx).Logger().With("module", "x/"+types.ModuleName)
}

// ownHeight returns this chain's height, with the revision of its chain id.
func ownHeight(ctx sdk.Context) meshtypes.Height {
	return meshtypes.NewHeight(clienttypes.ParseChainID(ctx.ChainID()), uint64(max(ctx.BlockHeight(), 0)))
}
