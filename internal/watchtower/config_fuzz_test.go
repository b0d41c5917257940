package watchtower_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mesh-security/mesh/internal/fuzztest"
	"github.com/mesh-security/mesh/internal/watchtower"
)

// FuzzLoadConfig: no configuration file, in TOML or in YAML, makes reading it panic or allocate out of proportion, and one
// that is taken is valid and has its defaults.
func FuzzLoadConfig(f *testing.F) {
	f.Add([]byte(goodTOML), false)
	f.Add([]byte(goodYAML), true)
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"), true)
	f.Add([]byte(strings.Repeat("[", 200)), false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, bz []byte, yaml bool) {
		if len(bz) > 64<<10 {
			return
		}
		path := filepath.Join(dir, "w.toml")
		if yaml {
			path = filepath.Join(dir, "w.yaml")
		}
		require.NoError(t, os.WriteFile(path, bz, 0o600))
		var (
			cfg *watchtower.Config
			err error
		)
		fuzztest.Allocates(t, len(bz), 16<<20, 64<<10, func() { cfg, err = watchtower.LoadConfig(path) })
		if err != nil {
			require.ErrorIs(t, err, watchtower.ErrConfig)
			return
		}
		require.NoError(t, cfg.Validate())
		require.Positive(t, cfg.PollInterval)
		require.Positive(t, cfg.Retention)
		require.NotEmpty(t, cfg.Chains)
	})
}
