package bench_test

import (
	consumerkeeper "github.com/mesh-security/mesh/x/consumer/keeper"
	providerkeeper "github.com/mesh-security/mesh/x/provider/keeper"
)

func (c *chain) provider() *providerkeeper.Keeper { return c.app.Mesh.Provider }

func (c *chain) consumer() *consumerkeeper.Keeper { return c.app.Mesh.Consumer }
