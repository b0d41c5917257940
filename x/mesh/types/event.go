package types

import (
	"encoding/json"
	"strconv"

	sdkmath "cosmossdk.io/math"
)

// AppendJSONString appends a string as protobuf's JSON has it.
func AppendJSONString(bz []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // no string fails
				return append(bz, `""`...)
			}
			return append(bz, quoted...)
		}
	}
	return append(append(append(bz, '"'), s...), '"')
}

// JSONString returns a string as protobuf's JSON has it.
func JSONString(s string) string { return string(AppendJSONString(make([]byte, 0, len(s)+2), s)) }

// JSONInt returns an integer as protobuf's JSON has it: in quotes.
func JSONInt(i sdkmath.Int) string { return `"` + i.String() + `"` }

// JSONUint64 returns a number of 64 bits as protobuf's JSON has it: in quotes.
func JSONUint64(n uint64) string { return `"` + strconv.FormatUint(n, 10) + `"` }
