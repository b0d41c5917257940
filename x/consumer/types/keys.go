package types

import (
	"cosmossdk.io/collections"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/address"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// ModuleName is the module's name, module account and port.
	ModuleName = meshtypes.PortConsumer
	// StoreKey is the key of the module's store.
	StoreKey = ModuleName
)

// Prefixes of the module's state. They are part of the chain's state: never change or reuse one.
var (
	ParamsKey         = collections.NewPrefix(0)
	EpochKey          = collections.NewPrefix(1)
	ProvidersKey      = collections.NewPrefix(2)
	ChannelsKey       = collections.NewPrefix(3)
	AccountsKey       = collections.NewPrefix(4)
	PricesKey         = collections.NewPrefix(5)
	StakesKey         = collections.NewPrefix(6)
	PlanKey           = collections.NewPrefix(7)
	ValidatorsKey     = collections.NewPrefix(8)
	ChangedKey        = collections.NewPrefix(9)
	DirtyKey          = collections.NewPrefix(10)
	StraysKey         = collections.NewPrefix(11)
	VirtualSharesKey  = collections.NewPrefix(12)
	VirtualSupplyKey  = collections.NewPrefix(13)
	FlowRecordsKey    = collections.NewPrefix(14)
	FlowQueueKey      = collections.NewPrefix(15)
	HeightsKey        = collections.NewPrefix(16)
	FlowLastKey       = collections.NewPrefix(17)
	SlashLogKey       = collections.NewPrefix(18)
	ProviderSharesKey = collections.NewPrefix(19)
	CountedSharesKey  = collections.NewPrefix(24)

	PricePostsKey        = collections.NewPrefix(30)
	PriceObservationsKey = collections.NewPrefix(31)
	ProvedHeightsKey     = collections.NewPrefix(32)
)

// VirtualAccount returns the account that holds a provider's virtual stake. Nobody has a key to it.
func VirtualAccount(providerID string) sdk.AccAddress {
	return address.Module(ModuleName, []byte(providerID))
}
