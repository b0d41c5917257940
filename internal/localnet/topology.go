package localnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cosmos/go-bip39"
	"gopkg.in/yaml.v3"

	"cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
)

// Topology describes a network: its chains, who secures whom, and who has
// money. It is what a topology file contains.
type Topology struct {
	// Name is shown by `meshnet status`; it has no other meaning.
	Name string `yaml:"name"`
	// BasePort is where the search for free ports begins; 0 means anywhere.
	BasePort int `yaml:"base_port"`
	// Accounts exist on every chain, with the same key.
	Accounts []AccountSpec `yaml:"accounts"`
	Chains   []ChainSpec   `yaml:"chains"`
	Pairings []PairingSpec `yaml:"pairings"`
	// Transfers lists pairs of chains to open an ICS-20 channel between.
	Transfers []TransferSpec `yaml:"transfers"`
	Relayer   RelayerSpec    `yaml:"relayer"`
	// Watchtower carries proofs of double signing between the chains.
	Watchtower WatchtowerSpec `yaml:"watchtower"`
}

// ChainSpec describes one chain of a topology.
type ChainSpec struct {
	ID     string `yaml:"id"`
	Prefix string `yaml:"prefix"`
	Denom  string `yaml:"denom"`
	// Decimals of the denom: how many base units make a whole token, as a
	// power of ten. Partners convert amounts by it.
	Decimals *uint32 `yaml:"decimals"`
	// Validators is how many nodes the chain has; all of them validate.
	Validators int `yaml:"validators"`
	// Stake is each validator's own stake in the denom; Stakes, if given, has
	// one entry for each validator instead.
	Stake  string   `yaml:"stake"`
	Stakes []string `yaml:"stakes"`

	UnbondingTime Duration `yaml:"unbonding_time"`
	VotingPeriod  Duration `yaml:"voting_period"`
	// EpochLength is the length of an epoch of the mesh modules.
	EpochLength Duration `yaml:"epoch_length"`
	// FreshnessMargin is what the consumer module takes off unbonding times for
	// epochs, backlog and clocks, and MaxProviderSilence how long a provider may
	// be silent before its stake leaves.
	FreshnessMargin    Duration `yaml:"freshness_margin"`
	MaxProviderSilence Duration `yaml:"max_provider_silence"`
	// BlockTime is how long the chain waits between blocks (timeout_commit).
	BlockTime Duration `yaml:"block_time"`
	// SnapshotInterval is how many blocks apart the nodes make snapshots of the state, for others to begin from; 0
	// means none.
	SnapshotInterval int `yaml:"snapshot_interval"`
	// MinGasPrice is in the chain's denom, without naming it.
	MinGasPrice string `yaml:"min_gas_price"`

	// Accounts exist on this chain only; one with the name of a network-wide
	// account replaces it here.
	Accounts []AccountSpec `yaml:"accounts"`
	// Ports fixes ports of the chain's first node; 0 means any free one.
	Ports Ports `yaml:"ports"`
	// Genesis overrides values of genesis.json by dotted path, such as
	// "app_state.slashing.params.signed_blocks_window".
	Genesis map[string]any `yaml:"genesis"`
}

// AccountSpec is a named, funded account.
type AccountSpec struct {
	Name string `yaml:"name"`
	// Amount is in the chain's own denom.
	Amount string `yaml:"amount"`
	// Coins are added to Amount, such as "100uusdc,5stake".
	Coins string `yaml:"coins"`
	// Mnemonic of the account's key. Without it the key is derived from the
	// name: everybody knows it, so it is for local networks only.
	Mnemonic string `yaml:"mnemonic"`
}

// PairingSpec says that delegators of Provider may restake to validators of
// Consumer. For both directions a topology has two of them.
type PairingSpec struct {
	Provider string `yaml:"provider"`
	Consumer string `yaml:"consumer"`

	// What governance of the consumer registers about the provider.

	// Price is how many whole native tokens of the consumer a whole token of
	// the provider is worth.
	Price            string `yaml:"price"`
	Discount         string `yaml:"discount"`
	MaxCap           string `yaml:"max_cap"`
	MaxPowerRatio    string `yaml:"max_power_ratio"`
	GovernanceWeight string `yaml:"governance_weight"`
	RewardRatio      string `yaml:"reward_ratio"`
	// RewardDenoms are the consumer's own denoms of which the provider gets its
	// part; none means the staking denom. They take effect where there is a
	// transfer channel between the two chains.
	RewardDenoms []RewardDenomSpec `yaml:"reward_denoms"`

	// PriceFeed is governance, feeders or proof. Price is what it says at first.
	PriceFeed string `yaml:"price_feed"`
	// PriceWindow is what prices are averaged over, and MaxPostAge how old a post
	// or a proof may be; 0 lets the chain choose.
	PriceWindow Duration `yaml:"price_window"`
	MaxPostAge  Duration `yaml:"max_post_age"`
	// Feeders are accounts of the consumer; MinFeeders of them make a price, those
	// left out that are farther than MaxDeviation from the median.
	Feeders      []string `yaml:"feeders"`
	MinFeeders   uint32   `yaml:"min_feeders"`
	MaxDeviation string   `yaml:"max_deviation"`
	// PriceSource is where a price is that is proved.
	PriceSource *PriceSourceSpec `yaml:"price_source"`

	// What governance of the provider registers about the consumer.

	// UnbondingPeriod is the consumer's own unbonding time if it is not given.
	UnbondingPeriod Duration `yaml:"unbonding_period"`
	DoubleSignSlash string   `yaml:"double_sign_slash"`
	DowntimeSlash   string   `yaml:"downtime_slash"`
	// BatchEpoch is how long unstakes are gathered; 0 lets the chain choose.
	BatchEpoch Duration `yaml:"batch_epoch"`
	// UnprovenLimit is the part of all its cross-stake that the consumer may
	// slash per UnprovenWindow without proof. What is not given is as the
	// provider module recommends.
	UnprovenLimit  string   `yaml:"unproven_limit"`
	UnprovenWindow Duration `yaml:"unproven_window"`
	// UnprovenDelay is how long such slashes wait for a veto, MassDelay how long
	// proofs do that hit more than a third of the cross-stake.
	UnprovenDelay Duration `yaml:"unproven_delay"`
	MassDelay     Duration `yaml:"mass_delay"`
}

// RewardDenomSpec is a denom of which a provider gets its part of the rewards.
type RewardDenomSpec struct {
	Denom string `yaml:"denom"`
	// MinTransfer is the least that is sent before a day has passed.
	MinTransfer string `yaml:"min_transfer"`
}

// PriceSourceSpec is a price in the state of another chain: what an account there
// holds of a denom, times ten to the exponent.
type PriceSourceSpec struct {
	Chain    string `yaml:"chain"`
	Account  string `yaml:"account"`
	Denom    string `yaml:"denom"`
	Exponent int32  `yaml:"exponent"`
}

// Name identifies a pairing in messages: provider→consumer.
func (p PairingSpec) Name() string { return p.Provider + "→" + p.Consumer }

// TransferSpec is an ICS-20 channel between two chains.
type TransferSpec struct {
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

// RelayerSpec tunes the relayer.
type RelayerSpec struct {
	// FlushInterval is how often it looks for packets it has missed.
	FlushInterval Duration `yaml:"flush_interval"`
	// TrustingPercent is the light clients' trusting period in per cent of
	// the unbonding time.
	TrustingPercent int `yaml:"trusting_percent"`
}

// WatchtowerSpec says whether there is a watchtower.
type WatchtowerSpec struct {
	// Account is the network-wide account that signs what it submits; without
	// one there is no watchtower.
	Account string `yaml:"account"`
}

// Ports are the ports of a node.
type Ports struct {
	RPC  int `yaml:"rpc" json:"rpc"`
	P2P  int `yaml:"p2p" json:"p2p"`
	GRPC int `yaml:"grpc" json:"grpc"`
	API  int `yaml:"api" json:"api,omitempty"`
	// Host is the node's own address if it has one, empty for 127.0.0.1.
	Host string `yaml:"-" json:"host,omitempty"`
}

// Duration is a time.Duration written as in Go: 90s, 2m, 1h30m.
type Duration time.Duration

// UnmarshalYAML reads a duration.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	value, err := time.ParseDuration(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %w %q: want a number with a unit, such as 500ms, 90s or 2m",
			node.Line, ErrBadDuration, node.Value)
	}
	*d = Duration(value)
	return nil
}

// MarshalYAML writes a duration as it is read.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

func (d Duration) String() string { return time.Duration(d).String() }

// Defaults of a topology.
const (
	DefaultUnbondingTime   = Duration(2 * time.Minute)
	DefaultVotingPeriod    = Duration(10 * time.Second)
	DefaultEpochLength     = Duration(10 * time.Second)
	DefaultBlockTime       = Duration(time.Second)
	DefaultStake           = "100000000"
	DefaultMinGasPrice     = "0.001"
	DefaultFlushInterval   = Duration(20 * time.Second)
	DefaultTrustingPercent = 80
	DefaultDecimals        = 6

	maxValidators = 100
	minBlockTime  = Duration(100 * time.Millisecond)
)

// ValidatorAccount is the name of the i-th validator's operator account.
func ValidatorAccount(i int) string { return fmt.Sprintf("validator%d", i) }

// RelayerAccount is the name of the relayer's account.
const RelayerAccount = "relayer"

// setupAccount is the name of the account with which the i-th link is set up, so
// that links do not wait for one another.
func setupAccount(i int) string {
	if i == 0 {
		return RelayerAccount
	}
	return fmt.Sprintf("%s%d", RelayerAccount, i)
}

// relayers is how many accounts the relayer has.
func (t *Topology) relayers() int { return max(1, len(t.links())) }

// LoadTopology reads and checks a topology file.
func LoadTopology(path string) (*Topology, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	topo, err := ParseTopology(data)
	if err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	return topo, nil
}

// ParseTopology reads a topology, refuses keys it does not know, fills in
// defaults and validates the result.
func ParseTopology(data []byte) (*Topology, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	topo := new(Topology)
	if err := dec.Decode(topo); err != nil {
		return nil, explainYAML(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one YAML document", ErrSyntax)
	}
	topo.setDefaults()
	if err := topo.Validate(); err != nil {
		return nil, err
	}
	return topo, nil
}

var (
	reUnknownField = regexp.MustCompile(`^(line \d+: )field (.+) not found in type localnet\.(\w+)$`)
	reDuplicateKey = regexp.MustCompile(`^(line \d+: )mapping key (.+) already defined at (line \d+)$`)
	reWrongType    = regexp.MustCompile("^(line \\d+: )cannot unmarshal !!(\\w+)(?: `(.*)`)? into (.+)$")
)

// explainYAML turns the decoder's words, which name Go types, into ours.
func explainYAML(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the file is empty", ErrNoChains)
	}
	var typeErr *yaml.TypeError
	if !errors.As(err, &typeErr) {
		if errors.Is(err, ErrBadDuration) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	var errs []error
	for _, msg := range typeErr.Errors {
		if m := reUnknownField.FindStringSubmatch(msg); m != nil {
			errs = append(errs, fmt.Errorf("%s%w %q in %s", m[1], ErrUnknownKey, m[2], strings.ToLower(strings.TrimSuffix(m[3], "Spec"))))
		} else if m := reDuplicateKey.FindStringSubmatch(msg); m != nil {
			errs = append(errs, fmt.Errorf("%s%w %s, already given at %s", m[1], ErrDuplicateKey, m[2], m[3]))
		} else if m := reWrongType.FindStringSubmatch(msg); m != nil {
			errs = append(errs, fmt.Errorf("%s%w: %s, want %s", m[1], ErrSyntax, found(m[2], m[3]), wanted(m[4])))
		} else {
			errs = append(errs, fmt.Errorf("%w: %s", ErrSyntax, msg))
		}
	}
	return errors.Join(errs...)
}

func found(tag, value string) string {
	switch tag {
	case "seq":
		return "found a list"
	case "map":
		return "found a mapping"
	default:
		return fmt.Sprintf("found %q", value)
	}
}

func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case goType == "string":
		return "a single value"
	default:
		return "a mapping"
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (t *Topology) setDefaults() {
	setDefault(&t.Name, "meshnet")
	setDefault(&t.Relayer.FlushInterval, DefaultFlushInterval)
	setDefault(&t.Relayer.TrustingPercent, DefaultTrustingPercent)
	for i := range t.Chains {
		c := &t.Chains[i]
		setDefault(&c.UnbondingTime, DefaultUnbondingTime)
		setDefault(&c.VotingPeriod, DefaultVotingPeriod)
		setDefault(&c.EpochLength, DefaultEpochLength)
		setDefault(&c.FreshnessMargin, 2*c.EpochLength)
		setDefault(&c.MaxProviderSilence, (c.UnbondingTime-c.FreshnessMargin)*3/4)
		setDefault(&c.BlockTime, DefaultBlockTime)
		setDefault(&c.MinGasPrice, DefaultMinGasPrice)
		setDefault(&c.Stake, DefaultStake)
		if c.Decimals == nil {
			decimals := uint32(DefaultDecimals)
			c.Decimals = &decimals
		}
	}
	for i := range t.Pairings {
		p := &t.Pairings[i]
		setDefault(&p.Price, "1")
		setDefault(&p.Discount, "0")
		setDefault(&p.MaxCap, "1000000000000")
		setDefault(&p.MaxPowerRatio, math.LegacyNewDecWithPrec(3, 1).QuoInt64(t.providersOf(p.Consumer)).String())
		setDefault(&p.GovernanceWeight, "0")
		setDefault(&p.RewardRatio, "1")
		setDefault(&p.PriceFeed, consumertypes.PriceFeedGovernance)
		for j := range p.RewardDenoms {
			setDefault(&p.RewardDenoms[j].MinTransfer, "0")
		}
		if p.PriceFeed == consumertypes.PriceFeedFeeders {
			setDefault(&p.MinFeeders, uint32(len(p.Feeders)/2+1))
			setDefault(&p.MaxDeviation, "0.1")
		}
		setDefault(&p.DoubleSignSlash, "0.05")
		setDefault(&p.DowntimeSlash, "0.01")
		if c := t.chain(p.Consumer); c != nil {
			setDefault(&p.UnbondingPeriod, c.UnbondingTime)
		}
	}
}

func (t *Topology) providersOf(consumer string) (n int64) {
	for _, p := range t.Pairings {
		if p.Consumer == consumer {
			n++
		}
	}
	return n
}

func (t *Topology) chain(id string) *ChainSpec {
	for i := range t.Chains {
		if t.Chains[i].ID == id {
			return &t.Chains[i]
		}
	}
	return nil
}

var (
	reChainID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]{1,47}$`)
	rePrefix  = regexp.MustCompile(`^[a-z][a-z0-9]{0,15}$`)
	reAccount = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	reserved  = regexp.MustCompile(`^(relayer|validator)[0-9]*$`)
)

// Validate reports everything that is wrong, each problem with its place and
// one of this package's errors as its cause.
func (t *Topology) Validate() error {
	var errs []error
	add := func(where string, cause error, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w: %s", where, cause, fmt.Sprintf(format, args...)))
	}

	if len(t.Chains) == 0 {
		add("chains", ErrNoChains, "list at least one chain")
	}
	if t.BasePort != 0 && (t.BasePort < 1024 || t.BasePort > 65000) {
		add("base_port", ErrBadPort, "%d is not between 1024 and 65000", t.BasePort)
	}
	if p := t.Relayer.TrustingPercent; p < 1 || p > 95 {
		add("relayer.trusting_percent", ErrBadRatio, "%d is not between 1 and 95", p)
	}
	if t.Relayer.FlushInterval < Duration(time.Second) {
		add("relayer.flush_interval", ErrBadDuration, "%s is shorter than 1s", t.Relayer.FlushInterval)
	}
	validateAccounts("accounts", t.Accounts, add)
	if name := t.Watchtower.Account; name != "" && !slices.ContainsFunc(t.Accounts, func(a AccountSpec) bool { return a.Name == name }) {
		add("watchtower.account", ErrBadAccount, "%q is not among the accounts that exist on every chain", name)
	}

	seen := map[string]bool{}
	ports := map[int]string{}
	for i := range t.Chains {
		c := &t.Chains[i]
		where := fmt.Sprintf("chains[%d]", i)
		if c.ID != "" {
			where = fmt.Sprintf("chain %s", c.ID)
		}
		if seen[c.ID] && c.ID != "" {
			add(where, ErrDuplicateChain, "%q is used twice", c.ID)
		}
		seen[c.ID] = true
		c.validate(where, add)
		c.Ports.each(func(kind string, port int) {
			if port == 0 {
				return
			}
			at := where + " ports." + kind
			if port < 1024 || port > 65535 {
				add(at, ErrBadPort, "%d is not between 1024 and 65535", port)
			} else if other, ok := ports[port]; ok {
				add(at, ErrPortTaken, "%d is also %s", port, other)
			}
			ports[port] = at
		})
	}

	directions := map[string]bool{}
	for i := range t.Pairings {
		p := &t.Pairings[i]
		where := fmt.Sprintf("pairings[%d]", i)
		if !t.ends(where, "provider", p.Provider, "consumer", p.Consumer, add) {
			continue
		}
		if directions[p.Name()] {
			add(where, ErrDuplicatePairing, "%s is listed twice", p.Name())
		}
		directions[p.Name()] = true
		p.validate(where+" "+p.Name(), add)
		t.validateRewards(where+" "+p.Name(), p, add)
		t.validateFeed(where+" "+p.Name(), p, add)
	}
	for _, c := range t.Chains {
		if sum := t.powerRatios(c.ID); sum.MulInt64(3).GTE(math.LegacyOneDec()) {
			add("pairings", ErrBadRatio, "the max_power_ratio of all providers of %s add up to %s, not below one third", c.ID, sum)
		}
	}
	channels := map[string]bool{}
	for i, tr := range t.Transfers {
		where := fmt.Sprintf("transfers[%d]", i)
		if !t.ends(where, "from", tr.From, "to", tr.To, add) {
			continue
		}
		name := linkName(tr.From, tr.To)
		if channels[name] {
			add(where, ErrDuplicatePairing, "the channel between %s and %s is listed twice", tr.From, tr.To)
		}
		channels[name] = true
	}
	return errors.Join(errs...)
}

// powerRatios adds up what the providers of a consumer may have; what is no
// number is reported elsewhere.
func (t *Topology) powerRatios(consumer string) math.LegacyDec {
	sum := math.LegacyZeroDec()
	for _, p := range t.Pairings {
		if r, err := math.LegacyNewDecFromStr(p.MaxPowerRatio); err == nil && p.Consumer == consumer {
			sum = sum.Add(r)
		}
	}
	return sum
}

type report func(where string, cause error, format string, args ...any)

// ends checks the two chains that something connects.
func (t *Topology) ends(where, aKey, a, bKey, b string, add report) bool {
	ok := true
	for _, end := range []struct{ key, id string }{{aKey, a}, {bKey, b}} {
		if t.chain(end.id) == nil || end.id == "" {
			add(where+"."+end.key, ErrUnknownChain, "%q is not among the chains (%s)", end.id, strings.Join(t.chainIDs(), ", "))
			ok = false
		}
	}
	if ok && a == b {
		add(where, ErrSelfPairing, "%s is both %s and %s", a, aKey, bKey)
		return false
	}
	return ok
}

func (t *Topology) chainIDs() []string {
	var ids []string
	for _, c := range t.Chains {
		ids = append(ids, c.ID)
	}
	return ids
}

func (c *ChainSpec) validate(where string, add report) {
	if !reChainID.MatchString(c.ID) {
		add(where+".id", ErrBadChainID, "%q: want 2 to 48 letters, digits and dashes, beginning with a letter", c.ID)
	}
	if !rePrefix.MatchString(c.Prefix) {
		add(where+".prefix", ErrBadPrefix, "%q: want up to 16 lower-case letters and digits", c.Prefix)
	}
	denomOK := sdk.ValidateDenom(c.Denom) == nil
	if !denomOK {
		add(where+".denom", ErrBadDenom, "%q", c.Denom)
	}
	if *c.Decimals > 30 {
		add(where+".decimals", ErrBadAmount, "%d is more than 30", *c.Decimals)
	}
	switch {
	case c.Validators == 0:
		add(where+".validators", ErrNoValidators, "a chain needs at least one")
	case c.Validators < 0 || c.Validators > maxValidators:
		add(where+".validators", ErrBadValidators, "%d is not between 1 and %d", c.Validators, maxValidators)
	case len(c.Stakes) > 0 && len(c.Stakes) != c.Validators:
		add(where+".stakes", ErrBadValidators, "%d stakes for %d validators", len(c.Stakes), c.Validators)
	default:
		for i := range c.Validators {
			stake, ok := positive(c.stake(i))
			if !ok {
				add(where+".stake", ErrBadAmount, "%q is not a positive whole number", c.stake(i))
			} else if stake.LT(sdk.DefaultPowerReduction) {
				add(where+".stake", ErrBadAmount, "%s is below %s, one unit of voting power", stake, sdk.DefaultPowerReduction)
			}
			if len(c.Stakes) == 0 {
				break
			}
		}
	}
	for _, d := range []struct {
		key      string
		val, min Duration
	}{
		{"unbonding_time", c.UnbondingTime, Duration(10 * time.Second)},
		{"voting_period", c.VotingPeriod, Duration(2 * time.Second)},
		{"epoch_length", c.EpochLength, Duration(time.Second)},
		{"block_time", c.BlockTime, minBlockTime},
	} {
		if d.val < d.min {
			add(where+"."+d.key, ErrBadDuration, "%s is shorter than %s", d.val, d.min)
		}
	}
	if c.SnapshotInterval < 0 {
		add(where+".snapshot_interval", ErrBadAmount, "%d is negative", c.SnapshotInterval)
	}
	if c.EpochLength > c.UnbondingTime/consumertypes.EpochsPerUnbonding {
		add(where+".epoch_length", ErrBadDuration, "%s is more than 1/%d of the unbonding time, %s",
			c.EpochLength, consumertypes.EpochsPerUnbonding, c.UnbondingTime)
	}
	if c.FreshnessMargin < c.EpochLength || c.FreshnessMargin >= c.UnbondingTime {
		add(where+".freshness_margin", ErrBadDuration, "%s is not between the epoch length, %s, and the unbonding time, %s",
			c.FreshnessMargin, c.EpochLength, c.UnbondingTime)
	} else if c.MaxProviderSilence <= 0 || c.MaxProviderSilence >= c.UnbondingTime-c.FreshnessMargin {
		add(where+".max_provider_silence", ErrBadDuration, "%s is not above 0 and below the unbonding time less the freshness margin, %s",
			c.MaxProviderSilence, c.UnbondingTime-c.FreshnessMargin)
	}
	if price, err := math.LegacyNewDecFromStr(c.MinGasPrice); err != nil || price.IsNegative() {
		add(where+".min_gas_price", ErrBadAmount, "%q is not a number (the denom is always the chain's own)", c.MinGasPrice)
	}
	validateAccounts(where+".accounts", c.Accounts, add)
	for path := range c.Genesis {
		if path == "" || slices.Contains(strings.Split(path, "."), "") {
			add(where+".genesis", ErrBadGenesis, "%q is not a dotted path", path)
		}
	}
}

func validateAccounts(where string, accounts []AccountSpec, add report) {
	seen := map[string]bool{}
	for i, a := range accounts {
		at := fmt.Sprintf("%s[%d]", where, i)
		switch {
		case !reAccount.MatchString(a.Name):
			add(at+".name", ErrBadAccount, "%q: want up to 32 lower-case letters, digits, _ and -", a.Name)
		case reserved.MatchString(a.Name):
			add(at+".name", ErrBadAccount, "%q is reserved", a.Name)
		case seen[a.Name]:
			add(at+".name", ErrDuplicateAccount, "%q is used twice", a.Name)
		}
		seen[a.Name] = true
		if a.Amount == "" && a.Coins == "" {
			add(at+".amount", ErrBadAmount, "account %q has none", a.Name)
		}
		if _, ok := positive(a.Amount); a.Amount != "" && !ok {
			add(at+".amount", ErrBadAmount, "%q is not a positive whole number", a.Amount)
		}
		if _, err := sdk.ParseCoinsNormalized(a.Coins); err != nil {
			add(at+".coins", ErrBadAmount, "%q: %v", a.Coins, err)
		}
		if a.Mnemonic != "" && !bip39.IsMnemonicValid(a.Mnemonic) {
			add(at+".mnemonic", ErrBadAccount, "not a BIP-39 mnemonic")
		}
	}
}

func (p *PairingSpec) validate(where string, add report) {
	one := math.LegacyOneDec()
	for _, r := range []struct {
		key, val string
		ok       func(math.LegacyDec) bool
		want     string
	}{
		{"price", p.Price, math.LegacyDec.IsPositive, "above 0"},
		{"discount", p.Discount, func(d math.LegacyDec) bool { return !d.IsNegative() && d.LT(one) }, "at least 0 and below 1"},
		{"max_power_ratio", p.MaxPowerRatio, func(d math.LegacyDec) bool { return !d.IsNegative() && d.LT(one) }, "at least 0 and below 1"},
		{"governance_weight", p.GovernanceWeight, inUnit, "between 0 and 1"},
		{"reward_ratio", p.RewardRatio, inUnit, "between 0 and 1"},
		{"double_sign_slash", p.DoubleSignSlash, func(d math.LegacyDec) bool { return inUnit(d) && d.IsPositive() }, "above 0 and at most 1"},
		{"downtime_slash", p.DowntimeSlash, inUnit, "between 0 and 1"},
	} {
		if dec, err := math.LegacyNewDecFromStr(r.val); err != nil || !r.ok(dec) {
			add(where+"."+r.key, ErrBadRatio, "%q: want a decimal %s", r.val, r.want)
		}
	}
	if v, ok := math.NewIntFromString(p.MaxCap); !ok || v.IsNegative() {
		add(where+".max_cap", ErrBadAmount, "%q is not a whole number", p.MaxCap)
	}
	if limit, err := math.LegacyNewDecFromStr(p.UnprovenLimit); p.UnprovenLimit != "" {
		downtime, downtimeErr := math.LegacyNewDecFromStr(p.DowntimeSlash)
		if err != nil || downtimeErr == nil && limit.LT(downtime) || limit.GT(one) {
			add(where+".unproven_limit", ErrBadRatio, "%q: want a decimal from downtime_slash, %s, to 1", p.UnprovenLimit, p.DowntimeSlash)
		}
	}
	if w := p.UnprovenWindow; w != 0 && w < Duration(time.Second) {
		add(where+".unproven_window", ErrBadDuration, "%s is shorter than 1s", w)
	}
	for _, d := range []struct {
		key string
		val Duration
	}{{"unproven_delay", p.UnprovenDelay}, {"mass_delay", p.MassDelay}} {
		if d.val < 0 || d.val > p.UnbondingPeriod/3 {
			add(where+"."+d.key, ErrBadDuration, "%s is not between 0 and a third of unbonding_period, %s", d.val, p.UnbondingPeriod/3)
		}
	}
	if p.UnbondingPeriod < Duration(10*time.Second) {
		add(where+".unbonding_period", ErrBadDuration, "%s is shorter than 10s", p.UnbondingPeriod)
	}
}

// validateRewards checks which rewards a pairing forwards.
func (t *Topology) validateRewards(where string, p *PairingSpec, add report) {
	if len(p.RewardDenoms) == 0 {
		return
	}
	if len(p.RewardDenoms) > consumertypes.MaxRewardDenoms {
		add(where+".reward_denoms", ErrBadDenom, "%d, at most %d", len(p.RewardDenoms), consumertypes.MaxRewardDenoms)
	}
	if !t.transfers(p.Provider, p.Consumer) {
		add(where+".reward_denoms", ErrUnknownChain, "transfers lists no channel between %s and %s", p.Consumer, p.Provider)
	}
	seen := map[string]bool{}
	for i, d := range p.RewardDenoms {
		at := fmt.Sprintf("%s.reward_denoms[%d]", where, i)
		if sdk.ValidateDenom(d.Denom) != nil || strings.Contains(d.Denom, "/") || seen[d.Denom] {
			add(at+".denom", ErrBadDenom, "%q: want a denom of %s's own, once", d.Denom, p.Consumer)
		}
		seen[d.Denom] = true
		if v, ok := math.NewIntFromString(d.MinTransfer); !ok || v.IsNegative() {
			add(at+".min_transfer", ErrBadAmount, "%q is not a whole number", d.MinTransfer)
		}
	}
}

// transfers says whether there is a transfer channel between two chains.
func (t *Topology) transfers(a, b string) bool {
	return slices.ContainsFunc(t.Transfers, func(tr TransferSpec) bool { return linkName(tr.From, tr.To) == linkName(a, b) })
}

// validateFeed checks where a pairing's price comes from.
func (t *Topology) validateFeed(where string, p *PairingSpec, add report) {
	switch p.PriceFeed {
	case consumertypes.PriceFeedGovernance, consumertypes.PriceFeedFeeders, consumertypes.PriceFeedProof:
	default:
		add(where+".price_feed", ErrBadFeed, "%q: want governance, feeders or proof", p.PriceFeed)
		return
	}
	if p.PriceWindow < 0 || p.MaxPostAge < 0 {
		add(where+".price_window", ErrBadDuration, "price_window and max_post_age must not be negative")
	}
	if feeders := p.PriceFeed == consumertypes.PriceFeedFeeders; feeders || len(p.Feeders) > 0 || p.MinFeeders > 0 {
		if !feeders {
			add(where+".feeders", ErrBadFeed, "price_feed is %s", p.PriceFeed)
			return
		}
		t.validateFeeders(where, p, add)
	}
	source := p.PriceSource
	if (source != nil) != (p.PriceFeed == consumertypes.PriceFeedProof) {
		add(where+".price_source", ErrBadFeed, "it is for price_feed: proof, and needed there")
		return
	}
	if source == nil {
		return
	}
	c := t.chain(source.Chain)
	if c == nil || source.Chain == p.Consumer {
		add(where+".price_source.chain", ErrUnknownChain, "%q: want another chain than %s", source.Chain, p.Consumer)
		return
	}
	if !t.hasAccount(c, source.Account) {
		add(where+".price_source.account", ErrBadAccount, "%s has no account %q", c.ID, source.Account)
	}
	if sdk.ValidateDenom(source.Denom) != nil {
		add(where+".price_source.denom", ErrBadDenom, "%q", source.Denom)
	}
	if source.Exponent < -36 || source.Exponent > 36 {
		add(where+".price_source.exponent", ErrBadAmount, "%d is not between -36 and 36", source.Exponent)
	}
}

func (t *Topology) validateFeeders(where string, p *PairingSpec, add report) {
	consumer := t.chain(p.Consumer)
	for i, name := range p.Feeders {
		if !t.hasAccount(consumer, name) || slices.Contains(p.Feeders[:i], name) {
			add(where+".feeders", ErrBadAccount, "%q is no account of %s, or is there twice", name, p.Consumer)
		}
	}
	if p.MinFeeders < 1 || int(p.MinFeeders) > len(p.Feeders) {
		add(where+".min_feeders", ErrBadFeed, "%d is not between 1 and the number of feeders, %d", p.MinFeeders, len(p.Feeders))
	}
	if d, err := math.LegacyNewDecFromStr(p.MaxDeviation); err != nil || !inUnit(d) || !d.IsPositive() {
		add(where+".max_deviation", ErrBadRatio, "%q: want a decimal above 0 and at most 1", p.MaxDeviation)
	}
}

func (t *Topology) hasAccount(c *ChainSpec, name string) bool {
	return slices.ContainsFunc(t.accountsOn(c), func(a AccountSpec) bool { return a.Name == name })
}

func inUnit(d math.LegacyDec) bool { return !d.IsNegative() && d.LTE(math.LegacyOneDec()) }

func positive(s string) (math.Int, bool) {
	v, ok := math.NewIntFromString(s)
	return v, ok && v.IsPositive()
}

// stake returns the i-th validator's stake.
func (c *ChainSpec) stake(i int) string {
	if i < len(c.Stakes) {
		return c.Stakes[i]
	}
	return c.Stake
}

// accountsOn returns the named accounts of a chain: the network-wide ones,
// those replaced that the chain has itself, and the chain's own.
func (t *Topology) accountsOn(c *ChainSpec) []AccountSpec {
	var out []AccountSpec
	for _, a := range t.Accounts {
		if !slices.ContainsFunc(c.Accounts, func(own AccountSpec) bool { return own.Name == a.Name }) {
			out = append(out, a)
		}
	}
	return append(out, c.Accounts...)
}

// balance returns what an account holds on the chain.
func (c *ChainSpec) balance(a AccountSpec) (sdk.Coins, error) {
	coins, err := sdk.ParseCoinsNormalized(a.Coins)
	if err != nil {
		return nil, err
	}
	if amount, ok := positive(a.Amount); ok {
		coins = coins.Add(sdk.NewCoin(c.Denom, amount))
	}
	return coins, nil
}

func (p Ports) each(f func(kind string, port int)) {
	f("rpc", p.RPC)
	f("p2p", p.P2P)
	f("grpc", p.GRPC)
	f("api", p.API)
}

// link is a pair of chains that share clients and a connection.
type link struct{ a, b string }

func (l link) name() string { return l.a + "--" + l.b }

// linkName identifies a pair of chains whatever their order.
func linkName(a, b string) string { return min(a, b) + "--" + max(a, b) }

// links returns the pairs of chains to connect, in the topology's order.
func (t *Topology) links() []link {
	var out []link
	seen := map[string]bool{}
	add := func(a, b string) {
		if name := linkName(a, b); !seen[name] {
			seen[name] = true
			out = append(out, link{a, b})
		}
	}
	for _, p := range t.Pairings {
		add(p.Provider, p.Consumer)
	}
	for _, tr := range t.Transfers {
		add(tr.From, tr.To)
	}
	for _, p := range t.Pairings {
		if p.PriceSource != nil {
			add(p.Consumer, p.PriceSource.Chain)
		}
	}
	return out
}
