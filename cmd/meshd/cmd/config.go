package cmd

import (
	"github.com/spf13/cobra"

	serverconfig "github.com/cosmos/cosmos-sdk/server/config"
	genutilcli "github.com/cosmos/cosmos-sdk/x/genutil/client/cli"

	cmtcfg "github.com/cometbft/cometbft/config"

	"github.com/mesh-security/mesh/app"
)

// appConfig is the contents of app.toml: the SDK's and the chain's identity.
type appConfig struct {
	serverconfig.Config `mapstructure:",squash"`

	Bech32Prefix string `mapstructure:"bech32-prefix"`
	CoinType     uint32 `mapstructure:"coin-type"`
}

// appConfigTemplate puts our keys first, because they must come before the first table.
const appConfigTemplate = `# The prefix of this chain's addresses, and the BIP-44 coin type of its keys. They belong to the chain: changing
# them makes an existing genesis and state unusable.
bech32-prefix = "{{ .Bech32Prefix }}"
coin-type = {{ .CoinType }}

` + serverconfig.DefaultConfigTemplate

// newAppConfig returns what is written to app.toml when a home is first used. A node refuses to start without
// minimum gas prices, so they are set to zero of the chain's denom.
func newAppConfig(cmd *cobra.Command, id identity) appConfig {
	denom := app.DefaultBondDenom
	if f := cmd.Flags().Lookup(genutilcli.FlagDefaultBondDenom); f != nil && f.Value.String() != "" {
		denom = f.Value.String()
	}
	cfg := appConfig{Config: *serverconfig.DefaultConfig(), Bech32Prefix: id.Bech32Prefix, CoinType: id.CoinType}
	cfg.MinGasPrices = "0" + denom
	return cfg
}

func newCometConfig() *cmtcfg.Config { return cmtcfg.DefaultConfig() }
