package types

import (
	"context"
	"time"

	"cosmossdk.io/core/address"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	distrtypes "github.com/cosmos/cosmos-sdk/x/distribution/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	transfertypes "github.com/cosmos/ibc-go/v11/modules/apps/transfer/types"
	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"
	channeltypes "github.com/cosmos/ibc-go/v11/modules/core/04-channel/types"
	"github.com/cosmos/ibc-go/v11/modules/core/exported"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// AccountKeeper is what the module needs of x/auth.
type AccountKeeper interface {
	AddressCodec() address.Codec
	GetModuleAddress(name string) sdk.AccAddress
	GetAccount(ctx context.Context, addr sdk.AccAddress) sdk.AccountI
	NewAccountWithAddress(ctx context.Context, addr sdk.AccAddress) sdk.AccountI
	SetAccount(ctx context.Context, acc sdk.AccountI)
}

// BankKeeper is what the module needs of x/bank.
type BankKeeper interface {
	MintCoins(ctx context.Context, moduleName string, amt sdk.Coins) error
	BurnCoins(ctx context.Context, moduleName string, amt sdk.Coins) error
	SendCoinsFromModuleToModule(ctx context.Context, senderModule, recipientModule string, amt sdk.Coins) error
	GetSupply(ctx context.Context, denom string) sdk.Coin
	GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin
	IterateAccountBalances(ctx context.Context, addr sdk.AccAddress, cb func(sdk.Coin) (stop bool))
	SendCoins(ctx context.Context, from, to sdk.AccAddress, amt sdk.Coins) error
}

// DistributionKeeper is what the module needs of x/distribution. Iterators are for the order of its writes only.
type DistributionKeeper interface {
	WithdrawDelegationRewards(ctx context.Context, delAddr sdk.AccAddress, valAddr sdk.ValAddress) (sdk.Coins, error)
	FundCommunityPool(ctx context.Context, amount sdk.Coins, sender sdk.AccAddress) error
	IterateValidatorOutstandingRewards(ctx context.Context, fn func(val sdk.ValAddress, rewards distrtypes.ValidatorOutstandingRewards) (stop bool))
	IterateDelegatorStartingInfos(
		ctx context.Context, fn func(val sdk.ValAddress, del sdk.AccAddress, info distrtypes.DelegatorStartingInfo) (stop bool),
	)
	IterateValidatorHistoricalRewards(
		ctx context.Context, fn func(val sdk.ValAddress, period uint64, rewards distrtypes.ValidatorHistoricalRewards) (stop bool),
	)
	IterateValidatorCurrentRewards(ctx context.Context, fn func(val sdk.ValAddress, rewards distrtypes.ValidatorCurrentRewards) (stop bool))
	IterateValidatorAccumulatedCommissions(
		ctx context.Context, fn func(val sdk.ValAddress, commission distrtypes.ValidatorAccumulatedCommission) (stop bool),
	)
}

// TransferKeeper is what the module needs of ICS-20 transfer. It sends over IBC v1 if the source channel is a channel, else
// over IBC v2.
type TransferKeeper interface {
	Transfer(ctx context.Context, msg *transfertypes.MsgTransfer) (*transfertypes.MsgTransferResponse, error)
}

// StakingKeeper is what the module needs of x/staking.
type StakingKeeper interface {
	ValidatorAddressCodec() address.Codec
	BondDenom(ctx context.Context) (string, error)
	UnbondingTime(ctx context.Context) (time.Duration, error)
	// TotalValidatorPower is the balance of the bonded pool.
	TotalValidatorPower(ctx context.Context) (sdkmath.Int, error)
	IterateValidators(ctx context.Context, fn func(index int64, validator stakingtypes.ValidatorI) (stop bool)) error
	GetValidator(ctx context.Context, valAddr sdk.ValAddress) (stakingtypes.Validator, error)
	GetValidatorByConsAddr(ctx context.Context, consAddr sdk.ConsAddress) (stakingtypes.Validator, error)
	GetDelegation(ctx context.Context, delAddr sdk.AccAddress, valAddr sdk.ValAddress) (stakingtypes.Delegation, error)
	IterateDelegatorDelegations(ctx context.Context, delAddr sdk.AccAddress, cb func(delegation stakingtypes.Delegation) (stop bool)) error
	Delegate(
		ctx context.Context, delAddr sdk.AccAddress, bondAmt sdkmath.Int, tokenSrc stakingtypes.BondStatus,
		validator stakingtypes.Validator, subtractAccount bool,
	) (sdkmath.LegacyDec, error)
	Unbond(ctx context.Context, delAddr sdk.AccAddress, valAddr sdk.ValAddress, shares sdkmath.LegacyDec) (sdkmath.Int, error)
	Jail(ctx context.Context, consAddr sdk.ConsAddress) error
}

// SlashingKeeper is what the module needs of x/slashing.
type SlashingKeeper interface {
	IsTombstoned(ctx context.Context, consAddr sdk.ConsAddress) bool
}

// ClientKeeper is what the module needs of IBC's clients.
type ClientKeeper interface {
	GetClientState(ctx sdk.Context, clientID string) (exported.ClientState, bool)
	GetClientStatus(ctx sdk.Context, clientID string) exported.Status
	GetClientTimestampAtHeight(ctx sdk.Context, clientID string, height exported.Height) (uint64, error)
	// VerifyMembership fails unless the client is active.
	VerifyMembership(
		ctx sdk.Context, clientID string, height exported.Height, delayTimePeriod, delayBlockPeriod uint64,
		proof []byte, path exported.Path, value []byte,
	) error
}

// ConnectionKeeper is what the module needs of IBC's connections.
type ConnectionKeeper = meshtypes.ConnectionKeeper

// ChannelKeeper is what the module needs of IBC's channels.
type ChannelKeeper interface {
	PacketSender
	GetChannel(ctx sdk.Context, portID, channelID string) (channeltypes.Channel, bool)
	ChanCloseInit(ctx sdk.Context, portID, channelID string) error
}

// PacketSender sends packets; it is the top of the module's middleware stack.
type PacketSender interface {
	SendPacket(
		ctx sdk.Context, sourcePort, sourceChannel string, timeoutHeight clienttypes.Height, timeoutTimestamp uint64, data []byte,
	) (sequence uint64, err error)
}
