package watchtower_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/watchtower"
)

const goodTOML = `
state_file = "state.json"
metrics = "127.0.0.1:9464"
poll_interval = "3s"
retention = "720h"

[keyring]
backend = "test"
dir = "/var/lib/watchtower"

[[chains]]
chain_id = "osmosis-1"
rpc = ["http://127.0.0.1:26657", "https://user:secret@rpc.example.org:443/path"]
bech32_prefix = "osmo"
gas_price = "0.025uosmo"
gas_adjustment = 1.3
key = "watcher"
start_height = 1200300

[[chains]]
chain_id = "axelar-1"
rpc = ["tcp://127.0.0.1:26667"]
follow_only = true
max_backfill = 5000
`

const goodYAML = `
state_file: state.json
metrics: 127.0.0.1:9464
poll_interval: 3s
retention: 720h
keyring:
  backend: test
  dir: /var/lib/watchtower
chains:
  - chain_id: osmosis-1
    rpc: ["http://127.0.0.1:26657", "https://user:secret@rpc.example.org:443/path"]
    bech32_prefix: osmo
    gas_price: 0.025uosmo
    gas_adjustment: 1.3
    key: watcher
    start_height: 1200300
  - chain_id: axelar-1
    rpc: ["tcp://127.0.0.1:26667"]
    follow_only: true
    max_backfill: 5000
`

func load(t *testing.T, name, content string) (*watchtower.Config, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	cfg, err := watchtower.LoadConfig(path)
	return cfg, filepath.Dir(path), err
}

func TestLoadConfig(t *testing.T) {
	for name, content := range map[string]string{"w.toml": goodTOML, "w.yaml": goodYAML, "w.YML": goodYAML} {
		t.Run(name, func(t *testing.T) {
			cfg, dir, err := load(t, name, content)
			require.NoError(t, err)
			require.Equal(t, &watchtower.Config{
				StateFile: filepath.Join(dir, "state.json"), Metrics: "127.0.0.1:9464",
				PollInterval: watchtower.Duration(3 * time.Second), Retention: watchtower.Duration(720 * time.Hour),
				Keyring: watchtower.KeyringConfig{Backend: "test", Dir: "/var/lib/watchtower"},
				Chains: []watchtower.ChainConfig{
					{
						ChainID: "osmosis-1", RPC: []string{"http://127.0.0.1:26657", "https://user:secret@rpc.example.org:443/path"},
						Bech32Prefix: "osmo", GasPrice: "0.025uosmo", GasAdjustment: 1.3, Key: "watcher", StartHeight: 1_200_300,
						MaxBackfill: watchtower.DefaultMaxBackfill,
					},
					{
						ChainID: "axelar-1", RPC: []string{"tcp://127.0.0.1:26667"}, FollowOnly: true, MaxBackfill: 5000,
						GasAdjustment: watchtower.DefaultGasAdjustment,
					},
				},
			}, cfg)
		})
	}
}

func TestLoadConfigRefuses(t *testing.T) {
	replace := func(from, to string) func(string) string {
		return func(s string) string {
			require.Contains(t, s, from)
			return strings.Replace(s, from, to, 1)
		}
	}
	testCases := []struct {
		name     string
		malleate func(string) string
		expErrs  []string
	}{
		{"syntax", replace(`backend = "test"`, `backend = `), []string{"line 8"}},
		{"unknown key", replace("key = ", "kee = "), []string{"line 17", "unknown key chains.kee"}},
		{"unknown table", replace("[keyring]", "[keyrign]"), []string{"unknown key keyrign"}},
		{"wrong type", replace("start_height = 1200300", `start_height = "latest"`), []string{"line 18", "start_height"}},
		{"bad duration", replace(`"3s"`, `"3"`), []string{"poll_interval", "missing unit"}},
		{"no state file", replace(`state_file = "state.json"`, ""), []string{"state_file: missing"}},
		{"metrics without port", replace("127.0.0.1:9464", "127.0.0.1"), []string{"metrics: not host:port"}},
		{"poll too often", replace(`"3s"`, `"1ms"`), []string{"poll_interval: 1ms is not between"}},
		{"negative poll", replace(`"3s"`, `"-3s"`), []string{"poll_interval: -3s"}},
		{"short retention", replace(`"720h"`, `"1m"`), []string{"retention: 1m0s"}},
		{"no keyring backend", replace(`backend = "test"`, ""), []string{"keyring.backend: missing"}},
		{"keyring in memory", replace(`"test"`, `"memory"`), []string{`keyring.backend: "memory" is not one of`}},
		{"no keyring dir", replace(`dir = "/var/lib/watchtower"`, ""), []string{"keyring.dir: missing"}},
		{"no chains", func(s string) string { head, _, _ := strings.Cut(s, "[[chains]]"); return head }, []string{"chains: none"}},
		{"no chain id", replace(`chain_id = "axelar-1"`, ""), []string{"chains[1]: chain_id: missing"}},
		{"odd chain id", replace(`"axelar-1"`, `"axelar/1"`), []string{`chain "axelar/1": chain_id`}},
		{"duplicate chain id", replace(`"axelar-1"`, `"osmosis-1"`), []string{`chain "osmosis-1": chain_id: the same as that of chains[0]`}},
		{"no rpc", replace(`rpc = ["tcp://127.0.0.1:26667"]`, ""), []string{`chain "axelar-1": rpc: missing`}},
		{"empty rpc", replace(`["tcp://127.0.0.1:26667"]`, "[]"), []string{`chain "axelar-1": rpc: missing`}},
		{"rpc without scheme", replace("tcp://127.0.0.1:26667", "127.0.0.1:26667"), []string{`chain "axelar-1": rpc:`}},
		{"rpc of another scheme", replace("tcp://", "ftp://"), []string{`chain "axelar-1": rpc: "ftp://127.0.0.1:26667"`}},
		{
			"rpc twice", replace("https://user:secret@rpc.example.org:443/path", "http://127.0.0.1:26657"),
			[]string{`chain "osmosis-1": rpc: "http://127.0.0.1:26657" is given twice`},
		},
		{"no prefix", replace(`bech32_prefix = "osmo"`, ""), []string{`chain "osmosis-1": bech32_prefix: missing`}},
		{"odd prefix", replace(`"osmo"`, `"Osmo"`), []string{`chain "osmosis-1": bech32_prefix: "Osmo"`}},
		{"no gas price", replace(`gas_price = "0.025uosmo"`, ""), []string{`chain "osmosis-1": gas_price: missing`}},
		{"gas price without denom", replace(`"0.025uosmo"`, `"0.025"`), []string{`chain "osmosis-1": gas_price`}},
		{"negative gas price", replace(`"0.025uosmo"`, `"-0.025uosmo"`), []string{`chain "osmosis-1": gas_price`}},
		{"small gas adjustment", replace("1.3", "0.9"), []string{`chain "osmosis-1": gas_adjustment: 0.9`}},
		{"no number", replace("1.3", "nan"), []string{`chain "osmosis-1": gas_adjustment: NaN`}},
		{"no key", replace(`key = "watcher"`, ""), []string{`chain "osmosis-1": key: missing`}},
		{"negative start", replace("1200300", "-1"), []string{`chain "osmosis-1": start_height: -1`}},
		{"negative backfill", replace("5000", "-1"), []string{`chain "axelar-1": max_backfill: -1`}},
		{
			"several faults at once",
			func(s string) string {
				return replace("follow_only = true", "")(replace(`state_file = "state.json"`, "")(s))
			},
			[]string{
				"state_file: missing", `chain "axelar-1": bech32_prefix: missing`, `chain "axelar-1": gas_price: missing`,
				`chain "axelar-1": key: missing`,
			},
		},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := load(t, "w.toml", tc.malleate(goodTOML))
			require.ErrorIs(t, err, watchtower.ErrConfig)
			for _, exp := range tc.expErrs {
				require.ErrorContains(t, err, exp)
			}
		})
	}
}

func TestLoadConfigRefusesYAML(t *testing.T) {
	testCases := []struct{ name, from, to, expErr string }{
		{"unknown key", "    key: watcher", "    kee: watcher", "line 15: field kee not found"},
		{"key twice", "metrics: 127.0.0.1:9464", "metrics: a:1\nmetrics: b:2", "already"},
		{"second document", "retention: 720h", "retention: 720h\n---\na: b", "more than one document"},
		{"empty", goodYAML, "", "state_file: missing"},
		{"wrong type", "start_height: 1200300", "start_height: [1]", "line 16"},
	}
	for _, tc := range testCases {
		t.Run(tc.name, func(t *testing.T) {
			content := strings.Replace(goodYAML, tc.from, tc.to, 1)
			require.NotEqual(t, goodYAML, content)
			if tc.name == "second document" {
				content = goodYAML + "---\na: b\n"
			}
			_, _, err := load(t, "w.yaml", content)
			require.ErrorIs(t, err, watchtower.ErrConfig)
			require.ErrorContains(t, err, tc.expErr)
		})
	}
}

func TestLoadConfigFiles(t *testing.T) {
	_, err := watchtower.LoadConfig(filepath.Join(t.TempDir(), "none.toml"))
	require.ErrorIs(t, err, watchtower.ErrConfig)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = load(t, "w.json", "{}")
	require.ErrorContains(t, err, "must end in .toml, .yaml or .yml")
}

// Nothing is submitted anywhere: no keyring is needed.
func TestLoadConfigFollowOnly(t *testing.T) {
	cfg, _, err := load(t, "w.toml", "state_file = \"/s\"\n[[chains]]\nchain_id = \"a-1\"\nrpc = [\"http://h:1\"]\nfollow_only = true\n")
	require.NoError(t, err)
	require.Equal(t, watchtower.Duration(watchtower.DefaultPollInterval), cfg.PollInterval)
	require.Equal(t, "/s", cfg.StateFile)
}

func TestNewLogger(t *testing.T) {
	var out strings.Builder
	log, err := watchtower.NewLogger(&out, "json", "warn")
	require.NoError(t, err)
	log.Info("hidden")
	log.Warn("seen", "chain", "axelar-1")
	require.Contains(t, out.String(), `"msg":"seen","chain":"axelar-1"`)
	require.NotContains(t, out.String(), "hidden")
	_, err = watchtower.NewLogger(&out, "plain", "info")
	require.ErrorContains(t, err, `"plain" is not text or json`)
	_, err = watchtower.NewLogger(&out, "text", "loud")
	require.ErrorContains(t, err, `"loud" is not debug`)
}
