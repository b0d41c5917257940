package watchtower

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"gopkg.in/yaml.v3"

	"github.com/cosmos/cosmos-sdk/crypto/keyring"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// Defaults of a configuration.
const (
	DefaultPollInterval  = 2 * time.Second
	DefaultRetention     = 30 * 24 * time.Hour
	DefaultGasAdjustment = 1.5
	DefaultMaxBackfill   = 500_000
)

// Duration is a time span written as in Go, for example "2s" or "720h".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// Config is a watchtower's configuration file.
type Config struct {
	// StateFile holds the place in every chain and what was submitted. A relative path starts at the file's directory.
	StateFile string `toml:"state_file" yaml:"state_file"`
	// Metrics is the address the Prometheus metrics are served on, host:port; empty means nowhere.
	Metrics string `toml:"metrics" yaml:"metrics"`
	// PollInterval is how often a chain that has been caught up with is asked for new blocks.
	PollInterval Duration `toml:"poll_interval" yaml:"poll_interval"`
	// Retention is how long evidence is kept and tried after the block it was found in.
	Retention Duration      `toml:"retention" yaml:"retention"`
	Keyring   KeyringConfig `toml:"keyring" yaml:"keyring"`
	Chains    []ChainConfig `toml:"chains" yaml:"chains"`
}

// KeyringConfig says where the signing keys are.
type KeyringConfig struct {
	// Backend is one of the SDK's: os, file, test, pass, kwallet.
	Backend string `toml:"backend" yaml:"backend"`
	// Dir is the directory that holds the keyring, as --keyring-dir or --home of meshd keys. A relative path starts at
	// the file's directory.
	Dir string `toml:"dir" yaml:"dir"`
}

// ChainConfig is one chain: followed for evidence, and submitted to if the others' validators are backed there.
type ChainConfig struct {
	ChainID string `toml:"chain_id" yaml:"chain_id"`
	// RPC are CometBFT RPC addresses of full nodes. The next one is asked when one fails; with two or more their headers
	// are compared.
	RPC []string `toml:"rpc" yaml:"rpc"`
	// Bech32Prefix is the prefix of account addresses.
	Bech32Prefix string `toml:"bech32_prefix" yaml:"bech32_prefix"`
	// GasPrice is an amount with its denom, for example "0.025uosmo".
	GasPrice string `toml:"gas_price" yaml:"gas_price"`
	// GasAdjustment multiplies what a simulation used.
	GasAdjustment float64 `toml:"gas_adjustment" yaml:"gas_adjustment"`
	// Key is the name of the key that signs and pays.
	Key string `toml:"key" yaml:"key"`
	// FollowOnly: nothing is submitted to this chain, so it needs no key.
	FollowOnly bool `toml:"follow_only" yaml:"follow_only"`
	// StartHeight is where a first start begins; 0 means the oldest block within the chain's evidence age.
	StartHeight int64 `toml:"start_height" yaml:"start_height"`
	// MaxBackfill is how many blocks a first start goes back at most.
	MaxBackfill int64 `toml:"max_backfill" yaml:"max_backfill"`
}

// ErrConfig is any fault of a configuration file.
var ErrConfig = errors.New("invalid configuration")

// LoadConfig reads a configuration file, in TOML or YAML by its ending, fills in the defaults and validates it. Keys
// that are not known are refused. All faults found are reported together.
func LoadConfig(path string) (*Config, error) {
	bz, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	cfg := new(Config)
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".toml":
		err = decodeTOML(bz, cfg)
	case ".yaml", ".yml":
		err = decodeYAML(bz, cfg)
	default:
		err = fmt.Errorf("file name must end in .toml, .yaml or .yml, not %q", ext)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	cfg.setDefaults(filepath.Dir(path))
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %s:\n%w", ErrConfig, path, err)
	}
	return cfg, nil
}

func decodeTOML(bz []byte, cfg *Config) (err error) {
	defer func() {
		if r := recover(); r != nil { // the decoder panics on a date where text belongs
			err = fmt.Errorf("%v", r)
		}
	}()
	err = toml.NewDecoder(bytes.NewReader(bz)).DisallowUnknownFields().Decode(cfg)
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		faults := make([]error, len(strict.Errors))
		for i := range strict.Errors {
			row, _ := strict.Errors[i].Position()
			faults[i] = fmt.Errorf("line %d: unknown key %s", row, strings.Join(strict.Errors[i].Key(), "."))
		}
		return errors.Join(faults...)
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		row, _ := syntax.Position()
		line := ""
		if lines := strings.Split(string(bz), "\n"); row >= 1 && row <= len(lines) {
			line = strings.TrimSpace(lines[row-1])
		}
		return fmt.Errorf("line %d: %s: %w", row, line, err)
	}
	return err
}

func decodeYAML(bz []byte, cfg *Config) error {
	dec := yaml.NewDecoder(bytes.NewReader(bz))
	dec.KnownFields(true)
	if err := dec.Decode(cfg); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

func (c *Config) setDefaults(dir string) {
	absolute := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	absolute(&c.StateFile)
	absolute(&c.Keyring.Dir)
	if c.PollInterval == 0 {
		c.PollInterval = Duration(DefaultPollInterval)
	}
	if c.Retention == 0 {
		c.Retention = Duration(DefaultRetention)
	}
	for i := range c.Chains {
		chain := &c.Chains[i]
		if chain.GasAdjustment == 0 {
			chain.GasAdjustment = DefaultGasAdjustment
		}
		if chain.MaxBackfill == 0 {
			chain.MaxBackfill = DefaultMaxBackfill
		}
	}
}

var (
	prefixPattern   = regexp.MustCompile(`^[a-z][a-z0-9]{0,39}$`)
	keyringBackends = []string{
		keyring.BackendOS, keyring.BackendFile, keyring.BackendTest, keyring.BackendPass, keyring.BackendKWallet,
	}
)

// Validate returns every fault, each with the chain and the field it is about.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.StateFile == "" {
		fault("state_file: missing")
	}
	if c.Metrics != "" {
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			fault("metrics: not host:port: %w", err)
		}
	}
	if d := time.Duration(c.PollInterval); d < 50*time.Millisecond || d > time.Hour {
		fault("poll_interval: %s is not between 50ms and 1h", d)
	}
	if d := time.Duration(c.Retention); d < time.Hour {
		fault("retention: %s is less than an hour", d)
	}
	if c.submits() {
		switch {
		case c.Keyring.Backend == "":
			fault("keyring.backend: missing")
		case !slices.Contains(keyringBackends, c.Keyring.Backend):
			fault("keyring.backend: %q is not one of %s", c.Keyring.Backend, strings.Join(keyringBackends, ", "))
		}
		if c.Keyring.Dir == "" {
			fault("keyring.dir: missing")
		}
	}
	if len(c.Chains) == 0 {
		fault("chains: none")
	}
	seen := make(map[string]int, len(c.Chains))
	for i := range c.Chains {
		chain := &c.Chains[i]
		name := fmt.Sprintf("chain %q", chain.ChainID)
		if chain.ChainID == "" {
			name = fmt.Sprintf("chains[%d]", i)
		}
		for _, err := range chain.faults() {
			fault("%s: %w", name, err)
		}
		if first, ok := seen[chain.ChainID]; ok && chain.ChainID != "" {
			fault("%s: chain_id: the same as that of chains[%d]", name, first)
			continue
		}
		seen[chain.ChainID] = i
	}
	return errors.Join(faults...)
}

// submits reports whether any chain needs a key.
func (c *Config) submits() bool {
	return slices.ContainsFunc(c.Chains, func(chain ChainConfig) bool { return !chain.FollowOnly })
}

func (c *ChainConfig) faults() []error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	if c.ChainID == "" {
		fault("chain_id: missing")
	} else if len(c.ChainID) > 50 || strings.ContainsAny(c.ChainID, " \t\r\n/") {
		fault("chain_id: %q is not a chain id", c.ChainID)
	}
	if len(c.RPC) == 0 {
		fault("rpc: missing")
	}
	for i, remote := range c.RPC {
		u, err := url.Parse(remote)
		switch {
		case err != nil:
			fault("rpc: %w", err)
		case !slices.Contains([]string{"http", "https", "tcp"}, u.Scheme) || u.Host == "":
			fault("rpc: %q is not an http, https or tcp address", remote)
		case slices.Index(c.RPC, remote) < i:
			fault("rpc: %q is given twice", remote)
		}
	}
	if c.StartHeight < 0 {
		fault("start_height: %d is negative", c.StartHeight)
	}
	if c.MaxBackfill < 0 {
		fault("max_backfill: %d is negative", c.MaxBackfill)
	}
	if c.FollowOnly {
		return faults
	}
	switch {
	case c.Bech32Prefix == "":
		fault("bech32_prefix: missing")
	case !prefixPattern.MatchString(c.Bech32Prefix):
		fault("bech32_prefix: %q is not a prefix", c.Bech32Prefix)
	}
	if c.GasPrice == "" {
		fault("gas_price: missing")
	} else if _, err := sdk.ParseDecCoin(c.GasPrice); err != nil {
		fault("gas_price: %w", err)
	}
	if !(c.GasAdjustment >= 1 && c.GasAdjustment <= 10) { // not a number is neither
		fault("gas_adjustment: %v is not between 1 and 10", c.GasAdjustment)
	}
	if c.Key == "" {
		fault("key: missing")
	}
	return faults
}
