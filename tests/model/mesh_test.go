package model_test

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	errorsmod "cosmossdk.io/errors"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// Environment variables of a single long simulation, as `make sim` sets them.
const (
	chainsEnv = "MESH_SIM_CHAINS"
	blocksEnv = "MESH_SIM_BLOCKS"
	seedEnv   = "MESH_SIM_SEED"
)

// meshUnbonding is the unbonding period of the chains of a simulated mesh: long enough for clients to live while all of
// them are connected.
const meshUnbonding = 20 * time.Minute

// meshTimeout is the timeout of packets: some blocks of the longest kind.
const meshTimeout = 5 * time.Minute

// meshMemory is the heap above which garbage is collected more often than TestMain asks for: thirty chains need half of it.
const meshMemory = 3 << 30

// size is how large a simulated mesh is and how long it lives.
type size struct {
	chains, blocks int
	// leave: in the end everybody takes everything back, which takes two unbonding periods.
	leave bool
}

// simSeed returns the seed of simulations: MESH_SIM_SEED, else rapid's; 0 means a new one.
func simSeed(tb testing.TB) int64 {
	tb.Helper()
	text := os.Getenv(seedEnv)
	if text == "" {
		text = flag.Lookup("rapid.seed").Value.String()
	}
	seed, err := strconv.ParseInt(text, 10, 64)
	require.NoError(tb, err, "seed %q", text)
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	return seed
}

// simInt returns a number from the environment, or the default.
func simInt(tb testing.TB, name string, otherwise int) int {
	tb.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(tb, err, name)
	return n
}

// TestMesh simulates meshes of 3, 10 and 30 chains in one process: which chains pair, in which direction and with what
// limits is random, and so is all that happens then. All invariants hold after every block of every chain; in the end all
// pairings converge and, in the small mesh, everybody gets out and what was burned is what was slashed.
func TestMesh(t *testing.T) {
	sizes := []size{{3, 50, true}, {10, 25, false}, {30, 6, false}}
	if n := simInt(t, chainsEnv, 0); n == 1 {
		t.Skip("one chain is simulated by TestChain")
	} else if n > 0 {
		sizes = []size{{n, simInt(t, blocksEnv, 50), true}}
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(meshMemory))
	seed := simSeed(t)
	for _, s := range sizes {
		t.Run(fmt.Sprintf("%d chains", s.chains), func(t *testing.T) {
			m := newMesh(t, s.chains, seed)
			m.windsDown = s.leave
			t.Cleanup(func() { m.report(s) })
			m.run(s.blocks)
			m.agree()
			if s.leave {
				m.everybodyLeaves()
			}
			m.summary()
		})
	}
}

// TestMeshIsDeterministic: the same seed gives the same blocks, so that a failing one can be played again.
func TestMeshIsDeterministic(t *testing.T) {
	if os.Getenv(chainsEnv) != "" {
		t.Skip("one history is simulated")
	}
	seed := simSeed(t)
	history := func() (hashes []string) {
		m := newMesh(t, 3, seed)
		m.run(8)
		for _, c := range m.n.Chains() {
			hashes = append(hashes, fmt.Sprintf("%s %d %X", c.Name, c.Height(), c.App.LastCommitID().Hash))
		}
		return append(hashes, m.log...)
	}
	require.Equal(t, history(), history())
}

// mesh is a network of chains that pair at random, and what happens to them.
type mesh struct {
	*testing.T
	n    *meshtest.Network
	r    *rand.Rand
	seed int64
	// pairings are all pairings; worlds has those of each chain that is a provider.
	pairings []*pairing
	worlds   []*world
	// policies are what the relayer does on each link.
	policies map[*meshtest.Link]func(*meshtest.Transit) meshtest.Fate
	// windsDown says whether consumers may be removed, which takes two unbonding periods.
	windsDown bool
	// slashes says whether anybody is slashed in this history.
	slashes bool
	// quiet is, by chain, the block before which its set of validators is not disturbed again.
	quiet map[*meshtest.Chain]int64
	// scanned is, by chain, up to which block transactions were looked at.
	scanned map[*meshtest.Chain]int64
	// log is what was done; accepted and refused count transactions and messages of governance by action.
	log               []string
	accepted, refused map[string]int
	waiting           []sent
}

// sent is a transaction by an action that is not in a block yet.
type sent struct {
	action string
	tx     *meshtest.Tx
}

// pairing is a pairing of the mesh.
type pairing struct {
	*meshtest.Pairing
	// reopening is the height of the consumer from which a channel given up may be opened again.
	reopening int64
}

func (m *mesh) pick(percent int) bool { return m.r.Intn(100) < percent }

func oneOf[T any](m *mesh, of ...T) T { return of[m.r.Intn(len(of))] }

// newMesh starts chains, connects them to one mesh, pairs them and stakes something on each pairing.
func newMesh(t *testing.T, chains int, seed int64) *mesh {
	t.Helper()
	t.Setenv(meshtest.SeedEnv, "") // its own seed, or none
	m := &mesh{
		T: t, seed: seed,
		policies: map[*meshtest.Link]func(*meshtest.Transit) meshtest.Fate{},
		quiet:    map[*meshtest.Chain]int64{}, scanned: map[*meshtest.Chain]int64{},
		accepted: map[string]int{}, refused: map[string]int{},
	}
	m.r = rand.New(rand.NewSource(seed))
	m.slashes = chains == 3 || m.pick(75)
	steps, operations := oneOf[uint32](m, 20, 1000), oneOf[uint32](m, 3, 500)
	genesis := func(g *meshtest.Genesis) {
		g.ConsumerParams(func(p *consumertypes.Params) {
			p.MaxProviderSilence, p.FreshnessMargin, p.PacketTimeout = 10*time.Minute, 2*time.Minute, meshTimeout
			p.MaxEpochOperations, p.MaxProviders = operations, 100
		})
		g.ProviderParams(func(p *providertypes.Params) {
			p.MaxPositions, p.MaxSettlementSteps, p.PacketTimeout = 12, steps, meshTimeout
		})
		g.SlashingParams(func(p *slashingtypes.Params) {
			p.SignedBlocksWindow, p.DowntimeJailDuration = 10, time.Minute
			p.MinSignedPerWindow = meshtest.Dec("0.5")
		})
	}
	var configs []meshtest.ChainConfig
	for i := range chains {
		configs = append(configs, meshtest.ChainConfig{Name: fmt.Sprintf("chain%c", 'a'+i%26) + suffix(i/26), Unbonding: meshUnbonding, Genesis: genesis})
	}
	m.n = meshtest.NewNetwork(t, m.r.Int63(), configs...)
	m.n.Relayer.Shuffle = true
	m.n.Relayer.Policy = func(tr *meshtest.Transit) meshtest.Fate {
		if policy := m.policies[tr.From.Link()]; policy != nil {
			return policy(tr)
		}
		return meshtest.Deliver
	}
	m.n.SkipInvariants = true // there is nothing yet; the first block after it checks all
	m.connect()
	m.n.SkipInvariants = false
	for _, c := range m.n.Chains() {
		w := &world{n: m.n, prov: c}
		for _, p := range m.pairings {
			if p.Provider == c {
				w.pairings = append(w.pairings, p.Pairing)
			}
		}
		if len(w.pairings) > 0 {
			m.worlds = append(m.worlds, w)
		}
		m.scanned[c] = c.Height()
	}
	for range 2 * len(m.pairings) {
		m.crossStake()
	}
	m.step(4)
	return m
}

func suffix(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprint(i)
}

// connect draws a connected graph, a fifth more links than a tree has, and pairs over each link in one direction or both.
func (m *mesh) connect() {
	chains := m.n.Chains()
	linked := map[[2]int]bool{}
	var pairs [][2]int
	add := func(a, b int) {
		if key := [2]int{min(a, b), max(a, b)}; a != b && !linked[key] {
			linked[key] = true
			pairs = append(pairs, [2]int{a, b})
		}
	}
	for i := 1; i < len(chains); i++ {
		add(m.r.Intn(i), i)
	}
	for range (len(chains) + 3) / 5 {
		add(m.r.Intn(len(chains)), m.r.Intn(len(chains)))
	}
	providers := map[*meshtest.Chain]int{}
	for i, pair := range pairs {
		link := m.n.Connect(chains[pair[0]], chains[pair[1]])
		ends := [][2]*meshtest.Chain{{chains[pair[0]], chains[pair[1]]}}
		switch m.r.Intn(3) {
		case 0:
			ends = [][2]*meshtest.Chain{{chains[pair[1]], chains[pair[0]]}}
		case 1:
			ends = append(ends, [2]*meshtest.Chain{chains[pair[1]], chains[pair[0]]})
		}
		for _, e := range ends {
			p := m.n.NewPairing(link, e[0], e[1])
			m.pairings = append(m.pairings, &pairing{Pairing: p})
			providers[p.Consumer]++
		}
		m.keepAlive(i)
	}
	for i, p := range m.pairings {
		p.ConsumerConfig.MaxSlashFractionDoubleSign = meshtest.Dec(oneOf(m, "0.05", "0.05", "0.5", "1"))
		// What all providers may have together is bounded.
		p.ProviderConfig.MaxPowerRatio = meshtest.Dec("0.3").QuoInt64(int64(providers[p.Consumer]))
		p.ProviderConfig.GovernanceWeight = meshtest.Dec(oneOf(m, "0", "0.5", "1"))
		p.Price = meshtest.Dec(oneOf(m, "0.1", "1", "1", "3.7"))
		if m.pick(40) {
			m.openRewards(p)
		}
		p.Provider.MustGov(p.MsgAddConsumer())
		p.Consumer.MustGov(p.MsgAddProvider())
		p.SetPrice(p.Price)
		m.keepAlive(i)
	}
	m.n.Step()
	for i, p := range m.pairings {
		require.NoError(m, p.OpenChannel())
		m.keepAlive(i)
	}
	m.n.Until("all pairings are ready", 10*time.Minute, func() bool {
		return !slices.ContainsFunc(m.pairings, func(p *pairing) bool { return !p.Ready() })
	})
}

// keepAlive lets the relayer update clients now and then while i counts up: each handshake takes about a minute, and clients
// expire after 13.
func (m *mesh) keepAlive(i int) {
	if i%4 == 3 {
		m.n.Step()
	}
}

// openRewards opens a channel for rewards and lets both sides know.
func (m *mesh) openRewards(p *pairing) {
	channel, remote := p.Link().OpenTransfer()
	if p.Link().A.Chain != p.Consumer {
		channel, remote = remote, channel
	}
	p.ConsumerConfig.RewardChannel, p.ConsumerConfig.RewardSender = remote, consumertypes.RewardAccount(p.ProviderID).String()
	p.ConsumerConfig.RewardDenoms = []string{p.Consumer.Denom}
	p.ProviderConfig.RewardChannel = channel
	p.ProviderConfig.RewardReceiver = providertypes.RewardAccount(p.ConsumerID).String()
}

// run makes blocks, with some actions before each.
func (m *mesh) run(blocks int) {
	actions := m.actions()
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	for range blocks {
		for range 2 + m.r.Intn(2+len(m.n.Chains())) {
			x := m.r.Intn(total)
			for _, a := range actions {
				if x -= a.weight; x < 0 {
					a.do()
					break
				}
			}
		}
		for _, p := range m.pairings {
			if p.reopening > 0 && p.Consumer.Height() >= p.reopening {
				m.reopen(p)
			}
		}
		m.n.BlockTime = oneOf(m, 5*time.Second, 5*time.Second, 10*time.Second, 20*time.Second)
		m.step(1)
	}
}

// step makes blocks and looks at what became of the transactions in them.
func (m *mesh) step(blocks int) {
	for range blocks {
		m.n.Step()
	}
	waiting := m.waiting
	m.waiting = nil
	for _, s := range waiting {
		if s.tx.Result == nil {
			m.waiting = append(m.waiting, s)
			continue
		}
		m.count(s.action, s.tx.Err())
	}
	// Whoever sent it: a transaction may be refused, but nothing may panic.
	for _, c := range m.n.Chains() {
		for _, b := range c.Blocks(m.scanned[c] + 1) {
			for _, tx := range b.Txs {
				m.refusal(tx.Err())
			}
			m.scanned[c] = b.Height
		}
	}
}

// count counts a message by whether it was refused.
func (m *mesh) count(action string, err error) {
	m.refusal(err)
	if err != nil {
		m.refused[action]++
	} else {
		m.accepted[action]++
	}
}

// refusal fails the test unless err is nil or an error that somebody registered and that is not a panic.
func (m *mesh) refusal(err error) {
	m.Helper()
	if err == nil {
		return
	}
	space, code, text := errorsmod.ABCIInfo(err, true)
	if e, ok := err.(*meshtest.TxError); ok { //nolint:errorlint // made by Err itself
		space, code = e.Codespace, e.Code
	}
	if strings.Contains(text, "rpc error: code = NotFound desc = unbonding delegation") {
		return // x/staking has no error of its own for an entry that was cancelled before
	}
	require.False(m, space == errorsmod.UndefinedCodespace || code == 1 || code == errorsmod.ErrPanic.ABCICode(), "%s/%d: %s", space, code, text)
}

// note adds to the log of what was done.
func (m *mesh) note(c *meshtest.Chain, format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf("%s block %d: ", c.Name, c.Height()+1)+fmt.Sprintf(format, args...))
}

// report prints how to play a failed history again, and what was done last.
func (m *mesh) report(s size) {
	if !m.Failed() {
		return
	}
	for _, line := range m.log[max(0, len(m.log)-60):] {
		m.Log(line)
	}
	m.Logf("play it again with: make sim CHAINS=%d BLOCKS=%d SEED=%d", s.chains, s.blocks, m.seed)
}

// summary prints what happened and fails the test if hardly anything did.
func (m *mesh) summary() {
	blocks := int64(0)
	for _, c := range m.n.Chains() {
		blocks += c.Height()
	}
	r := m.n.Relayer
	m.Logf("seed %d: %d chains, %d pairings, %d blocks; %d packets and answers delivered, %d dropped, %d timed out",
		m.seed, len(m.n.Chains()), len(m.pairings), blocks, r.Delivered, r.Dropped, r.TimedOut)
	m.Logf("accepted %v, refused %v", m.accepted, m.refused)
	require.Positive(m, m.accepted["cross-stake"])
}

// agree ends all pauses and losses, puts back what was removed, and waits until both sides of all pairings agree.
func (m *mesh) agree() {
	clear(m.policies)
	m.n.BlockTime = 30 * time.Second
	for _, c := range m.n.Chains() {
		for _, v := range c.Validators {
			v.Absent = false
		}
	}
	for _, p := range m.pairings {
		m.restore(p)
	}
	m.step(1)
	for _, p := range m.pairings {
		m.reopen(p)
	}
	for end := m.n.Now().Add(6 * time.Hour); ; m.step(1) {
		late := slices.DeleteFunc(slices.Clone(m.pairings), func(p *pairing) bool { return p.Converged() })
		if len(late) == 0 {
			return
		}
		if m.n.Now().After(end) {
			late[0].RequireConverged()
		}
		for _, p := range late {
			m.resume(p) // a claim may have paused it again
		}
	}
}

// everybodyLeaves checks that all stake is free in time and what was burned is what was slashed.
func (m *mesh) everybodyLeaves() {
	m.n.BlockTime = time.Minute
	for end := m.n.Now().Add(2 * meshUnbonding); m.n.Now().Before(end); m.step(2) {
		for _, w := range m.worlds {
			for _, del := range delegators {
				for _, msg := range w.leave(del) {
					m.queue("leave", w.prov, del, msg)
				}
			}
		}
	}
	for end := m.n.Now().Add(3 * meshUnbonding); m.n.Now().Before(end); {
		m.step(1)
	}
	for _, w := range m.worlds {
		state := w.prov.ProviderState()
		require.Empty(m, state.Positions, "%s", w.prov.Name)
		require.Empty(m, state.Pools, "%s", w.prov.Name)
		require.Empty(m, state.Accounts, "%s", w.prov.Name)
		require.Empty(m, state.Holds, "%s", w.prov.Name)
	}
	for _, p := range m.pairings {
		require.True(m, p.TotalVirtual().IsZero(), "%s → %s", p.Provider.Name, p.Consumer.Name)
	}
	for _, w := range m.worlds {
		w.drained()
	}
}

// queue sends a message in the next block.
func (m *mesh) queue(action string, c *meshtest.Chain, name string, msg sdk.Msg) {
	m.waiting = append(m.waiting, sent{action, c.Account(name).Queue(msg)})
	m.note(c, "%s by %s: %v", action, name, msg)
}

// gov executes a message as governance, which may be refused.
func (m *mesh) gov(action string, c *meshtest.Chain, msg sdk.Msg) bool {
	err := c.Gov(msg)
	m.count(action, err)
	m.note(c, "%s by governance: %v: %v", action, msg, err)
	return err == nil
}
