package cmd

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cosmos/cosmos-sdk/client"
	"github.com/cosmos/cosmos-sdk/client/flags"
	"github.com/cosmos/cosmos-sdk/client/keys"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// keysCommand is the SDK's, with the signature by which an operator vouches for a consensus key.
func keysCommand() *cobra.Command {
	c := keys.Commands()
	c.AddCommand(signVouchCommand())
	return c
}

// signVouchCommand makes the arguments of MsgVouchKey, offline.
func signVouchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sign-vouch [key-name] [provider-chain-id] [consumer-id] [consensus-key]",
		Short: "Vouch for a consensus key of your validator to a chain whose stake backs it",
		Long: "Vouch for a consensus key of your validator to a chain whose stake backs it (the provider), with the operator's account\n" +
			"key. It needs no node. consumer-id is the IBC client that tracks this chain on the provider; consensus-key is what\n" +
			"`comet show-validator` prints. The result is the transaction to send on the provider, by anyone.",
		Example: `meshd keys sign-vouch operator osmosis-1 07-tendermint-7 '{"@type":"/cosmos.crypto.ed25519.PubKey","key":"..."}'`,
		Args:    cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			clientCtx, err := client.GetClientQueryContext(cmd)
			if err != nil {
				return err
			}
			var pub cryptotypes.PubKey
			if err := clientCtx.Codec.UnmarshalInterfaceJSON([]byte(args[3]), &pub); err != nil {
				return fmt.Errorf("consensus key: %w", err)
			}
			key := meshtypes.ConsensusKey{Type: pub.Type(), Key: pub.Bytes()}
			if _, err := key.PubKey(); err != nil {
				return fmt.Errorf("consensus key: %w", err)
			}
			signature, account, err := clientCtx.Keyring.Sign(args[0], types.VouchSignBytes(args[1], args[2], key), signing.SignMode_SIGN_MODE_DIRECT)
			if err != nil {
				return err
			}
			if err := types.VerifyVouch(args[1], args[2], key, account.Address(), account.Bytes(), signature); err != nil {
				return err
			}
			consensusKey, err := json.Marshal(map[string]any{"type": key.Type, "key": key.Key})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "meshd tx %s vouch-key %s %s '%s' %s %s --%s %s\n", types.ModuleName, args[2],
				sdk.ValAddress(account.Address()), consensusKey, hex.EncodeToString(account.Bytes()), hex.EncodeToString(signature),
				flags.FlagChainID, args[1])
			return err
		},
	}
}
