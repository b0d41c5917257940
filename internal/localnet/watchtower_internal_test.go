package localnet

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/watchtower"
)

// What we write is what the watchtower reads, which refuses keys that it does not know.
func TestWatchtowerConfig(t *testing.T) {
	n := &Network{layout: layout{t.TempDir()}}
	for i, id := range []string{"one", "two"} {
		n.chains = append(n.chains, &Chain{
			ID: id, Prefix: id, Denom: "u" + id, MinGasPrice: math.LegacyMustNewDecFromStr("0.001"), clientHome: "/keys/" + id,
			Nodes: []*Node{{Ports: Ports{RPC: 20000 + 10*i}}, {Ports: Ports{RPC: 20001 + 10*i}}},
		})
	}
	data, err := yaml.Marshal(n.towerConfig("carrier"))
	require.NoError(t, err)
	path := filepath.Join(n.home, "config.yaml")
	require.NoError(t, os.WriteFile(path, data, 0o600))

	cfg, err := watchtower.LoadConfig(path)
	require.NoError(t, err)
	require.Equal(t, "/keys/one", cfg.Keyring.Dir)
	require.Len(t, cfg.Chains, 2)
	require.Equal(t, "two", cfg.Chains[1].ChainID)
	require.Equal(t, "carrier", cfg.Chains[1].Key)
	require.Equal(t, []string{"http://127.0.0.1:20010", "http://127.0.0.1:20011"}, cfg.Chains[1].RPC)
}
