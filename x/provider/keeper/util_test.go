package keeper_test

import (
	"cosmossdk.io/collections"

	"github.com/mesh-security/mesh/x/provider/testutil"
)

func poolKey(clientID string, n int) collections.Pair[string, []byte] {
	return collections.Join(clientID, testutil.Operator(n))
}

type poolKeyT = collections.Pair[string, []byte]
