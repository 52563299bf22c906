# SPDX-License-Identifier: Apache-2.0
"""Links and addresses of the picture in __init__.py."""

import ipaddress

from .shell import run

MTU = 1500
NARROW_MTU = 1300

CLIENT_IPV4 = "10.0.1.2"
CLIENT_IPV6 = "fd00:1::2"
BOX_CLIENT_SIDE = ("10.0.1.1/24", "fd00:1::1/64")
BOX_BACKEND_SIDE = ("10.0.2.1/24", "fd00:2::1/64")
EDGE_CLIENT_SIDE = ("10.0.1.60/24", "fd00:1::60/64")
EDGE_BACKEND_SIDE = ("10.0.2.60/24", "fd00:2::60/64")
VIP_IPV4 = "10.0.1.10"
VIP_IPV6 = "fd00:1::10"
LOCAL_IPV4 = ("10.0.2.100", "10.0.2.101")
LOCAL_IPV6 = ("fd00:2::100", "fd00:2::101")
# What hosts behind the box leave with, by outbound gateways.
OUTSIDE_IPV4 = "10.0.1.100"
OUTSIDE_IPV6 = "fd00:1::100"
ROUTER_BACKEND_SIDE = ("10.0.2.50/24", "fd00:2::50/64")
FAR_IPV4 = "10.0.3.11"
FAR_IPV6 = "fd00:3::11"
REMOTE_IPV4 = "10.0.4.2"
REMOTE_IPV6 = "fd00:4::2"
# The networks behind the narrow links, and the addresses of the routers there.
FAR_SIDE = ("10.0.3.1/24", "fd00:3::1/64")
REMOTE_SIDE = ("10.0.4.1/24", "fd00:4::1/64")

# Who takes what a node has no other route for; None: nobody.
GATEWAYS = {"box": BOX_BACKEND_SIDE, "edge": EDGE_BACKEND_SIDE, None: ()}


def backend_ipv4(number):
    return f"10.0.2.{10 + number}"


def backend_ipv6(number):
    return f"fd00:2::{10 + number}"


def twin(port_index):
    """The kernel's interface of a port: the dataplane's --kernel-interface-prefix and an index."""
    return f"steel{port_index}"


def connect(namespace, interface, peer_namespace, peer_interface, queues=1):
    """A veth pair whose packets look like those of a wire: real checksums, none beyond the MTU.

    The ends of namespaces are up afterwards.
    """
    queue_counts = ["numrxqueues", queues, "numtxqueues", queues]
    run(["ip", "link", "add", interface, "netns", namespace.name, "mtu", MTU, *queue_counts,
         "type", "veth", "peer", "name", peer_interface, "netns", peer_namespace.name, "mtu", MTU,
         *queue_counts])
    for end, name in ((namespace, interface), (peer_namespace, peer_interface)):
        end.run(["ethtool", "-K", name, "tx", "off", "rx", "off", "sg", "off", "tso", "off",
                 "gso", "off", "gro", "off"])
        end.ip(f"link set {name} up")


def add_addresses(namespace, interface, addresses):
    """addresses: with their prefix lengths, both families."""
    namespace.ip(*(f"address add {address} dev {interface}{' nodad' if ':' in address else ''}"
                   for address in addresses))


def make_port(box, port):
    """Leaves the raw end of a port to the dataplane alone.

    af_packet takes copies, so the kernel would also answer what the dataplane handles; the copies
    are for the dataplane, the originals are dropped (classic BPF, `return TC_ACT_SHOT`).
    """
    box.sysctl({f"net.ipv6.conf.{port}.disable_ipv6": 1})
    box.run(["tc", "qdisc", "add", "dev", port, "clsact"])
    box.run(["tc", "filter", "add", "dev", port, "ingress", "protocol", "all",
             "bpf", "bytecode", "1,6 0 0 2", "direct-action"])


def make_twin(box, port_index, mac, addresses):
    """A port's twin, made before the dataplane starts so that addresses outlive its restarts.

    It carries the port's MAC from the start, as the dataplane gives it anyway: neighbours never
    see another one.
    """
    name = twin(port_index)
    box.ip(f"tuntap add dev {name} mode tap multi_queue",
           f"link set {name} address {mac} mtu {MTU}",
           f"link set {name} up")
    add_addresses(box, name, addresses)


def add_lent_addresses(box, port_index, ipv4, ipv6):
    """Preferred lifetime 0: the box's own connections, such as health checks, do not use them."""
    name = twin(port_index)
    box.ip(*(f"address add {address}/32 dev {name}" for address in ipv4),
           *(f"address add {address}/128 dev {name} nodad preferred_lft 0" for address in ipv6))


def plug_in_tap(switch, bridge, tap):
    """A tap that a machine's network card is behind; multi-queue, as its card is."""
    switch.ip(f"tuntap add dev {tap} mode tap multi_queue",
              f"link set {tap} mtu {MTU} master {bridge} up")


def add_bridge(switch, bridge):
    switch.ip(f"link add {bridge} type bridge mcast_snooping 0",
              f"link set {bridge} mtu {MTU} up")


def plug_in(switch, bridge, namespace, interface, addresses=(), queues=1):
    """interface of namespace on a bridge of the switch."""
    port = f"{namespace.name.rpartition('-')[2]}-{interface}"
    connect(namespace, interface, switch, port, queues)
    switch.ip(f"link set {port} master {bridge}")
    add_addresses(namespace, interface, addresses)


def forward(namespace):
    """The namespace's kernel routes."""
    namespace.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})


def keep_addresses_apart(namespace):
    """In ARP as in neighbour discovery: an interface stands for its own addresses alone. So VIPs on
    a loopback are nobody's business on the wire."""
    namespace.sysctl({"net.ipv4.conf.all.arp_ignore": 1, "net.ipv4.conf.all.arp_announce": 2})


def make_narrow_link(router, interface, router_addresses, host, host_addresses):
    """host's segments must not exceed NARROW_MTU; only ICMP can tell that to their sender.

    The host itself announces the MSS of a full link and knows the narrow one for what it sends.
    """
    connect(router, interface, host, "eth0")
    add_addresses(router, interface, router_addresses)
    add_addresses(host, "eth0", host_addresses)
    router.ip(f"link set {interface} mtu {NARROW_MTU}")
    ipv4, ipv6 = (without_length(address) for address in router_addresses)
    host.ip(f"route add default via {ipv4} mtu {NARROW_MTU} advmss {MTU - 40}",
            f"route add default via {ipv6} mtu {NARROW_MTU} advmss {MTU - 60}")


def add_routes(namespace, side, gateway_side):
    """To the networks that side has addresses of, by way of a neighbour with gateway_side's."""
    namespace.ip(*(f"route add {ipaddress.ip_interface(address).network} "
                   f"via {without_length(gateway)}"
                   for address, gateway in zip(side, gateway_side)))


def set_default_gateway(namespace, gateway_side):
    """gateway_side: addresses of the gateway, or none to leave the namespace without one."""
    if gateway_side:
        namespace.ip(*(f"route replace default via {without_length(gateway)}"
                       for gateway in gateway_side))
    else:
        namespace.ip("route replace unreachable 0.0.0.0/0", "route replace unreachable ::/0")


def path_mtu(namespace, destination):
    """As the kernel there has learnt it; None if it has not."""
    words = namespace.run(["ip", "route", "get", destination]).stdout.split()
    return int(words[words.index("mtu") + 1]) if "mtu" in words else None


def forget_path_mtus(*namespaces):
    for namespace in namespaces:
        namespace.ip("route flush cache")
        namespace.run(["ip", "-6", "route", "flush", "cache"])


def without_length(address):
    return address.partition("/")[0]
