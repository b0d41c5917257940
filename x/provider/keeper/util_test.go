package keeper_test

import (
	"cosmossdk.io/collections"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
)

func poolKey(clientID string, n int) collections.Pair[string, []byte] {
	return collections.Join(clientID, testutil.Operator(n))
}

type poolKeyT = collections.Pair[string, []byte]

var zeroHeight = clienttypes.ZeroHeight()
