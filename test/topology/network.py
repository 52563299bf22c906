# SPDX-License-Identifier: Apache-2.0
"""Links and addresses of the picture in __init__.py."""

from .shell import run

MTU = 1500
NARROW_MTU = 1300

CLIENT_IPV4 = "10.0.1.2"
CLIENT_IPV6 = "fd00:1::2"
BOX_CLIENT_SIDE = ("10.0.1.1/24", "fd00:1::1/64")
BOX_BACKEND_SIDE = ("10.0.2.1/24", "fd00:2::1/64")
VIP_IPV4 = "10.0.1.10"
VIP_IPV6 = "fd00:1::10"
LOCAL_IPV4 = ("10.0.2.100", "10.0.2.101")
LOCAL_IPV6 = ("fd00:2::100", "fd00:2::101")
ROUTER_IPV4 = "10.0.2.50"
ROUTER_IPV6 = "fd00:2::50"
FAR_IPV4 = "10.0.3.11"
FAR_IPV6 = "fd00:3::11"


def backend_ipv4(number):
    return f"10.0.2.{10 + number}"


def backend_ipv6(number):
    return f"fd00:2::{10 + number}"


def twin(port_index):
    """The kernel's interface of a port: the dataplane's --kernel-interface-prefix and an index."""
    return f"steel{port_index}"


def connect(namespace, interface, peer_namespace, peer_interface):
    """A veth pair whose packets look like those of a wire: real checksums, none beyond the MTU.

    The ends of namespaces are up afterwards. Two queues a side let AF_XDP take one.
    """
    run(["ip", "link", "add", interface, "netns", namespace.name, "mtu", MTU, "type", "veth",
         "peer", "name", peer_interface, "netns", peer_namespace.name, "mtu", MTU])
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


def make_twin(box, port_index, addresses):
    """A port's twin, made before the dataplane starts so that addresses outlive its restarts.

    It carries the port's MAC from the start, as the dataplane gives it anyway: neighbours never
    see another one.
    """
    name = twin(port_index)
    mac = box.run(["cat", f"/sys/class/net/port{port_index}/address"]).stdout.strip()
    box.ip(f"tuntap add dev {name} mode tap multi_queue",
           f"link set {name} address {mac} mtu {MTU}",
           f"link set {name} up")
    add_addresses(box, name, addresses)


def add_local_addresses(box, port_index):
    """Preferred lifetime 0: the box's own connections, such as health checks, do not use them."""
    name = twin(port_index)
    box.ip(*(f"address add {address}/32 dev {name}" for address in LOCAL_IPV4),
           *(f"address add {address}/128 dev {name} nodad preferred_lft 0"
             for address in LOCAL_IPV6))


def make_switch(switch):
    switch.ip("link add bridge type bridge mcast_snooping 0",
              f"link set bridge mtu {MTU} up")


def plug_into_switch(switch, namespace, interface, switch_interface):
    connect(namespace, interface, switch, switch_interface)
    switch.ip(f"link set {switch_interface} master bridge")


def make_router(router, far):
    """far's segments must not exceed NARROW_MTU; only ICMP can tell that to their sender.

    far itself announces the MSS of a full link and knows the narrow one for what it sends.
    """
    connect(router, "far0", far, "eth0")
    add_addresses(router, "far0", ("10.0.3.1/24", "fd00:3::1/64"))
    add_addresses(far, "eth0", (f"{FAR_IPV4}/24", f"{FAR_IPV6}/64"))
    router.sysctl({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1})
    router.ip(f"link set far0 mtu {NARROW_MTU}")
    far.ip(f"route add default via 10.0.3.1 mtu {NARROW_MTU} advmss {MTU - 40}",
           f"route add default via fd00:3::1 mtu {NARROW_MTU} advmss {MTU - 60}")
