package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// invariants runs the modules' own, by the command that operators have, on every node.
func (s *soak) invariants(ctx context.Context) error {
	records := 0
	for _, c := range s.chains {
		for _, n := range c.nodes {
			for _, module := range []string{providertypes.ModuleName, consumertypes.ModuleName} {
				report, err := n.checkInvariants(ctx, module)
				if err != nil {
					return fmt.Errorf("%s: invariants of %s: %w", n.name(), module, err)
				}
				records += int(report.Records)
				for _, f := range report.Failures {
					s.problem("%s at %d: invariant %s of %s does not hold for %s: %s", n.name(), report.Height, f.Invariant, module, f.Object, f.Message)
				}
				if len(report.Failures) == 0 && !report.Complete {
					s.problem("%s: the invariants of %s were not all checked", n.name(), module)
				}
			}
		}
	}
	s.checked("check-invariants of both modules passes on every node (%d records)", records)
	return nil
}

// invariantReport is what check-invariants prints.
type invariantReport struct {
	Height   int64  `json:"height"`
	Records  uint64 `json:"records"`
	Complete bool   `json:"complete"`
	Failures []meshtypes.InvariantFailure
}

func (n *node) checkInvariants(ctx context.Context, module string) (invariantReport, error) {
	out, err := n.Chain.CLI(ctx, "query", module, "check-invariants", "--output", "json", "--node", n.RPCAddress())
	report, parseErr := parseInvariants(out)
	if parseErr != nil {
		return report, errors.Join(err, parseErr)
	}
	if err != nil && len(report.Failures) == 0 {
		return report, err
	}
	return report, nil
}

// parseInvariants reads what check-invariants prints. An empty answer is an error.
func parseInvariants(out []byte) (invariantReport, error) {
	var report invariantReport
	if err := json.Unmarshal(out, &report); err != nil {
		return report, fmt.Errorf("check-invariants printed %q: %w", out, err)
	}
	if report.Height == 0 {
		return report, fmt.Errorf("check-invariants printed no height: %q", out)
	}
	return report, nil
}
