package localnet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	serverconfig "github.com/cosmos/cosmos-sdk/server/config"

	cmtcfg "github.com/cometbft/cometbft/config"
)

func TestApplyTOML(t *testing.T) {
	const text = "# about = \"x\"\nabout = \"old\" # why\n\n[rpc]\nladdr = \"a\"\n\n[p2p]\nladdr = \"b\"\npex = true\n"
	got, err := applyTOML(text, []setting{{"", "about", "new"}, {"p2p", "laddr", "c"}, {"p2p", "pex", false}})
	require.NoError(t, err)
	require.Equal(t, "# about = \"x\"\nabout = \"new\"\n\n[rpc]\nladdr = \"a\"\n\n[p2p]\nladdr = \"c\"\npex = false\n", got)

	_, err = applyTOML(text, []setting{{"rpc", "pex", true}})
	require.ErrorContains(t, err, `no key "pex" in section [rpc]`)
	_, err = applyTOML(text, []setting{{"p2p", "pex", 1.5}})
	require.ErrorContains(t, err, "cannot write a float64")
}

// Every setting must be a key that the node of this version reads.
func TestNodeSettings(t *testing.T) {
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	c := &topo.Chains[0]
	dir := t.TempDir()
	ports := Ports{RPC: 1111, P2P: 2222, GRPC: 3333, API: 4444}

	comet := filepath.Join(dir, "config.toml")
	cmtcfg.WriteConfigFile(comet, cmtcfg.DefaultConfig())
	require.NoError(t, editTOML(comet, cometSettings(c, ports, []string{"id@127.0.0.1:1"})))
	text := readText(t, comet)
	for _, line := range []string{
		`laddr = "tcp://127.0.0.1:1111"`, `laddr = "tcp://127.0.0.1:2222"`, `pprof_laddr = ""`,
		`persistent_peers = "id@127.0.0.1:1"`, `timeout_commit = "1s"`, "allow_duplicate_ip = true",
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}

	app := filepath.Join(dir, "app.toml")
	serverconfig.SetConfigTemplate(serverconfig.DefaultConfigTemplate)
	serverconfig.WriteConfigFile(app, serverconfig.DefaultConfig())
	require.NoError(t, editTOML(app, appSettings(c, ports)))
	text = readText(t, app)
	for _, line := range []string{
		`minimum-gas-prices = "0.001uone"`, `address = "127.0.0.1:3333"`, `address = "tcp://127.0.0.1:4444"`,
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
}

// A node with a namespace of its own listens at its own address; snapshots are made where they are asked for.
func TestNodeSettingsOfAnotherHost(t *testing.T) {
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	c := &topo.Chains[0]
	c.SnapshotInterval = 12
	ports := Ports{RPC: 1111, P2P: 2222, GRPC: 3333, API: 4444, Host: "198.18.0.10"}
	dir := t.TempDir()

	comet := filepath.Join(dir, "config.toml")
	cmtcfg.WriteConfigFile(comet, cmtcfg.DefaultConfig())
	require.NoError(t, editTOML(comet, cometSettings(c, ports, nil)))
	app := filepath.Join(dir, "app.toml")
	serverconfig.SetConfigTemplate(serverconfig.DefaultConfigTemplate)
	serverconfig.WriteConfigFile(app, serverconfig.DefaultConfig())
	require.NoError(t, editTOML(app, appSettings(c, ports)))
	text := readText(t, comet) + readText(t, app)
	for _, line := range []string{
		`laddr = "tcp://198.18.0.10:1111"`, `laddr = "tcp://198.18.0.10:2222"`, `address = "198.18.0.10:3333"`,
		`address = "tcp://198.18.0.10:4444"`, "snapshot-interval = 12", "snapshot-keep-recent = 4",
	} {
		require.Contains(t, text, "\n"+line+"\n")
	}
	require.Equal(t, "http://198.18.0.10:1111", ports.http())
	require.Equal(t, "http://198.18.0.10:4444", ports.api())
}

func readText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func TestRelayerConfig(t *testing.T) {
	one := &Chain{ID: "one", Prefix: "one", Denom: "uone", MinGasPrice: math.LegacyMustNewDecFromStr("0.25")}
	one.Nodes = []*Node{{Chain: one, Ports: Ports{RPC: 1111}}}
	data, err := yaml.Marshal(relayerConfig(setupAccount(1), []*Chain{one}, []link{{"one", "two"}}))
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, yaml.Unmarshal(data, &got))
	value := got["chains"].(map[string]any)["one"].(map[string]any)["value"].(map[string]any)
	require.Equal(t, "relayer1", value["key"])
	require.Equal(t, "one", value["chain-id"])
	require.Equal(t, "http://127.0.0.1:1111", value["rpc-addr"])
	require.Equal(t, "one", value["account-prefix"])
	require.Equal(t, "0.250000000000000000uone", value["gas-prices"])
	path := got["paths"].(map[string]any)["one--two"].(map[string]any)
	require.Equal(t, map[string]any{"chain-id": "one"}, path["src"])
	require.Equal(t, map[string]any{"chain-id": "two"}, path["dst"])

	require.Equal(t, map[string]rlyPath{"one--two": {
		Src: rlyPathEnd{ChainID: "one", ClientID: "client-a", ConnectionID: "connection-a"},
		Dst: rlyPathEnd{ChainID: "two", ClientID: "client-b", ConnectionID: "connection-b"},
	}}, paths([]LinkState{{
		Path: "one--two", A: "one", B: "two", AClient: "client-a", BClient: "client-b", AConnection: "connection-a", BConnection: "connection-b",
	}}))

	require.Equal(t,
		[]string{"start", "one--two", "--flush-interval", "20s", "--time-threshold", "12s", "--block-history", "50"},
		startArgs([]LinkState{{Path: "one--two"}}, DefaultFlushInterval, Duration(12*time.Second)))

	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)
	require.Equal(t, Duration(12*time.Second), topo.clientRefresh(), "a sixth of 80 % of 90s")
}

const genesisText = `{
  "app_state": {
    "auth": {"accounts": []}, "bank": {"balances": []}, "genutil": {"gen_txs": []},
    "staking": {"params": {"bond_denom": "", "unbonding_time": ""}},
    "mint": {"params": {"mint_denom": ""}},
    "slashing": {"params": {"signed_blocks_window": "100"}},
    "meshprovider": {"params": {"epoch_duration": "1h"}},
    "gov": {"params": {"min_deposit": [], "expedited_min_deposit": [], "voting_period": "",
      "expedited_voting_period": "", "max_deposit_period": ""}}
  },
  "consensus": {"params": {"evidence": {"max_age_duration": "", "max_age_num_blocks": ""}}}
}`

func TestBuildGenesis(t *testing.T) {
	build := func(genesis string) (genesisDoc, error) {
		topo, err := ParseTopology([]byte(`
accounts: [{name: alice, amount: "1000"}]
chains: [{id: one, prefix: one, denom: uone, validators: 2, epoch_length: 1500ms, genesis: {` + genesis + `}}]
`))
		require.NoError(t, err)
		c := &topo.Chains[0]
		enc, err := newEncoding(c.Prefix)
		require.NoError(t, err)
		accounts, err := chainAccounts(topo, c, enc)
		require.NoError(t, err)
		require.Len(t, accounts, 4)
		keys := []cryptotypes.PubKey{ed25519.GenPrivKey().PubKey(), ed25519.GenPrivKey().PubKey()}
		path := filepath.Join(t.TempDir(), "genesis.json")
		require.NoError(t, os.WriteFile(path, []byte(genesisText), 0o600))
		doc, err := readGenesis(path)
		require.NoError(t, err)
		if err := buildGenesis(doc, topo, c, enc, accounts, keys); err != nil {
			return nil, err
		}
		require.NoError(t, doc.write(path))
		return readGenesis(path)
	}

	doc, err := build(`app_state.slashing.params.signed_blocks_window: 20`)
	require.NoError(t, err)
	get := func(path string) any {
		t.Helper()
		v, ok := doc.get(path)
		require.True(t, ok, path)
		return v
	}
	require.Equal(t, "uone", get("app_state.staking.params.bond_denom"))
	require.Equal(t, "120s", get("app_state.staking.params.unbonding_time"))
	require.Equal(t, "10s", get("app_state.gov.params.voting_period"))
	require.Equal(t, "5s", get("app_state.gov.params.expedited_voting_period"))
	require.Equal(t, "1.5s", get("app_state.meshprovider.params.epoch_duration"))
	require.Equal(t, "120000000000", get("consensus.params.evidence.max_age_duration"))
	require.Equal(t, "20", get("app_state.slashing.params.signed_blocks_window"))
	require.Len(t, get("app_state.genutil.gen_txs"), 2)
	balances := get("app_state.bank.balances").([]any)
	require.Len(t, balances, 4)
	alice := balances[3].(map[string]any)["coins"].([]any)[0].(map[string]any)
	require.Equal(t, map[string]any{"denom": "uone", "amount": "1000"}, alice)

	_, err = build("app_state.slashing.params.signed_blocks: 20")
	require.ErrorIs(t, err, ErrBadGenesis)
	require.ErrorContains(t, err, "genesis has no app_state.slashing.params.signed_blocks")
	_, err = build("app_state.nothing.params: 20")
	require.ErrorIs(t, err, ErrBadGenesis)
}

func TestSetKeepsNumbers(t *testing.T) {
	var raw json.RawMessage = []byte(`12345678901234567890`)
	doc := genesisDoc{"a": map[string]any{"b": json.Number("1")}}
	require.NoError(t, doc.set("a.b", raw))
	require.ErrorIs(t, doc.set("a.c", 1), ErrBadGenesis)
	require.ErrorIs(t, doc.set("a.b.c", 1), ErrBadGenesis)
}

func TestKeysAreStable(t *testing.T) {
	// Written down so that nobody changes the derivation unknowingly: addresses
	// in documentation depend on it.
	enc, err := newEncoding("osmo")
	require.NoError(t, err)
	mnemonic, err := derivedMnemonic("alice")
	require.NoError(t, err)
	key, err := privKey(mnemonic)
	require.NoError(t, err)
	address, err := enc.accounts.BytesToString(key.PubKey().Address())
	require.NoError(t, err)
	require.Equal(t, "osmo17zyhtdk0a8u2vck6vnnfy45p0kxtn6fwx73n7g", address)
	operator, err := enc.operatorOf(address)
	require.NoError(t, err)
	require.Regexp(t, "^osmovaloper1", operator)
}
