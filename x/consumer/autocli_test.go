package consumer_test

import (
	"testing"

	gogoproto "github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	autocliv1 "cosmossdk.io/api/cosmos/autocli/v1"

	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/types"
)

// TestEveryMessageHasACommand: each of governance is offered as a proposal, all with an example.
func TestEveryMessageHasACommand(t *testing.T) {
	commands := map[string]*autocliv1.RpcCommandOptions{}
	for _, o := range (consumer.AppModule{}).AutoCLIOptions().Tx.RpcCommandOptions {
		commands[o.RpcMethod] = o
	}
	custom := map[string]bool{"ProvePrice": true} // a command of its own (client/cli)
	require.Len(t, consumer.AppModule{}.GetTxCmd().Commands(), len(custom))
	require.Equal(t, "prove-price", consumer.AppModule{}.GetTxCmd().Commands()[0].Name())
	desc, err := gogoproto.HybridResolver.FindDescriptorByName(protoreflect.FullName(types.MsgServiceName))
	require.NoError(t, err)
	service, ok := desc.(protoreflect.ServiceDescriptor)
	require.True(t, ok)
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		o := commands[string(m.Name())]
		require.NotNil(t, o, m.Name())
		require.Equal(t, custom[string(m.Name())], o.Skip, m.Name())
		if o.Skip {
			continue
		}
		require.NotEmpty(t, o.Use, m.Name())
		require.NotEmpty(t, o.Example, m.Name())
		require.Equal(t, m.Input().Fields().ByName("authority") != nil, o.GovProposal, m.Name())
	}
}
