package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/cosmos/cosmos-sdk/client/flags"

	"github.com/mesh-security/mesh/app"
)

const (
	envPrefix = "MESHD"

	// keyBech32Prefix and keyCoinType are keys of app.toml; with envPrefix they are environment variables.
	keyBech32Prefix = "bech32-prefix"
	keyCoinType     = "coin-type"
)

// identity is what differs between chains that run this binary and is fixed in a process before its commands are
// built: codecs copy the prefix, flags the home and the coin type.
type identity struct {
	Home         string
	Bech32Prefix string
	CoinType     uint32

	// homePrefix is the prefix that the home is configured for; empty if it is not configured yet.
	homePrefix string
}

// resolveIdentity finds the home and the identity of its chain: a flag comes before the environment, that before
// the home's app.toml, and that before the defaults.
func resolveIdentity(args []string, getenv func(string) string) (identity, error) {
	var id identity

	set := pflag.NewFlagSet("identity", pflag.ContinueOnError)
	set.ParseErrorsAllowlist.UnknownFlags = true // the commands' own flags are not known yet
	set.Usage = func() {}
	set.BoolP("help", "h", false, "")
	home := set.String(flags.FlagHome, "", "")
	prefix := set.String(keyBech32Prefix, "", "")
	if err := set.Parse(args); err != nil {
		return id, err
	}

	var err error
	if id.Home, err = resolveHome(*home, getenv); err != nil {
		return id, err
	}
	stored, err := readIdentity(id.Home)
	if err != nil {
		return id, err
	}
	id.homePrefix = stored.Bech32Prefix

	id.Bech32Prefix = firstNonEmpty(
		*prefix, getenv(envPrefix+"_BECH32_PREFIX"), stored.Bech32Prefix, app.DefaultBech32Prefix,
	)
	if err := app.ValidateBech32Prefix(id.Bech32Prefix); err != nil {
		return id, err
	}

	coinType := firstNonEmpty(getenv(envPrefix+"_COIN_TYPE"), stored.CoinType, fmt.Sprint(app.DefaultCoinType))
	parsed, err := strconv.ParseUint(coinType, 10, 31) // the highest bit marks hardened derivation
	if err != nil {
		return id, fmt.Errorf("invalid coin type %q: %w", coinType, err)
	}
	id.CoinType = uint32(parsed)
	return id, nil
}

func resolveHome(flag string, getenv func(string) string) (string, error) {
	if home := firstNonEmpty(flag, getenv(envPrefix+"_HOME")); home != "" {
		return filepath.Clean(home), nil
	}
	userHome, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(userHome, "."+app.Name), nil
}

// storedIdentity is the identity in a home's app.toml. Keys may be missing.
type storedIdentity struct {
	Bech32Prefix string
	CoinType     string
}

func readIdentity(home string) (storedIdentity, error) {
	v := viper.New()
	v.SetConfigFile(filepath.Join(home, "config", "app.toml"))
	if err := v.ReadInConfig(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return storedIdentity{}, nil
		}
		return storedIdentity{}, fmt.Errorf("read %s: %w", v.ConfigFileUsed(), err)
	}
	return storedIdentity{Bech32Prefix: v.GetString(keyBech32Prefix), CoinType: v.GetString(keyCoinType)}, nil
}

// clientCommands talk to a node or use the keyring: they may address a chain other than the home's.
var clientCommands = map[string]bool{
	"completion": true,
	"config":     true,
	"debug":      true,
	"keys":       true,
	"query":      true,
	"status":     true,
	"tx":         true,
	"version":    true,
}

// checkHome refuses to use a home's genesis or state under another prefix than the home's: every address in them
// would be invalid, and a node would halt at its next block.
func (id identity) checkHome(cmd *cobra.Command) error {
	if id.homePrefix == "" || id.homePrefix == id.Bech32Prefix {
		return nil
	}
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	if clientCommands[top.Name()] {
		return nil
	}
	return fmt.Errorf(
		"home %s is configured for addresses with prefix %q, but %q is asked for; to change it, set %s in %s",
		id.Home, id.homePrefix, id.Bech32Prefix, keyBech32Prefix, filepath.Join(id.Home, "config", "app.toml"),
	)
}

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
