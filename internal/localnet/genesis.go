package localnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cosmossdk.io/math"

	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

// operatorFunds is what a validator's operator and the relayer hold to pay for
// proposals, deposits and fees.
var operatorFunds = math.NewInt(10_000_000_000)

// govDeposit is the deposit of a proposal.
var govDeposit = math.NewInt(1_000_000)

// genesisDoc is a genesis file as nested maps; numbers keep their spelling.
type genesisDoc map[string]any

func readGenesis(path string) (genesisDoc, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	doc := genesisDoc{}
	return doc, dec.Decode(&doc)
}

func (d genesisDoc) write(path string) error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

// set changes the value at a dotted path. The value must be there: a path that
// is not is a misspelling, or a module the chain has not got.
func (d genesisDoc) set(path string, value any) error {
	keys := strings.Split(path, ".")
	at := map[string]any(d)
	for i, key := range keys[:len(keys)-1] {
		next, ok := at[key].(map[string]any)
		if !ok {
			return fmt.Errorf("%w: genesis has no %s", ErrBadGenesis, strings.Join(keys[:i+1], "."))
		}
		at = next
	}
	last := keys[len(keys)-1]
	if _, ok := at[last]; !ok {
		return fmt.Errorf("%w: genesis has no %s", ErrBadGenesis, path)
	}
	at[last] = value
	return nil
}

// get returns the value at a dotted path, if it is there.
func (d genesisDoc) get(path string) (any, bool) {
	at := any(map[string]any(d))
	for _, key := range strings.Split(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			return nil, false
		}
		if at, ok = m[key]; !ok {
			return nil, false
		}
	}
	return at, true
}

func seconds(d Duration) string {
	return strconv.FormatFloat(time.Duration(d).Seconds(), 'f', -1, 64) + "s"
}

// parameters are the values of genesis.json that a chain's spec decides, by
// path. Those of modules come first and the file's own overrides last.
func (c *ChainSpec) parameters() map[string]any {
	coins := func(amount math.Int) []any {
		return []any{map[string]any{"denom": c.Denom, "amount": amount.String()}}
	}
	evidenceBlocks := max(1, int64(c.UnbondingTime/c.BlockTime))
	return map[string]any{
		"app_state.staking.params.bond_denom":          c.Denom,
		"app_state.staking.params.unbonding_time":      seconds(c.UnbondingTime),
		"app_state.mint.params.mint_denom":             c.Denom,
		"app_state.gov.params.min_deposit":             coins(govDeposit),
		"app_state.gov.params.expedited_min_deposit":   coins(govDeposit.MulRaw(5)),
		"app_state.gov.params.voting_period":           seconds(c.VotingPeriod),
		"app_state.gov.params.expedited_voting_period": seconds(c.VotingPeriod / 2),
		"app_state.gov.params.max_deposit_period":      seconds(max(c.VotingPeriod, Duration(time.Minute))),
		"consensus.params.evidence.max_age_duration":   strconv.FormatInt(int64(c.UnbondingTime), 10),
		"consensus.params.evidence.max_age_num_blocks": strconv.FormatInt(evidenceBlocks, 10),
	}
}

// meshParameters are the values of the mesh modules. A chain without one of
// the modules has no such values; that is no mistake.
func (c *ChainSpec) meshParameters() map[string]any {
	return map[string]any{
		"app_state.meshprovider.params.epoch_duration":       seconds(c.EpochLength),
		"app_state.meshconsumer.params.epoch_duration":       seconds(c.EpochLength),
		"app_state.meshconsumer.params.native_decimals":      *c.Decimals,
		"app_state.meshconsumer.params.freshness_margin":     seconds(c.FreshnessMargin),
		"app_state.meshconsumer.params.max_provider_silence": seconds(c.MaxProviderSilence),
	}
}

// buildGenesis makes a chain's genesis out of the default one: parameters,
// accounts, balances and a signed gentx for every validator.
func buildGenesis(doc genesisDoc, t *Topology, c *ChainSpec, enc *encoding, accounts []AccountState, consensus []cryptotypes.PubKey) error {
	for path, value := range c.parameters() {
		if err := doc.set(path, value); err != nil {
			return err
		}
	}
	for path, value := range c.meshParameters() {
		module, _, _ := strings.Cut(strings.TrimPrefix(path, "app_state."), ".")
		if _, ok := doc.get("app_state." + module); !ok {
			continue
		}
		if err := doc.set(path, value); err != nil {
			return err
		}
	}

	specs := t.accountsOn(c)
	auth, balances := make([]any, len(accounts)), make([]any, len(accounts))
	for i, a := range accounts {
		coins := sdk.NewCoins(sdk.NewCoin(c.Denom, operatorFunds))
		switch {
		case i < c.Validators:
			stake, _ := positive(c.stake(i))
			coins = coins.Add(sdk.NewCoin(c.Denom, stake))
		case i >= c.Validators+t.relayers(): // the relayer's stand between operators and named accounts
			var err error
			if coins, err = c.balance(specs[i-c.Validators-t.relayers()]); err != nil {
				return err
			}
		}
		account, err := enc.codec.MarshalInterfaceJSON(&authtypes.BaseAccount{Address: a.Address, AccountNumber: uint64(i)})
		if err != nil {
			return err
		}
		balance, err := enc.codec.MarshalJSON(&banktypes.Balance{Address: a.Address, Coins: coins})
		if err != nil {
			return err
		}
		auth[i], balances[i] = json.RawMessage(account), json.RawMessage(balance)
	}
	gentxs := make([]any, len(consensus))
	for i, key := range consensus {
		tx, err := gentx(c, enc, i, accounts[i], key)
		if err != nil {
			return fmt.Errorf("gentx of %s: %w", ValidatorAccount(i), err)
		}
		gentxs[i] = json.RawMessage(tx)
	}
	err := errors.Join(
		doc.set("app_state.auth.accounts", auth),
		doc.set("app_state.bank.balances", balances),
		doc.set("app_state.genutil.gen_txs", gentxs),
	)
	if err != nil {
		return err
	}

	for _, path := range slices.Sorted(maps.Keys(c.Genesis)) {
		if err := doc.set(path, jsonValue(c.Genesis[path])); err != nil {
			return err
		}
	}
	return nil
}

// jsonValue turns what YAML calls a value into what proto JSON expects: whole
// numbers of 64 bits are strings there, and strings are accepted for smaller.
func jsonValue(v any) any {
	switch v := v.(type) {
	case int:
		return strconv.Itoa(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = jsonValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = jsonValue(v[k])
		}
		return out
	default:
		return v
	}
}

// gentx is a validator's signed transaction in the genesis file.
func gentx(c *ChainSpec, enc *encoding, i int, account AccountState, consensus cryptotypes.PubKey) ([]byte, error) {
	operator, err := enc.operatorOf(account.Address)
	if err != nil {
		return nil, err
	}
	stake, _ := positive(c.stake(i))
	msg, err := stakingtypes.NewMsgCreateValidator(
		operator, consensus, sdk.NewCoin(c.Denom, stake),
		stakingtypes.NewDescription(moniker(i), "", "", "", ""),
		stakingtypes.NewCommissionRates(math.LegacyNewDecWithPrec(10, 2), math.LegacyNewDecWithPrec(50, 2), math.LegacyNewDecWithPrec(5, 2)),
		math.OneInt(),
	)
	if err != nil {
		return nil, err
	}
	key, err := privKey(account.Mnemonic)
	if err != nil {
		return nil, err
	}
	tx, err := enc.sign(signRequest{key: key, chainID: c.ID, msgs: []sdk.Msg{msg}, gas: 200_000})
	if err != nil {
		return nil, err
	}
	return enc.tx.TxJSONEncoder()(tx)
}
