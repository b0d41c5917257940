package localnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Ports are searched below the range from which systems take the ports of
// outgoing connections, so that none is lost between choosing and using it.
const (
	firstPort = 20000
	lastPort  = 32000
)

// portPicker hands out ports of 127.0.0.1 that are free. It listens on each
// until release, so that no other network on this machine picks the same.
type portPicker struct {
	next      int
	listeners []net.Listener
}

// newPortPicker begins its search at base, or somewhere if base is 0.
func newPortPicker(base int) *portPicker {
	if base == 0 {
		base = firstPort + rand.IntN(lastPort-firstPort)
	}
	return &portPicker{next: base}
}

// fixed takes a port that the topology asks for.
func (p *portPicker) fixed(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another process listens on 127.0.0.1:%d", ErrPortTaken, port)
	}
	if err != nil {
		return fmt.Errorf("%w %d: %w", ErrBadPort, port, err)
	}
	p.listeners = append(p.listeners, l)
	return nil
}

// any takes the next free port.
func (p *portPicker) any() (int, error) {
	for range lastPort - firstPort {
		port := p.next
		p.next++
		if p.next > 65535 || (port < lastPort && p.next >= lastPort) {
			p.next = firstPort
		}
		if p.fixed(port) == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w: no free port between %d and %d", ErrPortTaken, firstPort, lastPort)
}

// release frees the ports for the processes they were chosen for.
func (p *portPicker) release() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
	p.listeners = nil
}

// pickPorts chooses the ports of every node of a topology: those that are
// given first, so that no chosen one is in their way.
func (p *portPicker) pickPorts(t *Topology) (map[string][]Ports, error) {
	for i := range t.Chains {
		c := &t.Chains[i]
		var errs []error
		c.Ports.each(func(kind string, port int) {
			if port == 0 {
				return
			}
			if err := p.fixed(port); err != nil {
				errs = append(errs, fmt.Errorf("chain %s ports.%s: %w", c.ID, kind, err))
			}
		})
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
	}
	out := make(map[string][]Ports, len(t.Chains))
	for i := range t.Chains {
		c := &t.Chains[i]
		nodes := make([]Ports, c.Validators)
		nodes[0] = c.Ports
		for n := range nodes {
			wanted := []*int{&nodes[n].RPC, &nodes[n].P2P, &nodes[n].GRPC}
			if n == 0 {
				wanted = append(wanted, &nodes[n].API) // one REST server a chain is enough
			}
			for _, port := range wanted {
				if *port != 0 {
					continue
				}
				var err error
				if *port, err = p.any(); err != nil {
					return nil, fmt.Errorf("chain %s: %w", c.ID, err)
				}
			}
		}
		out[c.ID] = nodes
	}
	return out, nil
}
