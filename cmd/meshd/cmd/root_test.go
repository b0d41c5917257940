package cmd_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/cmd/meshd/cmd"
)

// envRunMain makes the test binary behave as meshd: the address prefix is fixed once per process, so each command
// needs a process of its own.
const envRunMain = "MESHD_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(envRunMain) == "" {
		os.Exit(m.Run())
	}
	if err := cmd.Execute(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func meshd(t *testing.T, home string, args ...string) (stdout string, err error) {
	t.Helper()
	c := exec.Command(os.Args[0], append([]string{"--home", home}, args...)...)
	c.Env = append(os.Environ(), envRunMain+"=1")
	var out, errOut strings.Builder
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errOut.String())
	}
	return out.String(), nil
}

// Two chains with different prefixes and denoms come from one binary, and each home remembers its own.
func TestGenesisOfTwoChains(t *testing.T) {
	for _, chain := range []struct{ id, prefix, denom string }{
		{"osmosis-local", "osmo", "uosmo"},
		{"axelar-local", "axelar", "uaxl"},
	} {
		t.Run(chain.id, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			run := func(args ...string) string {
				t.Helper()
				out, err := meshd(t, home, args...)
				require.NoError(t, err)
				return out
			}

			run("init", "node", "--chain-id", chain.id, "--bech32-prefix", chain.prefix, "--default-denom", chain.denom)
			var key struct{ Address string }
			out := run("keys", "add", "validator", "--keyring-backend", "test", "--output", "json")
			require.NoError(t, json.Unmarshal([]byte(out), &key))
			require.True(t, strings.HasPrefix(key.Address, chain.prefix+"1"), key.Address)

			run("genesis", "add-genesis-account", key.Address, "2000000"+chain.denom)
			vesting := strings.TrimSpace(run("keys", "add", "vesting", "--keyring-backend", "test", "--output", "json"))
			require.NoError(t, json.Unmarshal([]byte(vesting), &key))
			run("genesis", "add-genesis-account", key.Address, "10"+chain.denom,
				"--vesting-amount", "10"+chain.denom, "--vesting-end-time", "4102444800")
			run("genesis", "gentx", "validator", "1000000"+chain.denom, "--chain-id", chain.id, "--keyring-backend", "test")
			run("genesis", "collect-gentxs")
			run("genesis", "validate")

			genesis, err := os.ReadFile(filepath.Join(home, "config", "genesis.json"))
			require.NoError(t, err)
			require.Contains(t, string(genesis), chain.prefix+"valoper1")
			require.Contains(t, string(genesis), "DelayedVestingAccount")
			require.NotContains(t, string(genesis), `"stake"`)
			config, err := os.ReadFile(filepath.Join(home, "config", "app.toml"))
			require.NoError(t, err)
			require.Contains(t, string(config), fmt.Sprintf("bech32-prefix = %q", chain.prefix))
			require.Contains(t, string(config), fmt.Sprintf("minimum-gas-prices = %q", "0"+chain.denom))

			_, err = meshd(t, home, "genesis", "validate", "--bech32-prefix", "other")
			require.ErrorContains(t, err, "configured for addresses with prefix")
		})
	}
}

// Commands are derived from services; a module whose description is wrong would lose its commands silently.
func TestModuleCommands(t *testing.T) {
	home := t.TempDir()
	help := func(args ...string) string {
		out, err := meshd(t, home, append(args, "--help")...)
		require.NoError(t, err)
		return out
	}

	for _, name := range []string{
		"auth", "authz", "bank", "comet", "consensus", "distribution", "evidence", "feegrant", "gov", "ibc",
		"ibc-transfer", "mint", "node", "slashing", "staking", "upgrade",
	} {
		require.Contains(t, help("query"), "\n  "+name+" ", "query %s", name)
	}
	for _, name := range []string{
		"authz", "bank", "distribution", "feegrant", "gov", "ibc", "ibc-transfer", "slashing", "staking", "upgrade", "vesting",
	} {
		require.Contains(t, help("tx"), "\n  "+name+" ", "tx %s", name)
	}
	for _, name := range []string{
		"comet", "config", "debug", "export", "genesis", "init", "keys", "prune", "rollback", "snapshots", "start",
		"status", "version", "watch",
	} {
		require.Contains(t, help(), "\n  "+name+" ", name)
	}
}
