package localnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	meshtypes "github.com/mesh-security/mesh/x/mesh/types"
)

// InvariantReport is what check-invariants prints.
type InvariantReport struct {
	Height   int64  `json:"height"`
	Records  uint64 `json:"records"`
	Complete bool   `json:"complete"`
	// Failures are the invariants that do not hold.
	Failures []meshtypes.InvariantFailure `json:"failures"`
}

// CheckInvariants asks the node, by the command that operators have, whether
// the invariants of a module hold. An invariant that does not hold is in the
// report; the error says that there is no answer.
func (n *Node) CheckInvariants(ctx context.Context, module string) (InvariantReport, error) {
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
func parseInvariants(out []byte) (InvariantReport, error) {
	var report InvariantReport
	if err := json.Unmarshal(out, &report); err != nil {
		return report, fmt.Errorf("check-invariants printed %q: %w", out, err)
	}
	if report.Height == 0 {
		return report, fmt.Errorf("check-invariants printed no height: %q", out)
	}
	return report, nil
}
