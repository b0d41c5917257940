package types

import (
	"cosmossdk.io/collections"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

const (
	// ModuleName is the name of the module.
	ModuleName = meshtypes.PortProvider
	// StoreKey is the key of the module's store.
	StoreKey = ModuleName
	// PortID is the IBC port of the module.
	PortID = ModuleName

	// MaxKeys is how many consensus keys of one consumer validator are recorded at most; later ones prove nothing.
	MaxKeys = 16
	// HardMaxUnbondingClaims is the most that max_unbonding_claims may be.
	HardMaxUnbondingClaims = 7
	// HardMaxValidators is the most that max_validators_per_consumer may be.
	HardMaxValidators = 2_000
	// HardMaxConsumers is the most that max_consumers may be.
	HardMaxConsumers = 500
	// HardMaxPositions is the most that max_positions may be.
	HardMaxPositions = 1_000
	// MaxPendingSlashes is how many slashes of one consumer validator may be pending; more are refused.
	MaxPendingSlashes = 32
	// MaxEvidenceBytes is the most bytes of a double-vote evidence: two votes are far below.
	MaxEvidenceBytes = 4_096
	// MaxMisbehaviourBytes is the most bytes of a misbehaviour: two headers of about 2,000 validators each.
	MaxMisbehaviourBytes = 1 << 20
	// MinBatchEpochDivisor is what U is divided by to give the shortest batch epoch.
	MinBatchEpochDivisor = 64
)

// Prefixes of the module's collections. Numbers are not used twice, nor changed.
var (
	ParamsKey          = collections.NewPrefix(0)
	EpochKey           = collections.NewPrefix(1)
	ConsumersKey       = collections.NewPrefix(2)
	PairingsKey        = collections.NewPrefix(3)
	ChannelsKey        = collections.NewPrefix(4)
	ValidatorsKey      = collections.NewPrefix(5)
	NextPoolIDKey      = collections.NewPrefix(6)
	PoolsKey           = collections.NewPrefix(7)
	ActivePoolsKey     = collections.NewPrefix(8)
	OpenBatchesKey     = collections.NewPrefix(9)
	BatchesKey         = collections.NewPrefix(10)
	WaitingBatchesKey  = collections.NewPrefix(11)
	BatchQueueKey      = collections.NewPrefix(12)
	PositionsKey       = collections.NewPrefix(13)
	MembersKey         = collections.NewPrefix(14)
	AccountsKey        = collections.NewPrefix(15)
	MarkedKey          = collections.NewPrefix(16)
	MarkCursorKey      = collections.NewPrefix(17)
	HoldsKey           = collections.NewPrefix(18)
	HoldQueueKey       = collections.NewPrefix(19)
	WalksKey           = collections.NewPrefix(20)
	RatioWalkKey       = collections.NewPrefix(21)
	NativeRatioKey     = collections.NewPrefix(22)
	LastNativeSlashKey = collections.NewPrefix(23)
	OutboxKey          = collections.NewPrefix(24)
	OutboxByOldestKey  = collections.NewPrefix(25)
	HeightsKey         = collections.NewPrefix(26)
	FlowRecordsKey     = collections.NewPrefix(27)
	FlowQueueKey       = collections.NewPrefix(28)
	FlowLastKey        = collections.NewPrefix(29)
	ConsKeysKey        = collections.NewPrefix(30)
	NextSlashIDKey     = collections.NewPrefix(31)
	SlashesKey         = collections.NewPrefix(32)
	PendingSlashesKey  = collections.NewPrefix(33)
	SlashQueueKey      = collections.NewPrefix(34)
	VetoedProofsKey    = collections.NewPrefix(65)
	MetersKey          = collections.NewPrefix(35)
	TotalsKey          = collections.NewPrefix(36)
	DebtQueueKey       = collections.NewPrefix(37)
	NativeSlashesKey   = collections.NewPrefix(38)
	RewardsKey         = collections.NewPrefix(39)
	ShortfallsKey      = collections.NewPrefix(40)
	DebtCursorKey      = collections.NewPrefix(45)
	OwnHeightsKey      = collections.NewPrefix(46)
	ExecutionsKey      = collections.NewPrefix(50)
	RewardAccountsKey  = collections.NewPrefix(51)
	RewardBooksKey     = collections.NewPrefix(52)
	AccruedKey         = collections.NewPrefix(53)
	RewardSweepKey     = collections.NewPrefix(54)
	MovedKey           = collections.NewPrefix(59)
	MovedToKey         = collections.NewPrefix(60)
	DeparturesKey      = collections.NewPrefix(61)
)
