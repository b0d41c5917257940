package localnet

import (
	"crypto/sha256"
	"fmt"

	"github.com/cosmos/go-bip39"

	"github.com/cosmos/cosmos-sdk/codec"
	"github.com/cosmos/cosmos-sdk/crypto/hd"
	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// derivedMnemonic makes a mnemonic out of a name, so that an account has the
// same address in every run. Anybody can do the same: such keys are worth
// nothing outside a local network.
func derivedMnemonic(name string) (string, error) {
	entropy := sha256.Sum256([]byte("mesh-security localnet account: " + name))
	return bip39.NewMnemonic(entropy[:])
}

func hdPath() string { return hd.CreateHDPath(sdk.CoinType, 0, 0).String() }

// privKey derives the first key of a mnemonic, as wallets do.
func privKey(mnemonic string) (cryptotypes.PrivKey, error) {
	bz, err := hd.Secp256k1.Derive()(mnemonic, "", hdPath())
	if err != nil {
		return nil, err
	}
	return &secp256k1.PrivKey{Key: bz}, nil
}

// storeKeys writes accounts into a test keyring, where the meshd command finds
// them by name.
func storeKeys(cdc codec.Codec, dir string, accounts []AccountState) error {
	kr, err := keyring.New("meshd", keyring.BackendTest, dir, nil, cdc)
	if err != nil {
		return err
	}
	for _, a := range accounts {
		if _, err := kr.NewAccount(a.Name, a.Mnemonic, "", hdPath(), hd.Secp256k1); err != nil {
			return fmt.Errorf("key of %s: %w", a.Name, err)
		}
	}
	return nil
}

// chainAccounts lists the accounts of a chain with their keys: validators'
// operators, the relayer's, then the named ones.
func chainAccounts(t *Topology, c *ChainSpec, enc *encoding) ([]AccountState, error) {
	var out []AccountState
	add := func(name, mnemonic, seed string) error {
		var err error
		if mnemonic == "" {
			if mnemonic, err = derivedMnemonic(seed); err != nil {
				return err
			}
		}
		key, err := privKey(mnemonic)
		if err != nil {
			return fmt.Errorf("account %s: %w", name, err)
		}
		address, err := enc.accounts.BytesToString(key.PubKey().Address())
		if err != nil {
			return err
		}
		out = append(out, AccountState{Name: name, Address: address, Mnemonic: mnemonic})
		return nil
	}
	for i := range c.Validators {
		if err := add(ValidatorAccount(i), "", c.ID+"/"+ValidatorAccount(i)); err != nil {
			return nil, err
		}
	}
	for i := range t.relayers() {
		if err := add(setupAccount(i), "", setupAccount(i)); err != nil {
			return nil, err
		}
	}
	for _, a := range t.accountsOn(c) {
		if err := add(a.Name, a.Mnemonic, a.Name); err != nil {
			return nil, err
		}
	}
	return out, nil
}
