package soak

import (
	"context"
	"fmt"

	consumertypes "github.com/mesh-security/mesh/x/consumer/types"
	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// invariants runs the modules' own, by the command that operators have, on every node.
func (s *soak) invariants(ctx context.Context) error {
	records := 0
	for _, c := range s.chains {
		for _, n := range c.nodes {
			for _, module := range []string{providertypes.ModuleName, consumertypes.ModuleName} {
				report, err := n.CheckInvariants(ctx, module)
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
