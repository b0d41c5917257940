package demo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/mesh-security/mesh/internal/localnet"
)

func TestReportIsWrittenAsPromised(t *testing.T) {
	huge, _ := math.NewIntFromString("1000000000000000000000000000000")
	report := Report{
		Chains: []ChainReport{{
			ChainID: "axelar-local", NativeBonded: Amount{huge}, VirtualBonded: Amount{math.NewInt(80)},
			VirtualByProvider: map[string]Amount{"osmosis-local": {math.NewInt(80)}},
		}, {ChainID: "osmosis-local", VirtualByProvider: map[string]Amount{}}},
		Steps:   []StepReport{{Name: "pairing", OK: true, Detail: "open"}},
		Seconds: 12.5,
	}
	path := filepath.Join(t.TempDir(), "new", "report.json")
	require.NoError(t, localnet.WriteJSON(path, report))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.JSONEq(t, `{
		"chains": [
			{"chain_id": "axelar-local", "native_bonded": 1000000000000000000000000000000, "virtual_bonded": 80,
			 "virtual_by_provider": {"osmosis-local": 80}},
			{"chain_id": "osmosis-local", "native_bonded": 0, "virtual_bonded": 0, "virtual_by_provider": {}}
		],
		"steps": [{"name": "pairing", "ok": true, "detail": "open"}],
		"seconds": 12.5
	}`, string(data))
	require.Contains(t, string(data), "1000000000000000000000000000000", "no digit is lost")

	var read Report
	require.NoError(t, json.Unmarshal(data, &read))
	require.Equal(t, huge.String(), read.Chains[0].NativeBonded.String())
	require.True(t, read.OK())
}

func TestReportOK(t *testing.T) {
	require.False(t, Report{}.OK(), "nothing was shown")
	require.True(t, Report{Steps: []StepReport{{OK: true}}}.OK())
	require.False(t, Report{Steps: []StepReport{{OK: true}, {OK: false}}}.OK())
}
