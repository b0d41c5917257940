package watchtower

import (
	"fmt"

	errorsmod "cosmossdk.io/errors"

	providertypes "github.com/mesh-security/mesh/x/provider/types"
)

// Results of an attempt, as they are in the metrics, the log and the state file.
const (
	resultAccepted = "accepted"
	resultPunished = "already_punished"
	resultNothing  = "nothing_answers"
	resultRefused  = "refused"
	resultFailed   = "failed"   // tried again later
	resultSent     = "sent"     // not known yet
	resultNotHeard = "not_sent" // never included; tried again
	resultDryRun   = "dry_run"
)

// chainError is an error code that a chain gave for a transaction.
type chainError struct {
	codespace string
	code      uint32
	log       string
}

func (e *chainError) Error() string {
	return fmt.Sprintf("code %d of %q: %s", e.code, e.codespace, e.log)
}

// is compares with an error that a module registered.
func (e *chainError) is(target *errorsmod.Error) bool {
	return e.codespace == target.Codespace() && e.code == target.ABCICode()
}

// final are the refusals that the same evidence will meet for ever. Not among them: what another report, a client update,
// the pass of time or an operator who vouches for a key may heal, such as an unknown key, one that does not prove yet or
// not for that height, or a height above the client's.
var final = []*errorsmod.Error{
	providertypes.ErrUnknownConsumer, providertypes.ErrConsumerRemoved,
	providertypes.ErrInvalidEvidence, providertypes.ErrEvidenceTooLarge, providertypes.ErrVotesDiffer,
	providertypes.ErrVoteAddresses, providertypes.ErrEqualBlockIDs, providertypes.ErrEvidenceChainID,
	providertypes.ErrVoteSignature, providertypes.ErrEvidenceMinHeight,
	providertypes.ErrEvidenceTooOld, providertypes.ErrMisbehaviourClient, providertypes.ErrMisbehaviourHeights,
	providertypes.ErrNoOffenders,
}

// judge says what an error code means for a submission.
func judge(err *chainError) (Status, string) {
	switch {
	case err.is(providertypes.ErrAlreadyPunished):
		return StatusDone, resultPunished
	case err.is(providertypes.ErrNothingAnswers):
		return StatusDone, resultNothing
	}
	for _, target := range final {
		if err.is(target) {
			return StatusRefused, resultRefused
		}
	}
	return StatusPending, resultFailed
}
