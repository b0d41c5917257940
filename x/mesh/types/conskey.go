package types

import (
	errorsmod "cosmossdk.io/errors"

	"github.com/cometbft/cometbft/crypto"
	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/crypto/secp256k1"
)

// PubKey returns the key as CometBFT verifies with it. Its Address is the consensus address. Error: ErrInvalidKey if the
// type is neither ed25519 nor secp256k1, or the length is not the type's.
func (k ConsensusKey) PubKey() (crypto.PubKey, error) {
	switch {
	case k.Type == ed25519.KeyType && len(k.Key) == ed25519.PubKeySize:
		return ed25519.PubKey(k.Key), nil
	case k.Type == secp256k1.KeyType && len(k.Key) == secp256k1.PubKeySize:
		return secp256k1.PubKey(k.Key), nil
	}
	return nil, errorsmod.Wrapf(ErrInvalidKey, "type %q with %d bytes", k.Type, len(k.Key))
}
