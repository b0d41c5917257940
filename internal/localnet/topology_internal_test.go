package localnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const goodTopology = `
name: pair
accounts:
  - {name: alice, amount: "1000"}
chains:
  - {id: one, prefix: one, denom: uone, validators: 1}
  - {id: two, prefix: two, denom: utwo, validators: 2, unbonding_time: 90s, epoch_length: 5s}
pairings:
  - {provider: one, consumer: two}
`

func TestParseTopologyDefaults(t *testing.T) {
	topo, err := ParseTopology([]byte(goodTopology))
	require.NoError(t, err)

	one, two := topo.Chains[0], topo.Chains[1]
	require.Equal(t, DefaultUnbondingTime, one.UnbondingTime)
	require.Equal(t, DefaultBlockTime, one.BlockTime)
	require.Equal(t, uint32(DefaultDecimals), *one.Decimals)
	require.Equal(t, DefaultStake, one.stake(0))
	require.Equal(t, Duration(90*time.Second), two.UnbondingTime)
	require.Equal(t, Duration(10*time.Second), two.FreshnessMargin)
	require.Equal(t, Duration(time.Minute), two.MaxProviderSilence)
	require.Equal(t, two.UnbondingTime, topo.Pairings[0].UnbondingPeriod, "the consumer's own unbonding time")
	require.Equal(t, "1", topo.Pairings[0].Price)
	require.Equal(t, []link{{"one", "two"}}, topo.links())
}

func TestDemoTopology(t *testing.T) {
	topo, err := LoadTopology("../../cmd/meshnet/topologies/demo.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{"osmosis-local", "axelar-local", "juno-local"}, topo.chainIDs())
	require.Len(t, topo.Pairings, 4)
	require.Len(t, topo.links(), 3, "both directions share clients and connection, prices and transfers too")
	for _, p := range topo.Pairings {
		require.True(t, topo.transfers(p.Provider, p.Consumer), "%s: rewards come home", p.Name())
	}
}

func TestPriceFeedDefaults(t *testing.T) {
	topo, err := ParseTopology([]byte(strings.Replace(goodTopology, "{provider: one, consumer: two}",
		"{provider: one, consumer: two, price_feed: feeders, feeders: [alice], reward_denoms: [{denom: utwo}]}\ntransfers: [{from: two, to: one}]", 1)))
	require.NoError(t, err)
	p := topo.Pairings[0]
	require.Equal(t, uint32(1), p.MinFeeders)
	require.Equal(t, "0.1", p.MaxDeviation)
	require.Equal(t, "0", p.RewardDenoms[0].MinTransfer)
	require.Len(t, topo.links(), 1)

	topo, err = ParseTopology([]byte(goodTopology + `
  - {provider: two, consumer: one, price_feed: proof, price_source: {chain: three, account: alice, denom: uprice, exponent: -6}}
`))
	require.ErrorIs(t, err, ErrUnknownChain)
	require.Nil(t, topo)

	topo, err = ParseTopology([]byte(`
accounts: [{name: alice, amount: "1000"}]
chains:
  - {id: one, prefix: one, denom: uone, validators: 1}
  - {id: two, prefix: two, denom: utwo, validators: 1}
  - {id: three, prefix: three, denom: uthree, validators: 1}
pairings:
  - {provider: one, consumer: two, price_feed: proof, price_source: {chain: three, account: alice, denom: uprice, exponent: -6}}
`))
	require.NoError(t, err)
	require.Equal(t, []link{{"one", "two"}, {"two", "three"}}, topo.links(), "the source's light client")
	require.Equal(t, 2, topo.relayers())
}

func TestSlashPolicy(t *testing.T) {
	downtime := math.LegacyMustNewDecFromStr("0.01")
	policy, err := (&PairingSpec{}).slashPolicy(downtime)
	require.NoError(t, err)
	require.Equal(t, providertypes.DefaultSlashPolicy(downtime), policy)

	given := &PairingSpec{
		UnprovenLimit: "0.2", UnprovenWindow: Duration(time.Minute), UnprovenDelay: Duration(time.Second), MassDelay: Duration(2 * time.Second),
	}
	policy, err = given.slashPolicy(downtime)
	require.NoError(t, err)
	require.Equal(t, providertypes.SlashPolicy{
		UnprovenLimit: math.LegacyMustNewDecFromStr("0.2"), UnprovenWindow: time.Minute, UnprovenDelay: time.Second, MassDelay: 2 * time.Second,
	}, policy)
}

// A chain in one line, with one thing about it changed or added.
func chainWith(extra string) string {
	return "chains:\n  - {id: one, prefix: one, denom: uone, validators: 1" + extra + "}\n"
}

func TestParseTopologyBadInput(t *testing.T) {
	two := chainWith("") + "  - {id: two, prefix: two, denom: utwo, validators: 1}\n"
	const mnemonic = "four words are few"
	tests := []struct {
		name   string
		yaml   string
		expErr error
		expMsg string
	}{
		{"empty file", "", ErrNoChains, "the file is empty"},
		{"no chains", "name: x\n", ErrNoChains, "list at least one chain"},
		{"not YAML", "chains: [", ErrSyntax, "yaml"},
		{"two documents", two + "---\nname: x\n", ErrSyntax, "more than one YAML document"},
		{"unknown key at the top", two + "chain: 1\n", ErrUnknownKey, `line 4: unknown key "chain" in topology`},
		{"unknown key of a chain", chainWith(", validator: 3"), ErrUnknownKey, `unknown key "validator" in chain`},
		{"unknown key of a pairing", two + "pairings: [{provider: one, consumer: two, prize: 1}]", ErrUnknownKey, `unknown key "prize" in pairing`},
		{"key given twice", chainWith(", denom: x"), ErrDuplicateKey, `duplicate key "denom"`},
		{"wrong type", "chains:\n  - {id: one, prefix: one, denom: uone, validators: three}", ErrSyntax, `found "three", want a whole number`},
		{"list instead of a value", chainWith(", stake: [1]"), ErrSyntax, "found a list, want a single value"},

		{"duplicate id", two + "  - {id: one, prefix: x, denom: ux1, validators: 1}", ErrDuplicateChain, `"one" is used twice`},
		{"missing id", "chains: [{prefix: one, denom: uone, validators: 1}]", ErrBadChainID, "chains[0].id"},
		{"id that leads out of the directory", "chains: [{id: ../one, prefix: one, denom: uone, validators: 1}]", ErrBadChainID, "../one"},
		{"bad prefix", "chains: [{id: one, prefix: One, denom: uone, validators: 1}]", ErrBadPrefix, `"One"`},
		{"missing prefix", "chains: [{id: one, denom: uone, validators: 1}]", ErrBadPrefix, "chain one.prefix"},
		{"bad denom", "chains: [{id: one, prefix: one, denom: 1u, validators: 1}]", ErrBadDenom, `"1u"`},
		{"missing validators", "chains: [{id: one, prefix: one, denom: uone}]", ErrNoValidators, "chain one.validators"},
		{"no validators", "chains: [{id: one, prefix: one, denom: uone, validators: 0}]", ErrNoValidators, "at least one"},
		{"negative validators", "chains: [{id: one, prefix: one, denom: uone, validators: -1}]", ErrBadValidators, "-1"},
		{"too many validators", "chains: [{id: one, prefix: one, denom: uone, validators: 1000}]", ErrBadValidators, "1000"},
		{"stakes for other validators", chainWith(", stakes: ['1000000', '2000000']"), ErrBadValidators, "2 stakes for 1 validators"},
		{"stake without power", chainWith(", stake: '999999'"), ErrBadAmount, "one unit of voting power"},
		{"stake that is no number", chainWith(", stake: lots"), ErrBadAmount, `"lots"`},

		{"duration without a unit", chainWith(", unbonding_time: 120"), ErrBadDuration, `line 2: bad duration "120"`},
		{"duration that is none", chainWith(", block_time: soon"), ErrBadDuration, `"soon"`},
		{"negative duration", chainWith(", voting_period: -5s"), ErrBadDuration, "chain one.voting_period"},
		{"duration too short", chainWith(", block_time: 1ms"), ErrBadDuration, "1ms is shorter than 100ms"},
		{"epoch too long", chainWith(", epoch_length: 31s"), ErrBadDuration, "31s is more than 1/4 of the unbonding time, 2m0s"},
		{"margin longer than unbonding", chainWith(", freshness_margin: 3m"), ErrBadDuration, "freshness_margin"},
		{"silence too long", chainWith(", max_provider_silence: 100s"), ErrBadDuration, "max_provider_silence"},
		{"gas price with a denom", chainWith(", min_gas_price: 1uone"), ErrBadAmount, "min_gas_price"},
		{"negative snapshot interval", chainWith(", snapshot_interval: -1"), ErrBadAmount, "snapshot_interval"},
		{"too many decimals", chainWith(", decimals: 31"), ErrBadAmount, "31 is more than 30"},

		{"bad account name", two + "accounts: [{name: Alice, amount: '1'}]", ErrBadAccount, `"Alice"`},
		{"reserved account name", two + "accounts: [{name: validator0, amount: '1'}]", ErrBadAccount, "reserved"},
		{"another account of the relayer's", two + "accounts: [{name: relayer2, amount: '1'}]", ErrBadAccount, "reserved"},
		{"duplicate account", chainWith(", accounts: [{name: a, amount: '1'}, {name: a, amount: '1'}]"), ErrDuplicateAccount, `"a" is used twice`},
		{"account without money", two + "accounts: [{name: alice}]", ErrBadAmount, "has none"},
		{"account with bad amount", two + "accounts: [{name: alice, amount: '-1'}]", ErrBadAmount, `"-1"`},
		{"account with bad coins", two + "accounts: [{name: alice, coins: '1 2'}]", ErrBadAmount, `"1 2"`},
		{"account with bad mnemonic", two + "accounts: [{name: alice, amount: '1', mnemonic: " + mnemonic + "}]", ErrBadAccount, "BIP-39"},

		{"watchtower without an account", two + "watchtower: {account: alice}", ErrBadAccount, "watchtower.account"},

		{"unknown consumer", two + "pairings: [{provider: one, consumer: three}]", ErrUnknownChain, `pairings[0].consumer: unknown chain: "three" is not among the chains (one, two)`},
		{"unknown provider", two + "pairings: [{provider: zero, consumer: one}]", ErrUnknownChain, "pairings[0].provider"},
		{"missing provider", two + "pairings: [{consumer: one}]", ErrUnknownChain, "pairings[0].provider"},
		{"paired with itself", two + "pairings: [{provider: one, consumer: one}]", ErrSelfPairing, "one is both"},
		{"pairing twice", two + "pairings: [{provider: one, consumer: two}, {provider: one, consumer: two}]", ErrDuplicatePairing, "one→two is listed twice"},
		{"price zero", two + "pairings: [{provider: one, consumer: two, price: '0'}]", ErrBadRatio, "price"},
		{"discount one", two + "pairings: [{provider: one, consumer: two, discount: '1'}]", ErrBadRatio, "discount"},
		{"power ratio above one", two + "pairings: [{provider: one, consumer: two, max_power_ratio: '1.5'}]", ErrBadRatio, "max_power_ratio"},
		{"no double-sign slash", two + "pairings: [{provider: one, consumer: two, double_sign_slash: '0'}]", ErrBadRatio, "double_sign_slash"},
		{"power ratios beyond a third", two + "pairings: [{provider: one, consumer: two, max_power_ratio: '0.34'}]", ErrBadRatio, "providers of two add up to 0.34"},
		{"ratio that is no number", two + "pairings: [{provider: one, consumer: two, reward_ratio: all}]", ErrBadRatio, `"all"`},
		{"negative cap", two + "pairings: [{provider: one, consumer: two, max_cap: '-1'}]", ErrBadAmount, "max_cap"},
		{"unproven slashes below downtime", two + "pairings: [{provider: one, consumer: two, unproven_limit: '0.009'}]", ErrBadRatio, "from downtime_slash, 0.01, to 1"},
		{"unproven slashes above all", two + "pairings: [{provider: one, consumer: two, unproven_limit: '1.1'}]", ErrBadRatio, "unproven_limit"},
		{"unproven slashes without a number", two + "pairings: [{provider: one, consumer: two, unproven_limit: some}]", ErrBadRatio, `"some"`},
		{"window too short", two + "pairings: [{provider: one, consumer: two, unproven_window: 10ms}]", ErrBadDuration, "unproven_window"},
		{"veto too long", two + "pairings: [{provider: one, consumer: two, unproven_delay: 41s}]", ErrBadDuration, "third of unbonding_period, 40s"},
		{"mass veto too long", two + "pairings: [{provider: one, consumer: two, mass_delay: 41s}]", ErrBadDuration, "mass_delay"},
		{"bad unbonding period", two + "pairings: [{provider: one, consumer: two, unbonding_period: 1s}]", ErrBadDuration, "unbonding_period"},
		{"rewards without a channel", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: utwo}]}]", ErrUnknownChain, "no channel between two and one"},
		{"reward denom that is none", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: 2}]}]", ErrBadDenom, `reward_denoms[0].denom: bad denom: "2"`},
		{"reward denom of elsewhere", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: ibc/AB}]}]", ErrBadDenom, "two's own"},
		{"reward denom twice", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: utwo}, {denom: utwo}]}]", ErrBadDenom, "reward_denoms[1]"},
		{"too many reward denoms", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: aaa}, {denom: bbb}, {denom: ccc}, {denom: ddd}, {denom: eee}]}]", ErrBadDenom, "5, at most 4"},
		{"minimum that is no number", two + "pairings: [{provider: one, consumer: two, reward_denoms: [{denom: utwo, min_transfer: '-1'}]}]", ErrBadAmount, "min_transfer"},
		{"unknown feed", two + "pairings: [{provider: one, consumer: two, price_feed: oracle}]", ErrBadFeed, "governance, feeders or proof"},
		{"feeders of another feed", two + "pairings: [{provider: one, consumer: two, feeders: [alice]}]", ErrBadFeed, "price_feed is governance"},
		{"feeder without an account", two + "pairings: [{provider: one, consumer: two, price_feed: feeders, feeders: [zoe]}]", ErrBadAccount, `"zoe"`},
		{"no feeders", two + "pairings: [{provider: one, consumer: two, price_feed: feeders}]", ErrBadFeed, "min_feeders"},
		{"too few feeders", two + "accounts: [{name: a, amount: '1'}]\npairings: [{provider: one, consumer: two, price_feed: feeders, feeders: [a], min_feeders: 2}]", ErrBadFeed, "the number of feeders, 1"},
		{"deviation zero", two + "accounts: [{name: a, amount: '1'}]\npairings: [{provider: one, consumer: two, price_feed: feeders, feeders: [a], max_deviation: '0'}]", ErrBadRatio, "max_deviation"},
		{"negative window", two + "pairings: [{provider: one, consumer: two, price_window: -1s}]", ErrBadDuration, "price_window"},
		{"proof without a source", two + "pairings: [{provider: one, consumer: two, price_feed: proof}]", ErrBadFeed, "price_source"},
		{"source without proofs", two + "pairings: [{provider: one, consumer: two, price_source: {chain: one}}]", ErrBadFeed, "price_source"},
		{"source on the consumer itself", two + "pairings: [{provider: one, consumer: two, price_feed: proof, price_source: {chain: two}}]", ErrUnknownChain, "price_source.chain"},
		{"source without an account", two + "pairings: [{provider: one, consumer: two, price_feed: proof, price_source: {chain: one, account: zoe, denom: uprice}}]", ErrBadAccount, `one has no account "zoe"`},
		{"source without a denom", two + "pairings: [{provider: one, consumer: two, price_feed: proof, price_source: {chain: one, account: zoe}}]", ErrBadDenom, "price_source.denom"},
		{"source out of scale", two + "pairings: [{provider: one, consumer: two, price_feed: proof, price_source: {chain: one, account: zoe, denom: uprice, exponent: 37}}]", ErrBadAmount, "37"},
		{"transfer to an unknown chain", two + "transfers: [{from: one, to: three}]", ErrUnknownChain, "transfers[0].to"},
		{"transfer to itself", two + "transfers: [{from: one, to: one}]", ErrSelfPairing, "transfers[0]"},
		{"transfer twice", two + "transfers: [{from: one, to: two}, {from: two, to: one}]", ErrDuplicatePairing, "transfers[1]"},

		{"port out of range", chainWith(", ports: {rpc: 80}"), ErrBadPort, "80"},
		{"port used twice", chainWith(", ports: {rpc: 26657, grpc: 26657}"), ErrPortTaken, "26657 is also chain one ports.rpc"},
		{"bad base port", two + "base_port: 99999", ErrBadPort, "base_port"},
		{"bad genesis path", chainWith(", genesis: {app_state..x: 1}"), ErrBadGenesis, "dotted path"},
		{"bad trusting period", two + "relayer: {trusting_percent: 100}", ErrBadRatio, "trusting_percent"},
		{"bad flush interval", two + "relayer: {flush_interval: 1ms}", ErrBadDuration, "flush_interval"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseTopology([]byte(tc.yaml))
			require.ErrorIs(t, err, tc.expErr)
			require.ErrorContains(t, err, tc.expMsg)
		})
	}
}

func TestValidateReportsEverything(t *testing.T) {
	_, err := ParseTopology([]byte("chains: [{id: one, prefix: ONE, denom: uone}]\npairings: [{provider: one, consumer: two}]"))
	require.ErrorIs(t, err, ErrBadPrefix)
	require.ErrorIs(t, err, ErrNoValidators)
	require.ErrorIs(t, err, ErrUnknownChain)
	require.Len(t, strings.Split(err.Error(), "\n"), 3)
}

func TestLoadTopologyNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.yaml")
	_, err := LoadTopology(path)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(path, []byte("x: 1"), 0o600))
	_, err = LoadTopology(path)
	require.ErrorIs(t, err, ErrUnknownKey)
	require.ErrorContains(t, err, path)
}

func TestAccountsOn(t *testing.T) {
	topo, err := ParseTopology([]byte(`
accounts: [{name: alice, amount: "1"}, {name: bob, amount: "1"}]
chains:
  - {id: one, prefix: one, denom: uone, validators: 1, accounts: [{name: bob, amount: "5", coins: 7uusd}]}
`))
	require.NoError(t, err)
	c := &topo.Chains[0]
	accounts := topo.accountsOn(c)
	require.Len(t, accounts, 2, "the chain's own bob replaces the other")
	coins, err := c.balance(accounts[1])
	require.NoError(t, err)
	require.Equal(t, "5uone,7uusd", coins.String())
}
