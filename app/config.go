package app

import (
	"fmt"
	"regexp"

	"cosmossdk.io/core/address"

	addresscodec "github.com/cosmos/cosmos-sdk/codec/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

const (
	// Name is the name the application reports to CometBFT and to clients.
	Name = "meshd"

	// DefaultBech32Prefix is the human-readable part of account addresses of a chain that does not choose its own.
	DefaultBech32Prefix = "mesh"

	// DefaultBondDenom is the staking denom of a genesis that does not choose its own.
	DefaultBondDenom = "umesh"

	// DefaultCoinType is the BIP-44 coin type of keys of a chain that does not choose its own.
	DefaultCoinType = sdk.CoinType
)

var bech32PrefixFormat = regexp.MustCompile(`^[a-z][a-z0-9]{0,19}$`)

// ValidateBech32Prefix refuses what cannot be the human-readable part of an address.
func ValidateBech32Prefix(prefix string) error {
	if !bech32PrefixFormat.MatchString(prefix) {
		return fmt.Errorf("invalid bech32 prefix %q: want %s", prefix, bech32PrefixFormat)
	}
	return nil
}

// SetChainConfig sets what the SDK keeps in one global per process: address prefixes and the coin type of keys.
//
// CONTRACT: called before the first address is rendered and before any codec or App is built, because they copy
// the prefix, and sdk.AccAddress caches its text. It panics once the config is sealed.
func SetChainConfig(bech32Prefix string, coinType uint32) error {
	if err := ValidateBech32Prefix(bech32Prefix); err != nil {
		return err
	}

	cfg := sdk.GetConfig()
	cfg.SetBech32PrefixForAccount(bech32Prefix, bech32Prefix+sdk.PrefixPublic)
	cfg.SetBech32PrefixForValidator(
		bech32Prefix+sdk.PrefixValidator+sdk.PrefixOperator,
		bech32Prefix+sdk.PrefixValidator+sdk.PrefixOperator+sdk.PrefixPublic,
	)
	cfg.SetBech32PrefixForConsensusNode(
		bech32Prefix+sdk.PrefixValidator+sdk.PrefixConsensus,
		bech32Prefix+sdk.PrefixValidator+sdk.PrefixConsensus+sdk.PrefixPublic,
	)
	cfg.SetCoinType(coinType)
	return nil
}

// accountCodec, validatorCodec and consensusCodec follow the global config: ibc core and parts of the SDK render
// addresses with it, and a chain on which two parts disagree about the prefix cannot run.

func accountCodec() address.Codec {
	return addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32AccountAddrPrefix())
}

func validatorCodec() address.Codec {
	return addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32ValidatorAddrPrefix())
}

func consensusCodec() address.Codec {
	return addresscodec.NewBech32Codec(sdk.GetConfig().GetBech32ConsensusAddrPrefix())
}
