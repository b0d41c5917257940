package system_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"

	"github.com/mesh-security/mesh/app"
	"github.com/mesh-security/mesh/internal/hostile"
	"github.com/mesh-security/mesh/internal/localnet"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// upgradeTopology: the first chain begins without Mesh Security.
const upgradeTopology = `
name: upgrade
accounts:
  - {name: alice, amount: "1000000000"}
chains:
  - {id: stock-1, prefix: cosmos, denom: ustock, validators: 2, stakes: ["60000000", "50000000"], unbonding_time: 90s,
     voting_period: 12s, epoch_length: 5s, freshness_margin: 8s, max_provider_silence: 80s, block_time: 800ms}
  - {id: ally-1, prefix: ally, denom: ually, validators: 1, stake: "80000000", unbonding_time: 90s,
     voting_period: 12s, epoch_length: 5s, freshness_margin: 8s, max_provider_silence: 80s, block_time: 800ms}
pairings:
  - {provider: stock-1, consumer: ally-1, price: "1", discount: "0.1", max_power_ratio: "0.3"}
  - {provider: ally-1, consumer: stock-1, price: "1", discount: "0.1", max_power_ratio: "0.3"}
`

// TestUpgrade: a chain of real nodes that runs without our modules, with a delegation, an unbonding and a redelegation in
// flight, stops at an x/upgrade, goes on with meshd in the same homes, is paired in both directions and cross-stakes. Every
// node then says that all invariants hold, its ally claims stake that it has not got, and everybody can leave.
func TestUpgrade(t *testing.T) {
	bin := os.Getenv("MESH_BIN")
	if bin == "" {
		t.Skip("MESH_BIN is not set; run `make test-system`")
	}
	t.Parallel()
	topo, err := localnet.ParseTopology([]byte(upgradeTopology))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	home := filepath.Join(t.TempDir(), "network")
	u := &upgrade{T: t, stock: filepath.Join(bin, "meshd-stock"), hostile: filepath.Join(bin, "meshd-hostile")}
	net, err := localnet.Up(ctx, topo, localnet.Options{
		Home: home, Binaries: map[string]string{"stock-1": u.stock}, Running: u.run, Progress: localnet.PrintProgress(os.Stderr),
	})
	require.NoError(t, err)
	defer func() {
		require.NoError(t, net.Down())
		requireEnded(t, home, "stopped")
	}()

	chains := net.Chains()
	for i, provider := range chains {
		u.crossStake(ctx, net, provider, chains[1-i], "20000000")
	}
	for i, provider := range chains {
		u.virtual(ctx, net, provider, chains[1-i], 18_000_000)
	}
	u.requireSound(ctx, net)

	// What unbonded when the chain was upgraded is paid in its time.
	u.until(ctx, "the unbonding from before the upgrade is paid", func(ctx context.Context) (bool, string, error) {
		res, err := stakingtypes.NewQueryClient(chains[0].Conn()).DelegatorUnbondingDelegations(ctx,
			&stakingtypes.QueryDelegatorUnbondingDelegationsRequest{DelegatorAddr: chains[0].Address("alice")})
		if err != nil {
			return false, "", err
		}
		return len(res.UnbondingResponses) == 0, fmt.Sprintf("%d unbond", len(res.UnbondingResponses)), nil
	})
	u.boast(ctx, net, chains[1], chains[0])
	for i, provider := range chains {
		pairing, err := net.Pairing(provider.ID, chains[1-i].ID)
		require.NoError(t, err)
		_, err = provider.Tx(ctx, "alice", &providertypes.MsgCrossUnstake{
			Delegator: provider.Address("alice"), ConsumerId: pairing.ConsumerID, Validator: chains[1-i].Nodes[0].Operator,
			Amount: provider.Coin(20_000_000),
		})
		require.NoError(t, err)
	}
	for i, provider := range chains {
		u.virtual(ctx, net, provider, chains[1-i], 0)
	}
	u.requireSound(ctx, net)
}

// upgrade is what becomes of the chain that begins without Mesh Security.
type upgrade struct {
	*testing.T

	stock, hostile string
}

// run brings a chain that runs the stock binary to meshd.
func (u *upgrade) run(ctx context.Context, net *localnet.Network) error {
	chain := net.Chain("stock-1")
	staking := stakingtypes.NewQueryClient(chain.Conn())
	alice, coin := chain.Address("alice"), chain.Coin
	// Mesh Security is not there.
	if _, err := chain.Tx(ctx, "alice", &providertypes.MsgCrossStake{
		Delegator: alice, ConsumerId: "07-tendermint-0", Validator: chain.Nodes[0].Operator, Amount: coin(1),
	}); err == nil {
		return fmt.Errorf("%s knows of Mesh Security already", chain.ID)
	}
	if _, err := chain.Tx(ctx, "alice",
		stakingtypes.NewMsgDelegate(alice, chain.Nodes[0].Operator, coin(40_000_000)),
		stakingtypes.NewMsgDelegate(alice, chain.Nodes[1].Operator, coin(9_000_000)),
		stakingtypes.NewMsgUndelegate(alice, chain.Nodes[0].Operator, coin(5_000_000)),
		stakingtypes.NewMsgBeginRedelegate(alice, chain.Nodes[1].Operator, chain.Nodes[0].Operator, coin(2_000_000)),
	); err != nil {
		return err
	}

	height, err := chain.Height(ctx)
	if err != nil {
		return err
	}
	plan := upgradetypes.Plan{Name: app.AddMeshSecurity, Height: height + 40} // beyond the voting period
	proposal := localnet.Proposal{
		Title: "Add Mesh Security", Messages: []sdk.Msg{&upgradetypes.MsgSoftwareUpgrade{Authority: chain.Authority(), Plan: plan}},
	}
	if _, err := chain.PassProposals(ctx, proposal); err != nil {
		return err
	}
	needed := fmt.Sprintf("UPGRADE %q NEEDED at height: %d", plan.Name, plan.Height)
	for _, node := range chain.Nodes { // all of them, or the last will not hear of the block
		err := localnet.WaitFor(ctx, needed, 3*time.Minute, func(context.Context) (bool, string, error) {
			log, err := os.ReadFile(node.Log)
			plain := strings.ReplaceAll(string(log), `\"`, `"`)
			return strings.Contains(plain, needed), node.Moniker + " goes on", err
		})
		if err != nil {
			return err
		}
	}
	for _, node := range chain.Nodes {
		if err := node.Stop(); err != nil {
			return err
		}
	}
	for _, node := range chain.Nodes {
		if err := node.Start(); err != nil {
			return err
		}
	}
	for _, node := range chain.Nodes {
		if err := node.WaitReady(ctx, plan.Height+2, 2*time.Minute); err != nil {
			return err
		}
	}

	versions, err := upgradetypes.NewQueryClient(chain.Conn()).ModuleVersions(ctx, &upgradetypes.QueryModuleVersionsRequest{})
	if err != nil {
		return err
	}
	for _, module := range []string{providertypes.ModuleName, consumertypes.ModuleName} {
		if !slices.ContainsFunc(versions.ModuleVersions, func(v *upgradetypes.ModuleVersion) bool { return v.Name == module && v.Version > 0 }) {
			return fmt.Errorf("%s has no version of %s", chain.ID, module)
		}
	}
	unbonding, err := staking.UnbondingDelegation(ctx, &stakingtypes.QueryUnbondingDelegationRequest{DelegatorAddr: alice, ValidatorAddr: chain.Nodes[0].Operator})
	if err != nil {
		return err
	}
	if got := unbonding.Unbond.Entries[0].Balance; !got.Equal(math.NewInt(5_000_000)) {
		return fmt.Errorf("%s unbonds after the upgrade, 5000000 before", got)
	}
	return u.setParams(ctx, chain)
}

// setParams lets governance shorten periods: the defaults that the upgrade sets suit chains with weeks of unbonding.
func (u *upgrade) setParams(ctx context.Context, chain *localnet.Chain) error {
	lending, err := providertypes.NewQueryClient(chain.Conn()).Params(ctx, &providertypes.QueryParamsRequest{})
	if err != nil {
		return err
	}
	receiving, err := consumertypes.NewQueryClient(chain.Conn()).Params(ctx, &consumertypes.QueryParamsRequest{})
	if err != nil {
		return err
	}
	lending.Params.EpochDuration = 5 * time.Second
	receiving.Params.EpochDuration = 5 * time.Second
	receiving.Params.FreshnessMargin, receiving.Params.MaxProviderSilence = 8*time.Second, 80*time.Second
	_, err = chain.PassProposals(ctx, localnet.Proposal{Title: "Shorten the periods", Messages: []sdk.Msg{
		&providertypes.MsgUpdateParams{Authority: chain.Authority(), Params: lending.Params},
		&consumertypes.MsgUpdateParams{Authority: chain.Authority(), Params: receiving.Params},
	}})
	return err
}

// crossStake stakes, by the command line, on the consumer's first validator what alice has staked on the provider.
func (u *upgrade) crossStake(ctx context.Context, net *localnet.Network, provider, consumer *localnet.Chain, amount string) {
	u.Helper()
	if provider.ID == "ally-1" {
		_, err := provider.Tx(ctx, "alice",
			stakingtypes.NewMsgDelegate(provider.Address("alice"), provider.Nodes[0].Operator, provider.Coin(40_000_000)))
		require.NoError(u, err)
	}
	pairing, err := net.Pairing(provider.ID, consumer.ID)
	require.NoError(u, err)
	u.until(ctx, provider.ID+" knows the validators of "+consumer.ID, func(ctx context.Context) (bool, string, error) {
		res, err := providertypes.NewQueryClient(provider.Conn()).ConsumerValidators(ctx, &providertypes.QueryConsumerValidatorsRequest{ConsumerId: pairing.ConsumerID})
		if err != nil {
			return false, "", err
		}
		return len(res.Validators) == len(consumer.Nodes), fmt.Sprintf("%d", len(res.Validators)), nil
	})
	_, err = provider.CLITx(ctx, "alice", providertypes.ModuleName, "cross-stake", pairing.ConsumerID, consumer.Nodes[0].Operator, amount+provider.Denom)
	require.NoError(u, err)
}

// boast lets a provider of real nodes claim a thousand times its stake for some epochs: its power stops at its cap, what is
// natively staked stays, and once it tells the truth again its power is what it was.
func (u *upgrade) boast(ctx context.Context, net *localnet.Network, liar, consumer *localnet.Chain) {
	u.Helper()
	pairing, err := net.Pairing(liar.ID, consumer.ID)
	require.NoError(u, err)
	require.NoError(u, liar.RestartWith(ctx, u.hostile, 2*time.Minute))
	say := func() {
		u.Helper()
		operator := localnet.ValidatorAccount(0)
		_, err := liar.Tx(ctx, operator, &banktypes.MsgSend{
			FromAddress: liar.Address(operator), ToAddress: liar.Bech32(hostile.BoastAccount()), Amount: sdk.NewCoins(liar.Coin(1)),
		})
		require.NoError(u, err)
	}
	total, virtual := u.bonded(ctx, consumer, pairing)
	native := total.Sub(virtual)
	limit := native.MulRaw(3).QuoRaw(7) // three tenths of all

	say()
	var claims, truths []sdk.Msg
	for _, node := range consumer.Nodes { // so that both are listed
		claims = append(claims, &providertypes.MsgCrossStake{
			Delegator: liar.Address("alice"), ConsumerId: pairing.ConsumerID, Validator: node.Operator, Amount: liar.Coin(1_000_000),
		})
		truths = append(truths, &providertypes.MsgCrossUnstake{
			Delegator: liar.Address("alice"), ConsumerId: pairing.ConsumerID, Validator: node.Operator, Amount: liar.Coin(1_000_000),
		})
	}
	_, err = liar.Tx(ctx, "alice", claims...)
	require.NoError(u, err)
	u.until(ctx, liar.ID+" has all that its cap lets it have", func(ctx context.Context) (bool, string, error) {
		got, err := virtualOf(ctx, consumer, pairing)
		if err != nil {
			return false, "", err
		}
		return got.GTE(limit.MulRaw(98).QuoRaw(100)), fmt.Sprintf("%s of %s", got, limit), nil
	})
	for range 15 { // three epochs
		total, virtual = u.bonded(ctx, consumer, pairing)
		require.True(u, virtual.LTE(limit), "%s, more than its cap of %s", virtual, limit)
		require.Equal(u, native.String(), total.Sub(virtual).String(), "native stake")
		time.Sleep(time.Second)
	}
	u.requireSound(ctx, net)

	say()
	_, err = liar.Tx(ctx, "alice", truths...)
	require.NoError(u, err)
	u.virtual(ctx, net, liar, consumer, 18_000_000)
}

// bonded returns what is bonded on a consumer, and what of it is virtual stake of a pairing's provider.
func (u *upgrade) bonded(ctx context.Context, consumer *localnet.Chain, pairing localnet.PairingState) (total, virtual math.Int) {
	u.Helper()
	height, err := consumer.Height(ctx)
	require.NoError(u, err)
	ctx = localnet.AtHeight(ctx, height-1) // the newest may not be committed yet
	res, err := stakingtypes.NewQueryClient(consumer.Conn()).Pool(ctx, &stakingtypes.QueryPoolRequest{})
	require.NoError(u, err)
	virtual, err = virtualOf(ctx, consumer, pairing)
	require.NoError(u, err)
	return res.Pool.BondedTokens, virtual
}

// virtual waits until that much of the provider's stake is bonded on the consumer.
func (u *upgrade) virtual(ctx context.Context, net *localnet.Network, provider, consumer *localnet.Chain, want int64) {
	u.Helper()
	pairing, err := net.Pairing(provider.ID, consumer.ID)
	require.NoError(u, err)
	u.until(ctx, fmt.Sprintf("%d of %s on %s", want, provider.ID, consumer.ID), func(ctx context.Context) (bool, string, error) {
		got, err := virtualOf(ctx, consumer, pairing)
		if err != nil {
			return false, "", err
		}
		return got.Equal(math.NewInt(want)), got.String(), nil
	})
}

// virtualOf returns what is virtually staked on the consumer for a pairing's provider.
func virtualOf(ctx context.Context, consumer *localnet.Chain, pairing localnet.PairingState) (math.Int, error) {
	sum := math.ZeroInt()
	res, err := stakingtypes.NewQueryClient(consumer.Conn()).DelegatorDelegations(ctx, &stakingtypes.QueryDelegatorDelegationsRequest{
		DelegatorAddr: consumer.Bech32(consumertypes.VirtualAccount(pairing.ProviderID)),
	})
	if err != nil {
		return sum, err
	}
	for _, d := range res.DelegationResponses {
		sum = sum.Add(d.Balance.Amount)
	}
	return sum, nil
}

// requireSound asks every node, by the command line, whether all invariants of both modules hold.
func (u *upgrade) requireSound(ctx context.Context, net *localnet.Network) {
	u.Helper()
	for _, chain := range net.Chains() {
		for _, node := range chain.Nodes {
			for _, module := range []string{providertypes.ModuleName, consumertypes.ModuleName} {
				report, err := node.CheckInvariants(ctx, module)
				require.NoErrorf(u, err, "%s %s %s", chain.ID, node.Moniker, module)
				require.Truef(u, report.Complete && len(report.Failures) == 0, "%s %s %s: %+v", chain.ID, node.Moniker, module, report)
			}
		}
	}
}

func (u *upgrade) until(ctx context.Context, what string, check func(context.Context) (bool, string, error)) {
	u.Helper()
	require.NoError(u, localnet.WaitFor(ctx, what, 5*time.Minute, check))
}
