package integration_test

import (
	"hash/fnv"
	"os"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

const (
	one   = meshtest.One
	epoch = meshtest.Epoch
	// u is the unbonding period of both chains.
	u = meshtest.UnbondingTime
	// round is more than a packet and its answer take, and the epoch before it.
	round = 3 * time.Minute
)

// seed derives the seed of a test's random source from its name: tests differ, runs do not.
func seed(t *testing.T) int64 {
	t.Helper()
	h := fnv.New32a()
	_, _ = h.Write([]byte(t.Name()))
	return int64(h.Sum32())
}

// network starts chains of those names and runs the test beside others.
func network(t *testing.T, names ...string) *meshtest.Network {
	t.Helper()
	configs := make([]meshtest.ChainConfig, 0, len(names))
	for _, name := range names {
		configs = append(configs, meshtest.ChainConfig{Name: name})
	}
	return networkOf(t, configs...)
}

func networkOf(t *testing.T, configs ...meshtest.ChainConfig) *meshtest.Network {
	t.Helper()
	t.Parallel()
	return meshtest.NewNetwork(t, seed(t), configs...)
}

// pair starts a provider "prov" and a consumer "cons" and sets the pairing up.
func pair(t *testing.T) (*meshtest.Network, *meshtest.Pairing) {
	t.Helper()
	return pairOf(t, meshtest.ChainConfig{}, meshtest.ChainConfig{})
}

// pairOf is pair with the chains' configs.
func pairOf(t *testing.T, prov, cons meshtest.ChainConfig) (*meshtest.Network, *meshtest.Pairing) {
	t.Helper()
	prov.Name, cons.Name = "prov", "cons"
	n := networkOf(t, prov, cons)
	return n, n.Pair(n.Chain("prov"), n.Chain("cons"))
}

// settle steps until everything that users did is executed and reported on every pairing.
func settle(n *meshtest.Network, pairings ...*meshtest.Pairing) {
	n.Helper()
	for range 2 {
		for _, p := range pairings {
			p.WaitConverged(round)
		}
		n.Advance(3 * epoch)
	}
	for _, p := range pairings {
		p.WaitConverged(round)
	}
}

func amount(tokens int64) sdkmath.Int { return sdkmath.NewInt(tokens) }

// requireInt compares amounts.
func requireInt(t *testing.T, want int64, have sdkmath.Int, msg ...any) {
	t.Helper()
	require.Equal(t, sdkmath.NewInt(want).String(), have.String(), msg...)
}

// val returns the consumer's validator of an index.
func val(p *meshtest.Pairing, i int) *meshtest.Validator { return p.Consumer.Validators[i] }

// nat returns the provider's own validator of an index.
func nat(p *meshtest.Pairing, i int) *meshtest.Validator { return p.Provider.Validators[i] }

// status of the two sides.
func consumerStatus(p *meshtest.Pairing) providertypes.ConsumerStatus {
	return p.ConsumerRecord().Consumer.Status
}

func providerStatus(p *meshtest.Pairing) consumertypes.ProviderStatus {
	return p.ProviderRecord().Status
}

// stakeRecord returns the consumer's record of a validator.
func stakeRecord(t *testing.T, p *meshtest.Pairing, v *meshtest.Validator) consumertypes.StakeRecord {
	t.Helper()
	for _, s := range p.Consumer.ConsumerState().Stakes {
		if s.ProviderId == p.ProviderID && string(s.Validator) == string(v.ValAddress()) {
			return s.Record
		}
	}
	require.FailNow(t, "no stake record", v.Operator.Name)
	return consumertypes.StakeRecord{}
}

// session returns a pairing's session as the provider knows it.
func session(p *meshtest.Pairing) meshtypes.Session { return p.ConsumerRecord().Pairing.Session }

// Times that read badly as expressions.
const (
	time1  = time.Minute
	time10 = 10 * time.Minute
)

type (
	providerParams = providertypes.Params
	consumerParams = consumertypes.Params
	providerConfig = consumertypes.ProviderConfig
	consumerConfig = providertypes.ConsumerConfig
)

type stakingParams = stakingtypes.Params

// TestMain gives the garbage collector less to do: every chain is small, and there are many.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	os.Exit(m.Run())
}
