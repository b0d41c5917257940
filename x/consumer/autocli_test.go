package consumer_test

import (
	"testing"

	gogoproto "github.com/cosmos/gogoproto/proto"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/mesh-security/mesh/x/consumer"
	"github.com/mesh-security/mesh/x/consumer/types"
)

// TestEveryGovernanceMessageHasACommand: each is offered as a proposal, with an example.
func TestEveryGovernanceMessageHasACommand(t *testing.T) {
	commands := map[string]string{}
	for _, o := range (consumer.AppModule{}).AutoCLIOptions().Tx.RpcCommandOptions {
		require.False(t, o.Skip, o.RpcMethod)
		require.True(t, o.GovProposal, o.RpcMethod)
		require.NotEmpty(t, o.Example, o.RpcMethod)
		commands[o.RpcMethod] = o.Use
	}
	desc, err := gogoproto.HybridResolver.FindDescriptorByName(protoreflect.FullName(types.MsgServiceName))
	require.NoError(t, err)
	service, ok := desc.(protoreflect.ServiceDescriptor)
	require.True(t, ok)
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		require.NotNil(t, m.Input().Fields().ByName("authority"), m.Name())
		require.NotEmpty(t, commands[string(m.Name())], m.Name())
	}
}
