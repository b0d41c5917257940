package keeper_test

import (
	"flag"
	"os"
	"testing"

	"cosmossdk.io/collections"

	clienttypes "github.com/cosmos/ibc-go/v11/modules/core/02-client/types"

	"github.com/mesh-security/mesh/x/provider/testutil"
)

func poolKey(clientID string, n int) collections.Pair[string, []byte] {
	return collections.Join(clientID, testutil.Operator(n))
}

type poolKeyT = collections.Pair[string, []byte]

var zeroHeight = clienttypes.ZeroHeight()

// TestMain runs fewer random cases than rapid's default, unless -rapid.checks says how many.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		if err := flag.Set("rapid.checks", "15"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
