package model_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"github.com/mesh-security/mesh/internal/meshtest"
	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// What spec/quint/mesh.qnt has as constants.
const (
	modelUnit       = 400_000 * one
	modelUnbonding  = 240 * time.Second
	modelSilence    = 180 * time.Second
	modelTimeout    = 150 * time.Second
	modelClaimDelay = 40 * time.Second
	modelWindow     = 300 * time.Second
	// tolerance is how far amounts may be off: x/staking slashes in power units.
	tolerance = 3 * one
)

var (
	modelValidators = []string{"val0", "val1"}
	modelDelegators = []string{"alice", "bob"}
)

// trace is one behaviour of the model, as tools/quint/choose.mjs writes it.
type trace []traceStep

type traceStep struct {
	Act      traceAct         `json:"act"`
	Pools    []tracePool      `json:"pools"`
	Debt     []int64          `json:"debt"`
	Bonded   []int64          `json:"bonded"`
	Acct     []bool           `json:"acct"`
	Entries  [][]traceEntry   `json:"entries"`
	Out      [][]int64        `json:"out"`
	Reg      []traceValidator `json:"reg"`
	Slashes  []traceSlash     `json:"slashes"`
	Meter    []int64          `json:"meter"`
	Provider traceProvider    `json:"prov"`
	Records  [][]int64        `json:"rec"`
	Virtual  []int64          `json:"virt"`
	Tomb     []bool           `json:"tomb"`
	Log      []traceLog       `json:"log"`
	Dirty    []int64          `json:"dirty"`
	Consumer traceConsumer    `json:"cons"`
	Net      []string         `json:"net"`
}

type traceAct struct {
	Name      string   `json:"name"`
	Delegator string   `json:"d"`
	Validator string   `json:"v"`
	Amount    int64    `json:"amount"`
	Height    int64    `json:"height"`
	Fraction  int64    `json:"f"`
	Err       string   `json:"err"`
	Seconds   int64    `json:"dt"`
	Deliver   []string `json:"deliver"`
	Drop      []string `json:"drop"`
}

type tracePool struct {
	ID        int64     `json:"id"`
	Validator string    `json:"v"`
	Tokens    int64     `json:"t"`
	Shares    int64     `json:"s"`
	Promise   int64     `json:"promise"`
	Since     int64     `json:"since"`
	Flag      bool      `json:"flag"`
	Unproven  int64     `json:"uf"`
	Walk      bool      `json:"walk"`
	Batch     bool      `json:"batch"`
	Converted bool      `json:"conv"`
	Closed    bool      `json:"closed"`
	Seq       int64     `json:"seq"`
	Executed  int64     `json:"exh"`
	Started   int64     `json:"started"`
	Matures   int64     `json:"matures"`
	Delayed   int64     `json:"delayed"`
	Matured   bool      `json:"matured"`
	Positions [][]int64 `json:"pos"` // shares, budget, owed of each delegator
}

type traceEntry struct {
	Balance, Until int64
	Held           bool
}

func (e *traceEntry) UnmarshalJSON(bz []byte) error {
	return json.Unmarshal(bz, &[]any{&e.Balance, &e.Until, &e.Held})
}

type traceValidator struct {
	Tombstoned, Closed     bool
	ExecutedSeq, ExecutedH int64
}

func (v *traceValidator) UnmarshalJSON(bz []byte) error {
	return json.Unmarshal(bz, &[]any{&v.Tombstoned, &v.Closed, &v.ExecutedSeq, &v.ExecutedH})
}

type traceSlash struct {
	ID         int64  `json:"id"`
	Validator  string `json:"v"`
	Proof      bool   `json:"proof"`
	DoubleSign bool   `json:"ds"`
	Infraction int64  `json:"inf"`
	Nominal    int64  `json:"nom"`
	Effective  int64  `json:"eff"`
	Due        int64  `json:"due"`
	Status     string `json:"status"`
	Amount     int64  `json:"amount"`
}

type traceLog struct {
	Index      int64  `json:"i"`
	Validator  string `json:"v"`
	DoubleSign bool   `json:"ds"`
	Infraction int64  `json:"inf"`
	Fraction   int64  `json:"f"`
}

type traceProvider struct {
	LastSeq  int64 `json:"lastSeq"`
	SlashSeq int64 `json:"slashSeq"`
	Paused   bool  `json:"paused"`
	Client   int64 `json:"client"`
	Slashed  int64 `json:"slashed"`
	Owed     int64 `json:"owed"`
	Burned   int64 `json:"burned"`
}

type traceConsumer struct {
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	Acked   int64 `json:"acked"`
	Flight  int64 `json:"flight"`
	RetryAt int64 `json:"retryAt"`
	Synced  int64 `json:"synced"`
	Fresh   bool  `json:"fresh"`
	LastSeq int64 `json:"lastSeq"`
}

// modelErrors are the errors that the model knows by name.
var modelErrors = map[string]error{
	"ErrConsumerPaused":         providertypes.ErrConsumerPaused,
	"ErrValidatorTombstoned":    providertypes.ErrValidatorTombstoned,
	"ErrValidatorClosed":        providertypes.ErrValidatorClosed,
	"ErrPoolClosed":             providertypes.ErrPoolClosed,
	"ErrInsufficientCollateral": providertypes.ErrInsufficientCollateral,
	"ErrAmountNotPositive":      providertypes.ErrAmountNotPositive,
	"ErrNoPosition":             providertypes.ErrNoPosition,
	"ErrInsufficientStake":      providertypes.ErrInsufficientStake,
	"ErrTooManyClaims":          providertypes.ErrTooManyClaims,
	"ErrEvidenceFuture":         providertypes.ErrEvidenceFuture,
	"ErrEvidenceTooOld":         providertypes.ErrEvidenceTooOld,
	"ErrNothingAnswers":         providertypes.ErrNothingAnswers,
	"ErrAlreadyPunished":        providertypes.ErrAlreadyPunished,
	"ErrUnknownSlash":           providertypes.ErrUnknownSlash,
	"ErrNotPaused":              providertypes.ErrNotPaused,
}

// TestReplay plays the committed traces of the Quint model against the real modules: each step is a block on both chains
// with the model's message, slash and deliveries, and the state of both modules must be the model's after it.
func TestReplay(t *testing.T) {
	t.Parallel()
	traces := readTraces(t)
	const parts = 2 // as many networks at a time
	for part := range parts {
		t.Run(fmt.Sprintf("part %d", part+1), func(t *testing.T) {
			t.Parallel()
			for i := part; i < len(traces); i += parts {
				t.Run(fmt.Sprintf("trace %03d", i), func(t *testing.T) { replay(t, traces[i]) })
			}
		})
	}
}

// readTraces reads the traces, and checks that they are of the present model.
func readTraces(t *testing.T) []trace {
	t.Helper()
	path := filepath.Join("testdata", "traces.jsonl.gz")
	if p := os.Getenv("MESH_TRACES"); p != "" {
		path = p
	}
	bz, err := os.ReadFile(path)
	require.NoError(t, err)
	unzipped, err := gzip.NewReader(bytes.NewReader(bz))
	require.NoError(t, err)
	lines := bufio.NewScanner(unzipped)
	lines.Buffer(nil, 16<<20)
	require.True(t, lines.Scan())
	var head struct {
		Model  string `json:"model"`
		Traces int    `json:"traces"`
	}
	require.NoError(t, json.Unmarshal(lines.Bytes(), &head))
	require.Equal(t, modelHash(t), head.Model, "the model has changed: `make traces` writes new traces")
	var traces []trace
	for lines.Scan() {
		var tr trace
		require.NoError(t, json.Unmarshal(lines.Bytes(), &tr))
		traces = append(traces, tr)
	}
	require.NoError(t, lines.Err())
	require.Len(t, traces, head.Traces)
	return traces
}

// modelHash is what tools/quint/run.sh calls the model.
func modelHash(t *testing.T) string {
	t.Helper()
	h := sha256.New()
	for _, name := range []string{"mesh.qnt", "pools.qnt"} {
		bz, err := os.ReadFile(filepath.Join("..", "..", "spec", "quint", name))
		require.NoError(t, err)
		h.Write(bz)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// replayed is a network as the model begins with it, and what its numbers count from.
type replayed struct {
	t    *testing.T
	n    *meshtest.Network
	prov *meshtest.Chain
	cons *meshtest.Chain
	p    *meshtest.Pairing

	start           time.Time
	height          int64
	updates, report int64
	// pools and slashes are the first ids.
	pools, slashes int64

	differences []string
}

func newReplayed(t *testing.T) *replayed {
	t.Helper()
	genesis := func(doubleSign string) func(*meshtest.Genesis) {
		return func(g *meshtest.Genesis) {
			g.ProviderParams(func(p *providertypes.Params) { p.PacketTimeout = modelTimeout })
			g.ConsumerParams(func(p *consumertypes.Params) {
				p.MaxProviderSilence, p.FreshnessMargin, p.PacketTimeout = modelSilence, 30*time.Second, modelTimeout
			})
			g.SlashingParams(func(p *slashingtypes.Params) {
				p.SignedBlocksWindow, p.SlashFractionDoubleSign = 1_000_000, meshtest.Dec(doubleSign)
			})
		}
	}
	n := meshtest.NewNetwork(t, 1,
		meshtest.ChainConfig{
			Name: "prov", Unbonding: modelUnbonding, Genesis: genesis("0.1"), Validators: []int64{20 * modelUnit},
			Delegators: []meshtest.Delegator{{Name: "alice", Stakes: []int64{5 * modelUnit}}, {Name: "bob", Stakes: []int64{3 * modelUnit}}},
		},
		meshtest.ChainConfig{
			Name: "cons", Unbonding: modelUnbonding, Genesis: genesis("0.05"),
			// The third is never slashed, and keeps the chain going when the others are jailed.
			Validators: []int64{20 * modelUnit, 20 * modelUnit, 400 * modelUnit}, Delegators: []meshtest.Delegator{},
		},
	)
	r := &replayed{t: t, n: n, prov: n.Chain("prov"), cons: n.Chain("cons")}
	n.SkipInvariants = true // other tests have them while a pairing is set up
	r.p = n.NewPairing(n.Connect(r.prov, r.cons), r.prov, r.cons)
	r.p.SkipBacking = true // the model's own invariant
	c := &r.p.ConsumerConfig
	c.BatchEpoch = meshtest.Epoch
	c.MaxSlashFractionDoubleSign, c.MaxSlashFractionDowntime = meshtest.Dec("0.5"), meshtest.Dec("0.1")
	c.SlashPolicy = providertypes.SlashPolicy{
		UnprovenLimit: meshtest.Dec("0.1"), UnprovenWindow: modelWindow, UnprovenDelay: modelClaimDelay,
	}
	r.p.ProviderConfig.Discount, r.p.ProviderConfig.MaxCap = sdkmath.LegacyZeroDec(), meshtest.Int(1_000*modelUnit)
	r.p.SetUp()
	n.SkipInvariants = false
	// The model begins when the last exchange is over: an empty update was sent 8 seconds ago, and nothing is in flight.
	const ago = 8 * time.Second
	for end := n.Now().Add(time.Hour); ; {
		quiet := n.Now().Sub(r.p.ConsumerRecord().Pairing.LastSentAt)
		if quiet == ago && len(r.inFlight()) == 0 && r.p.Converged() {
			break
		}
		require.True(t, n.Now().Before(end), "the network does not come to rest")
		if quiet < ago {
			n.StepBy(2 * time.Second)
		} else {
			n.StepBy(10 * time.Second) // until the next update is sent
		}
	}
	prov, cons := r.prov.ProviderState(), r.p.ProviderRecord()
	rec := r.p.ConsumerRecord().Pairing
	r.start, r.height = n.Now(), r.cons.Height()
	r.updates, r.report = int64(rec.LastSeq), int64(cons.LastSeq)
	r.pools, r.slashes = int64(prov.NextPoolId), int64(prov.NextSlashId)
	require.Equal(t, rec.LastSentAt, cons.SyncedAt)
	return r
}

// inFlight names the packets and acknowledgements that are in flight.
func (r *replayed) inFlight() (names []string) {
	for _, tr := range r.n.Relayer.InFlight() {
		if !tr.Done() && tr.Packet.SourcePort != "" {
			names = append(names, r.nameOf(tr))
		}
	}
	return names
}

// nameOf names a packet or acknowledgement as the model does: by kind and seq.
func (r *replayed) nameOf(tr *meshtest.Transit) string {
	var kind string
	var seq int64
	if r.p.IsStakeUpdate(tr) {
		kind, seq = "update", int64(tr.StakeUpdate().Seq)-r.updates
	} else {
		kind, seq = "report", int64(tr.Report().Seq)-r.report
	}
	if tr.IsAck() {
		kind += "Ack"
	}
	return fmt.Sprintf("%s %d", kind, seq)
}

func replay(t *testing.T, tr trace) {
	t.Helper()
	r := newReplayed(t)
	for i, step := range tr {
		r.take(step.Act)
		r.compare(step)
		if len(r.differences) > 0 {
			var history []string
			for j := range i + 1 {
				bz, _ := json.Marshal(tr[j].Act)
				history = append(history, fmt.Sprintf("%d: %s", j+1, bz))
			}
			require.FailNow(t, "the modules differ from the model", "after step %d:\n  %s\nhistory:\n  %s",
				i+1, strings.Join(r.differences, "\n  "), strings.Join(history, "\n  "))
		}
	}
}

func (r *replayed) validator(name string) *meshtest.Validator {
	return r.cons.Validators[slices.Index([]string{"v0", "v1"}, name)]
}

// take makes one step of the model.
func (r *replayed) take(a traceAct) {
	r.t.Helper()
	dt := time.Duration(a.Seconds) * time.Second
	for _, c := range r.n.Chains() {
		c.ProposedHeader.Time = r.n.Now().Add(dt) // for what comes ahead of the block
	}
	asked := map[string]int{}
	r.n.Relayer.Policy = func(t *meshtest.Transit) meshtest.Fate {
		name := r.nameOf(t)
		switch {
		case slices.Contains(a.Deliver, name):
			asked[name]++
			return meshtest.Deliver
		case slices.Contains(a.Drop, name):
			asked[name]++
			return meshtest.Drop
		}
		return meshtest.Hold
	}
	tx, err := r.act(a)
	r.n.StepBy(dt)
	if tx != nil {
		err = tx.Err()
	}
	if a.Err == "" {
		r.note(err == nil, "%s is refused: %v", a.Name, err)
	} else {
		want, ok := modelErrors[a.Err]
		require.True(r.t, ok, a.Err)
		r.note(errors.Is(err, want), "%s should be refused with %s, not: %v", a.Name, a.Err, err)
	}
	for _, name := range append(slices.Clone(a.Deliver), a.Drop...) {
		r.note(asked[name] == 1, "%s could not be carried", name)
	}
}

// act does what the model's action says, ahead of the next block or in it.
func (r *replayed) act(a traceAct) (*meshtest.Tx, error) {
	r.t.Helper()
	switch a.Name {
	case "stake":
		return r.prov.Account(a.Delegator).Queue(r.p.MsgCrossStake(a.Delegator, r.validator(a.Validator), a.Amount)), nil
	case "unstake":
		return r.prov.Account(a.Delegator).Queue(r.p.MsgCrossUnstake(a.Delegator, r.validator(a.Validator), a.Amount)), nil
	case "undelegate":
		return r.prov.Account(a.Delegator).Queue(r.prov.MsgUndelegate(a.Delegator, r.prov.Validators[0], a.Amount)), nil
	case "proof":
		return r.prov.Account("val0").Queue(r.p.MsgSubmitDoubleVote("val0", r.validator(a.Validator), r.height+a.Height)), nil
	case "veto":
		id := uint64(1 << 40)
		for _, s := range r.prov.ProviderState().Slashes {
			if s.IsPending() && bytes.Equal(s.Validator, r.validator(a.Validator).ValAddress()) {
				id = min(id, s.Id)
			}
		}
		return nil, r.prov.Gov(&providertypes.MsgVetoSlash{Authority: r.prov.Authority(), SlashId: id})
	case "resume":
		return nil, r.prov.Gov(&providertypes.MsgResumeConsumer{Authority: r.prov.Authority(), ConsumerId: r.p.ConsumerID})
	case "down":
		r.slash(r.cons, r.validator(a.Validator), a, stakingtypes.Infraction_INFRACTION_DOWNTIME)
	case "signed":
		r.cons.DoubleSign(r.validator(a.Validator), r.height+a.Height)
	case "nativeSlash":
		r.slash(r.prov, r.prov.Validators[0], a, stakingtypes.Infraction_INFRACTION_UNSPECIFIED)
	case "nothing":
	default:
		require.FailNow(r.t, "unknown action", a.Name)
	}
	return nil, nil
}

// slash slashes a validator as x/slashing does: with the power of the block after the distribution height.
func (r *replayed) slash(c *meshtest.Chain, v *meshtest.Validator, a traceAct, reason stakingtypes.Infraction) {
	r.t.Helper()
	height := c.Height() - (r.cons.Height() - r.height - a.Height)
	power := c.PowerAt(v, height+1)
	c.Direct(func(ctx sdk.Context) {
		err := c.App.SlashingKeeper.SlashWithInfractionReason(ctx, v.ConsAddress(), fraction(a.Fraction), power, height, reason)
		require.NoError(r.t, err)
	})
}

func fraction(f int64) sdkmath.LegacyDec { return sdkmath.LegacyNewDecWithPrec(f, 18) }

func (r *replayed) note(ok bool, format string, args ...any) {
	if !ok {
		r.differences = append(r.differences, fmt.Sprintf(format, args...))
	}
}

// same compares what must be equal.
func same[T comparable](r *replayed, what string, model, have T) {
	r.note(model == have, "%s is %v, in the model %v", what, have, model)
}

// about compares amounts.
func (r *replayed) about(what string, model int64, have sdkmath.Int) {
	r.note(have.SubRaw(model).Abs().LTE(sdkmath.NewInt(tolerance)), "%s is %s, in the model %d", what, have, model)
}

// seconds is a time as the model has it: seconds since its beginning, −1 for none.
func (r *replayed) seconds(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return int64(t.Sub(r.start) / time.Second)
}

// heightOf is a height of the consumer as the model has it: blocks since its beginning, 0 for none.
func (r *replayed) heightOf(h meshtypes.Height) int64 {
	if h.IsZero() {
		return 0
	}
	return int64(h.Height) - r.height
}

// since is a seq as the model has it: 0 for none.
func since(seq uint64, first int64) int64 { return max(int64(seq)-first, 0) }

// compare compares the state of both modules and of the network with the model's.
func (r *replayed) compare(m traceStep) {
	r.t.Helper()
	r.comparePools(m)
	r.compareDelegators(m)
	r.compareProvider(m)
	r.compareConsumer(m)
	slices.Sort(m.Net)
	net := r.inFlight()
	slices.Sort(net)
	same(r, "in flight", strings.Join(m.Net, ", "), strings.Join(net, ", "))
}

func (r *replayed) comparePools(m traceStep) {
	state := r.prov.ProviderState()
	positions := map[string]providertypes.Position{}
	for _, x := range state.Positions {
		positions[fmt.Sprintf("%d %X", x.PoolId, x.Delegator)] = x.Position
	}
	walks := map[uint64]bool{}
	for _, w := range state.Walks {
		walks[w.PoolId] = true
	}
	pools := slices.Clone(state.Pools)
	slices.SortFunc(pools, func(a, b providertypes.PoolRecord) int { return int(a.Id) - int(b.Id) })
	ids := func(n int, id func(int) int64) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprint(id(i)))
		}
		return strings.Join(out, " ")
	}
	model := ids(len(m.Pools), func(i int) int64 { return m.Pools[i].ID })
	have := ids(len(pools), func(i int) int64 { return int64(pools[i].Id) - r.pools })
	if same(r, "the list of pools", model, have); model != have {
		return
	}
	for i, want := range m.Pools {
		pool, name := pools[i].Pool, fmt.Sprintf("pool %d: ", want.ID)
		same(r, name+"validator", r.validator(want.Validator).String(), sdk.ValAddress(pool.Validator).String())
		r.about(name+"T", want.Tokens, pool.Tokens)
		r.about(name+"S", want.Shares, pool.Shares)
		r.about(name+"g·S", want.Promise, providertypes.ScaledMulFloor(pool.Shares, pool.BudgetPerShare))
		same(r, name+"since", want.Since, int64(pool.Since.Height)-r.height)
		same(r, name+"flag", want.Flag, pool.Flagged)
		unproven := sdkmath.LegacyZeroDec()
		if pool.Unproven != nil {
			unproven = pool.Unproven.Fraction
		}
		r.note(unproven.Sub(fraction(want.Unproven)).Abs().LT(meshtest.Dec("0.00001")), "%sclaims took %s, in the model %s",
			name, unproven, fraction(want.Unproven))
		same(r, name+"walk", want.Walk, walks[pools[i].Id])
		same(r, name+"batch", want.Batch, pool.IsBatch())
		if b := pool.Batch; b != nil {
			same(r, name+"converted", want.Converted, b.Converted)
			same(r, name+"closed", want.Closed, b.Closed)
			if b.Closed {
				same(r, name+"seq", want.Seq, int64(b.Seq)-r.updates)
			}
			same(r, name+"executed height", want.Executed, r.heightOf(b.ExecutedHeight))
			same(r, name+"start", want.Started, r.seconds(b.StartedAt))
			same(r, name+"maturity", want.Matures, r.seconds(b.MaturesAt))
			same(r, name+"delay", want.Delayed, r.seconds(b.DelayedUntil))
			same(r, name+"matured", want.Matured, b.Matured)
		}
		for j, del := range modelDelegators {
			pos, ok := positions[fmt.Sprintf("%d %X", pools[i].Id, r.prov.Account(del).Address().Bytes())]
			if !ok {
				pos = pool.NewPosition()
			}
			r.about(name+"shares of "+del, want.Positions[j][0], pos.Shares)
			r.about(name+"budget of "+del, want.Positions[j][1], pos.Budget)
			r.about(name+"owed by "+del, want.Positions[j][2], pool.Owed(pos))
		}
	}
}

func (r *replayed) compareDelegators(m traceStep) {
	state := r.prov.ProviderState()
	for i, del := range modelDelegators {
		debt, known := sdkmath.ZeroInt(), false
		for _, a := range state.Accounts {
			if r.prov.Account(del).Address().Equals(sdk.AccAddress(a.Delegator)) {
				debt, known = a.Account.Debt, true
			}
		}
		same(r, del+" has an account", m.Acct[i], known)
		r.about("debt of "+del, m.Debt[i], debt)
		r.about("stake of "+del, m.Bonded[i], r.prov.Delegated(r.prov.Account(del).Address(), r.prov.Validators[0]))
		entries := r.prov.Unbondings(del)
		if same(r, "unbonding entries of "+del, len(m.Entries[i]), len(entries)); len(m.Entries[i]) != len(entries) {
			continue
		}
		for j, want := range m.Entries[i] {
			name := fmt.Sprintf("entry %d of %s: ", j+1, del)
			r.about(name+"balance", want.Balance, entries[j].Balance)
			same(r, name+"completion", want.Until, r.seconds(entries[j].Completion))
			same(r, name+"held", want.Held, entries[j].Held)
		}
	}
}

func (r *replayed) compareProvider(m traceStep) {
	state, rec := r.prov.ProviderState(), r.p.ConsumerRecord()
	outbox := map[string]providertypes.OutboxEntry{}
	for _, o := range state.Outbox {
		outbox[string(o.Validator)] = o.Entry
	}
	for i, name := range modelValidators {
		val := r.cons.Validators[i]
		var out []int64
		if o, ok := outbox[string(val.ValAddress())]; ok {
			out = []int64{r.seconds(o.Oldest), since(o.InFlight, r.updates), r.seconds(o.Next), r.seconds(o.RetryAt), int64(o.Retries)}
		}
		same(r, "outbox of "+name, fmt.Sprint(m.Out[i]), fmt.Sprint(out))
		reg, _ := r.p.Registered(val)
		same(r, "registry of "+name, m.Reg[i], traceValidator{
			reg.Status == meshtypes.VALIDATOR_STATUS_TOMBSTONED, reg.Closed, since(reg.ExecutedSeq, r.updates), r.heightOf(reg.ExecutedHeight),
		})
	}
	if same(r, "number of slashes", len(m.Slashes), len(state.Slashes)); len(m.Slashes) == len(state.Slashes) {
		for i, want := range m.Slashes {
			s, name := state.Slashes[i], fmt.Sprintf("slash %d: ", want.ID)
			same(r, name+"id", want.ID, int64(s.Id)-r.slashes)
			same(r, name+"validator", r.validator(want.Validator).String(), sdk.ValAddress(s.Validator).String())
			same(r, name+"proof", want.Proof, s.IsProof())
			same(r, name+"double sign", want.DoubleSign, s.Kind == meshtypes.SLASH_KIND_DOUBLE_SIGN)
			same(r, name+"infraction", want.Infraction, int64(s.Infraction.Height)-r.height)
			same(r, name+"due", want.Due, r.seconds(s.DueAt))
			same(r, name+"status", want.Status, strings.ToLower(strings.TrimPrefix(s.Status.String(), "SLASH_STATUS_")))
			r.about(name+"amount", want.Amount, s.Amount)
			same(r, name+"nominal fraction", fraction(want.Nominal).String(), s.NominalFraction.String())
			r.note(s.EffectiveFraction.Sub(fraction(want.Effective)).Abs().LT(meshtest.Dec("0.00001")),
				"%seffective fraction is %s, in the model %s", name, s.EffectiveFraction, fraction(want.Effective))
		}
	}
	for _, x := range state.Meters {
		if len(m.Meter) == 0 || x.ClientId != r.p.ConsumerID {
			same(r, "start of the meter's window", -1, r.seconds(x.Meter.WindowStart))
			continue
		}
		r.about("meter used", m.Meter[0], x.Meter.Used)
		r.about("meter total", m.Meter[1], x.Meter.Total)
		r.about("meter proved", m.Meter[2], x.Meter.Proved)
		same(r, "start of the meter's window", m.Meter[3], r.seconds(x.Meter.WindowStart))
	}
	same(r, "last update", m.Provider.LastSeq, int64(rec.Pairing.LastSeq)-r.updates)
	same(r, "slash_seq", m.Provider.SlashSeq, int64(rec.Pairing.SlashSeq))
	same(r, "paused", m.Provider.Paused, rec.Consumer.IsPaused())
	same(r, "height of the client", m.Provider.Client, int64(r.p.Link().On(r.prov).ClientHeight().RevisionHeight)-r.height)
	r.about("slashed", m.Provider.Slashed, state.Totals.Slashed)
	r.about("owed", m.Provider.Owed, state.Totals.Owed)
	r.about("burned", m.Provider.Burned, state.Totals.Burned)
}

func (r *replayed) compareConsumer(m traceStep) {
	state, rec := r.cons.ConsumerState(), r.p.ProviderRecord()
	stakes, dirty := map[string]consumertypes.StakeRecord{}, map[string]int64{}
	for _, s := range state.Stakes {
		stakes[string(s.Validator)] = s.Record
	}
	for _, d := range state.Dirty {
		dirty[string(d.Validator)] = since(d.State.InFlight, r.report)
	}
	for i, name := range modelValidators {
		val := r.cons.Validators[i]
		s, ok := stakes[string(val.ValAddress())]
		if same(r, "record of "+name, len(m.Records[i]) > 0, ok); ok && len(m.Records[i]) > 0 {
			want := m.Records[i]
			r.about("amount on "+name, want[0], s.Amount)
			same(r, "seq of "+name, want[1], since(s.Seq, r.updates))
			same(r, "executed seq of "+name, want[2], since(s.ExecutedSeq, r.updates))
			same(r, "executed height of "+name, want[3], r.heightOf(s.ExecutedHeight))
			r.about("executed amount on "+name, want[4], s.ExecutedAmount)
		}
		r.about("virtual stake on "+name, m.Virtual[i], r.p.Virtual(val))
		same(r, name+" is tombstoned", m.Tomb[i], r.cons.App.SlashingKeeper.IsTombstoned(r.cons.CommittedContext(), val.ConsAddress()))
		flight, marked := dirty[string(val.ValAddress())]
		if !marked {
			flight = -1
		}
		same(r, "mark of "+name, m.Dirty[i], flight)
	}
	if same(r, "length of the log", len(m.Log), len(state.SlashLog)); len(m.Log) == len(state.SlashLog) {
		for i, want := range m.Log {
			e, name := state.SlashLog[i].Record.Entry, fmt.Sprintf("log entry %d: ", want.Index)
			same(r, name+"index", want.Index, int64(e.Index))
			same(r, name+"validator", r.validator(want.Validator).String(), sdk.ValAddress(e.Operator).String())
			same(r, name+"double sign", want.DoubleSign, e.Kind == meshtypes.SLASH_KIND_DOUBLE_SIGN)
			same(r, name+"infraction", want.Infraction, r.heightOf(e.Infraction))
			same(r, name+"nominal fraction", fraction(want.Fraction).String(), e.NominalFraction.String())
			r.note(e.EffectiveFraction.Sub(fraction(want.Fraction)).Abs().LT(meshtest.Dec("0.00001")),
				"%seffective fraction is %s, in the model %s", name, e.EffectiveFraction, fraction(want.Fraction))
		}
	}
	same(r, "first index", m.Consumer.First, int64(rec.FirstIndex))
	same(r, "last index", m.Consumer.Last, int64(rec.LastIndex))
	same(r, "acked index", m.Consumer.Acked, int64(rec.AckedIndex))
	same(r, "report in flight", m.Consumer.Flight, since(rec.ReportInFlight, r.report))
	same(r, "last report", m.Consumer.LastSeq, int64(rec.LastSeq)-r.report)
	same(r, "next report not before", m.Consumer.RetryAt, r.seconds(rec.RetryAt))
	same(r, "synced", m.Consumer.Synced, r.seconds(rec.SyncedAt))
	same(r, "fresh", m.Consumer.Fresh, rec.Fresh)
}
