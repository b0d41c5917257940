package meshtest

func (c *Chain) checkInvariants() {}
