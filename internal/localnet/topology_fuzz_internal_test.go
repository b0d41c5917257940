package localnet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/mesh-security/mesh/internal/fuzztest"
)

// FuzzParseTopology: no topology file makes reading it panic or allocate out of proportion, and one that is taken says the same
// when it is written and read again.
func FuzzParseTopology(f *testing.F) {
	f.Add([]byte(goodTopology))
	files, err := filepath.Glob("../../cmd/meshnet/topologies/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		bz, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(bz)
	}
	f.Add([]byte("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"))
	f.Add([]byte(strings.Repeat("[", 200)))
	f.Fuzz(func(t *testing.T, bz []byte) {
		if len(bz) > 64<<10 {
			return
		}
		var topo *Topology
		fuzztest.Allocates(t, len(bz), 16<<20, 64<<10, func() {
			var err error
			if topo, err = ParseTopology(bz); err != nil {
				topo = nil
			}
		})
		if topo == nil {
			return
		}
		again, err := yaml.Marshal(topo)
		require.NoError(t, err)
		back, err := ParseTopology(again)
		require.NoError(t, err, "%s", again)
		// No list and an empty one are the same, and a number that is none equals nothing.
		require.Empty(t, cmp.Diff(topo, back, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()), "%s", again)
	})
}
