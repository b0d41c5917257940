package cmd_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cosmos/cosmos-sdk/types/bech32"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	"github.com/mesh-security/mesh/x/provider/types"
)

// TestSignVouch: what the operator makes offline is a transaction that the provider takes.
func TestSignVouch(t *testing.T) {
	home := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		out, err := meshd(t, home, args...)
		require.NoError(t, err)
		return strings.TrimSpace(out)
	}
	run("init", "node", "--chain-id", "axelar-local", "--bech32-prefix", "axelar", "--default-denom", "uaxl")
	var account struct{ Address string }
	require.NoError(t, json.Unmarshal([]byte(run("keys", "add", "operator", "--keyring-backend", "test", "--output", "json")), &account))
	consensusKey := run("comet", "show-validator")
	line := run("keys", "sign-vouch", "operator", "osmosis-1", "07-tendermint-7", consensusKey, "--keyring-backend", "test")
	_, err := meshd(t, home, "keys", "sign-vouch", "operator", "osmosis-1", "07-tendermint-7", "{}", "--keyring-backend", "test")
	require.Error(t, err)

	fields := strings.Fields(line)
	require.Len(t, fields, 11, line)
	require.Equal(t, []string{"meshd", "tx", "meshprovider", "vouch-key", "07-tendermint-7"}, fields[:5])
	_, addr, err := bech32.DecodeAndConvert(account.Address)
	require.NoError(t, err)
	hrp, operator, err := bech32.DecodeAndConvert(fields[5])
	require.NoError(t, err)
	require.Equal(t, "axelarvaloper", hrp)
	require.Equal(t, addr, operator)
	var key meshtypes.ConsensusKey
	require.NoError(t, json.Unmarshal([]byte(strings.Trim(fields[6], "'")), &key))
	accountKey, err := hex.DecodeString(fields[7])
	require.NoError(t, err)
	signature, err := hex.DecodeString(fields[8])
	require.NoError(t, err)
	require.NoError(t, types.VerifyVouch("osmosis-1", "07-tendermint-7", key, operator, accountKey, signature))
	require.ErrorIs(t, types.VerifyVouch("osmosis-2", "07-tendermint-7", key, operator, accountKey, signature), types.ErrInvalidVouch)

	// AutoCLI takes the line as it is.
	args := fields[1:9]
	args[5] = strings.Trim(args[5], "'")
	args = append(args, "--from", account.Address, "--keyring-backend", "test", "--generate-only",
		"--gas", "200000")
	var tx struct {
		Body struct {
			Messages []struct {
				Signature    []byte `json:"signature"`
				ConsensusKey struct{ Key []byte }
			}
		}
	}
	out := run(args...)
	require.NoError(t, json.Unmarshal([]byte(out), &tx), out)
	require.Len(t, tx.Body.Messages, 1)
	require.Equal(t, signature, tx.Body.Messages[0].Signature)
}
