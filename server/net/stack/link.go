package stack

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is the stack's way to a descriptor. What that has no room for is lost, as on every link.
type link struct {
	f   *os.File
	fd  int
	tap bool
	mtu uint32
	mac tcpip.LinkAddress

	mu sync.RWMutex
	up stack.NetworkDispatcher
}

var _ stack.LinkEndpoint = (*link)(nil)

// deliver gives the stack a packet, which is its own from here on.
func (l *link) deliver(b []byte) {
	l.mu.RLock()
	up := l.up
	l.mu.RUnlock()
	if up == nil {
		return
	}
	proto := ipv4.ProtocolNumber
	if len(b) > 0 && b[0]>>4 == 6 {
		proto = ipv6.ProtocolNumber
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
	up.DeliverNetworkPacket(proto, p)
	p.DecRef()
}

// WritePackets implements stack.LinkEndpoint.
func (l *link) WritePackets(list stack.PacketBufferList) (int, tcpip.Error) {
	n := 0
	for _, p := range list.AsSlice() {
		v := p.ToView()
		var err error
		if l.tap {
			_, err = unix.Write(l.fd, v.AsSlice())
		} else {
			_, err = unix.SendmsgN(l.fd, v.AsSlice(), nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		}
		v.Release()
		_ = err // it is lost
		n++
	}
	return n, nil
}

// MTU implements stack.LinkEndpoint. Of a tap device it is that of its frames: ethernet.Endpoint
// takes the header off.
func (l *link) MTU() uint32 {
	if l.tap {
		return l.mtu + header.EthernetMinimumSize
	}
	return l.mtu
}

// SetMTU implements stack.LinkEndpoint.
func (l *link) SetMTU(uint32) {}

// MaxHeaderLength implements stack.LinkEndpoint.
func (l *link) MaxHeaderLength() uint16 { return 0 }

// LinkAddress implements stack.LinkEndpoint.
func (l *link) LinkAddress() tcpip.LinkAddress { return l.mac }

// SetLinkAddress implements stack.LinkEndpoint.
func (l *link) SetLinkAddress(tcpip.LinkAddress) {}

// Capabilities implements stack.LinkEndpoint.
func (l *link) Capabilities() stack.LinkEndpointCapabilities { return 0 }

// Attach implements stack.LinkEndpoint.
func (l *link) Attach(up stack.NetworkDispatcher) {
	l.mu.Lock()
	l.up = up
	l.mu.Unlock()
}

// IsAttached implements stack.LinkEndpoint.
func (l *link) IsAttached() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.up != nil
}

// Wait implements stack.LinkEndpoint.
func (l *link) Wait() {}

// ARPHardwareType implements stack.LinkEndpoint.
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareNone }

// AddHeader implements stack.LinkEndpoint.
func (l *link) AddHeader(*stack.PacketBuffer) {}

// ParseHeader implements stack.LinkEndpoint.
func (l *link) ParseHeader(*stack.PacketBuffer) bool { return true }

// Close implements stack.LinkEndpoint.
func (l *link) Close() {}

// SetOnCloseAction implements stack.LinkEndpoint.
func (l *link) SetOnCloseAction(func()) {}
