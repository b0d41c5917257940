package cmd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/app"
)

func TestResolveIdentity(t *testing.T) {
	configured, empty := t.TempDir(), t.TempDir()
	writeAppToml(t, configured, "bech32-prefix = \"osmo\"\ncoin-type = 60\n[api]\nenable = true\n")

	testCases := []struct {
		name   string
		args   []string
		env    map[string]string
		prefix string
		coin   uint32
		home   string
		expErr string
	}{
		{
			name: "defaults", args: []string{"start", "--home", empty},
			prefix: app.DefaultBech32Prefix, coin: app.DefaultCoinType, home: empty,
		},
		{
			name: "from the home", args: []string{"start", "--home=" + configured},
			prefix: "osmo", coin: 60, home: configured,
		},
		{
			name: "home from the environment", args: []string{"start"}, env: map[string]string{"MESHD_HOME": configured},
			prefix: "osmo", coin: 60, home: configured,
		},
		{
			name: "flag for the home before the environment", args: []string{"--home", empty},
			env:    map[string]string{"MESHD_HOME": configured},
			prefix: app.DefaultBech32Prefix, coin: app.DefaultCoinType, home: empty,
		},
		{
			name: "environment before the home", args: []string{"--home", configured},
			env:    map[string]string{"MESHD_BECH32_PREFIX": "axelar", "MESHD_COIN_TYPE": "118"},
			prefix: "axelar", coin: 118, home: configured,
		},
		{
			name: "flag before the environment", args: []string{"--bech32-prefix", "juno", "--home", configured},
			env:    map[string]string{"MESHD_BECH32_PREFIX": "axelar"},
			prefix: "juno", coin: 60, home: configured,
		},
		{
			name: "among flags that are not known yet",
			args: []string{
				"tx", "bank", "send", "a", "b", "1stake", "-y", "--fees", "5stake", "-o", "json", "--help",
				"--home", configured, "--unknown",
			},
			prefix: "osmo", coin: 60, home: configured,
		},
		{
			name: "after the end of the flags", args: []string{"--home", empty, "--", "--bech32-prefix", "juno"},
			prefix: app.DefaultBech32Prefix, coin: app.DefaultCoinType, home: empty,
		},
		{name: "invalid prefix", args: []string{"--home", empty, "--bech32-prefix", "Osmo"}, expErr: "invalid bech32 prefix"},
		{
			name: "invalid coin type", args: []string{"--home", empty}, env: map[string]string{"MESHD_COIN_TYPE": "2147483648"},
			expErr: "invalid coin type",
		},
		{name: "flag without a value", args: []string{"--home"}, expErr: "needs an argument"},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			id, err := resolveIdentity(tc.args, func(key string) string { return tc.env[key] })
			if tc.expErr != "" {
				require.ErrorContains(t, err, tc.expErr)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.prefix, id.Bech32Prefix)
			require.Equal(t, tc.coin, id.CoinType)
			require.Equal(t, tc.home, id.Home)
		})
	}
}

func TestResolveIdentityRefusesBrokenConfig(t *testing.T) {
	home := t.TempDir()
	writeAppToml(t, home, "bech32-prefix = ")

	_, err := resolveIdentity([]string{"--home", home}, func(string) string { return "" })

	require.ErrorContains(t, err, "app.toml")
}

func TestCheckHome(t *testing.T) {
	root, start, query, bank := &cobra.Command{Use: "meshd"}, &cobra.Command{Use: "start"}, &cobra.Command{Use: "query"}, &cobra.Command{Use: "bank"}
	root.AddCommand(start, query)
	query.AddCommand(bank)

	same := identity{Bech32Prefix: "osmo", homePrefix: "osmo"}
	fresh := identity{Bech32Prefix: "osmo"}
	other := identity{Bech32Prefix: "osmo", homePrefix: "axelar"}

	require.NoError(t, same.checkHome(start))
	require.NoError(t, fresh.checkHome(start))
	require.ErrorContains(t, other.checkHome(start), `prefix "axelar"`)
	require.NoError(t, other.checkHome(bank), "a client may talk to another chain")
}

func writeAppToml(t *testing.T, home, content string) {
	t.Helper()
	path := filepath.Join(home, "config", "app.toml")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}
