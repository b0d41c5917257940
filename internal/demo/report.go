package demo

import (
	"encoding/json"

	"cosmossdk.io/math"
)

// Report is what the demo writes down.
type Report struct {
	Chains []ChainReport `json:"chains"`
	Steps  []StepReport  `json:"steps"`
	// Seconds is how long everything took, starting the chains included.
	Seconds float64 `json:"seconds"`
}

// ChainReport is the security of a chain at the end, before one of them turns
// hostile. Amounts are in base units
// of the chain's own token.
type ChainReport struct {
	ChainID       string `json:"chain_id"`
	NativeBonded  Amount `json:"native_bonded"`
	VirtualBonded Amount `json:"virtual_bonded"`
	// VirtualByProvider has an entry for each chain that provides security.
	VirtualByProvider map[string]Amount `json:"virtual_by_provider"`
}

// StepReport is one step and what was seen.
type StepReport struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// OK reports whether there were steps and all of them passed.
func (r Report) OK() bool {
	for _, s := range r.Steps {
		if !s.OK {
			return false
		}
	}
	return len(r.Steps) > 0
}

// Amount is a whole number of any size; in JSON it is a number.
type Amount struct{ math.Int }

// MarshalJSON writes the digits.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.IsNil() {
		return []byte("0"), nil
	}
	return []byte(a.String()), nil
}

// UnmarshalJSON reads them.
func (a *Amount) UnmarshalJSON(data []byte) error {
	var n json.Number
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	return a.Int.UnmarshalJSON([]byte(`"` + n.String() + `"`))
}
