# SPDX-License-Identifier: Apache-2.0
"""Steelyard in a few network namespaces: a client, the box, its backends; all programs are real.

Sends requests over IPv4 and IPv6, shows for each which backend answered and which client address
its nginx logged, then the tables of steelyardctl. Exit status 0 only if every request came back
right and the address logged is the client's. With --mode snat the backends ask a server outside,
which must log the outbound gateway's address.
"""

import argparse
import os
import pathlib
import signal
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "test"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
import topology as nodes
from topology import network, services, sweep
from topology.shell import wait_until

# What a service says of its forwarding mode; full NAT alone needs help to show the client's address.
MODES = {
    "full_nat": {"mode": "full_nat", "client_address": "{carrier: toa}"},
    "dnat": {"mode": "dnat"},
    "tunnel": {"mode": "tunnel", "tunnel": "{encapsulation: ipip}"},
    "direct": {"mode": "direct"},
}
OUTBOUND = "snat"
INSIDE_PREFIXES = ("10.0.2.0/24", "fd00:2::/64")
BUILD_DIR = pathlib.Path(os.environ.get("STEELYARD_BUILD_DIR", REPOSITORY / "build")).resolve()


def main():
    options = parse_arguments()
    if options.end:
        ended = sweep.remove_kept(None if options.end == "all" else int(options.end))
        print(f"ended: {', '.join(f'sy{pid}' for pid in ended) or 'nothing to end'}")
        return 0
    # An orderly way out for every signal that asks for one; a second one must not break it off.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    nodes.sweep_leftovers()
    print(nodes.__doc__.split("\n\n", 2)[2].split("\n\nEvery === is")[0], "\n")
    with nodes.Topology(BUILD_DIR, options.port_driver, options.backends) as topology:
        failures = (show_outbound(topology) if options.mode == OUTBOUND
                    else show(topology, options.mode))
        if options.keep:
            topology.keep()
            print_look_around(topology)
    return 1 if failures else 0


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="conf/demo/run", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true",
                        help="leave everything running and print how to look around")
    parser.add_argument("--end", nargs="?", const="all", metavar="NUMBER",
                        help="end the demos that --keep left, or the one with this number")
    parser.add_argument("--mode", choices=(*MODES, OUTBOUND), default="full_nat",
                        help="how the box forwards (default: %(default)s)")
    parser.add_argument("--port-driver", choices=("af_packet", "af_xdp"), default="af_packet",
                        help="how the dataplane drives the box's veth ports (default: %(default)s)")
    parser.add_argument("--backends", type=int, choices=range(1, 10), default=3, metavar="1-9",
                        help="number of backends (default: %(default)s)")
    return parser.parse_args()


def leave(number, _frame):
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def show(topology, mode):
    """Returns the number of requests that went wrong."""
    topology.prepare_for(mode)
    if "client_address" in MODES[mode]:
        topology.attach_toa()
    apply_services(topology, MODES[mode])
    print("Requests from the client's curl:\n")
    failures = 0
    for address, client in ((network.VIP_IPV4, network.CLIENT_IPV4),
                            (network.VIP_IPV6, network.CLIENT_IPV6)):
        for number in range(2 * len(topology.backends)):
            failures += not request_came_back_right(topology, address, client, number)
    print_tables(topology, "service list", "backend list", "session list", "stats")
    print(f"\n{failures} of {4 * len(topology.backends)} requests went wrong")
    return failures


def show_outbound(topology):
    """The same for hosts behind the box and a server before it."""
    topology.prepare_for(OUTBOUND)
    text = services.state(gateways=[services.gateway(
        "office", INSIDE_PREFIXES, (network.OUTSIDE_IPV4, network.OUTSIDE_IPV6))])
    path = topology.box.apply(text)
    print(f"$ steelyardctl apply -f {path}\n{text}\nRequests from the backends' curl:\n")
    failures = 0
    with topology.server_in(topology.client, "outside", network.CLIENT_IPV4,
                            network.CLIENT_IPV6) as server:
        for host in topology.backends:
            for address, outside in ((server.ipv4, network.OUTSIDE_IPV4),
                                     (server.ipv6, network.OUTSIDE_IPV6)):
                failures += not outbound_request_came_right(server, host, address, outside)
    print_tables(topology, "gateway list", "session list", "stats")
    print(f"\n{failures} of {2 * len(topology.backends)} requests went wrong")
    return failures


def print_tables(topology, *commands):
    for command in commands:
        print(f"\n$ steelyardctl {command}\n{topology.box.ctl(*command.split()).stdout.rstrip()}")


def outbound_request_came_right(server, host, address, outside):
    request = f"demo-{host.name}-{address}"
    url = f"http://{f'[{address}]' if ':' in address else address}/?{request}"
    result = host.namespace.run(["curl", "-sS", "--globoff", "--fail", "--max-time", "5", url],
                                check=False)
    if result.returncode != 0:
        print(f"  {host.name} to {url}  FAILED: {result.stderr.strip()}")
        return False
    logged = server.logged_address(request)
    verdict = "ok" if logged == outside else f"WRONG, the outside address is {outside}"
    print(f"  {host.name} to {url}  the server's nginx logged {logged}  {verdict}")
    return logged == outside


def apply_services(topology, settings):
    text = services.state(
        services.service("web", network.VIP_IPV4, [b.ipv4 for b in topology.backends],
                         **settings, health_check=services.HTTP_CHECK),
        services.service("web6", network.VIP_IPV6, [b.ipv6 for b in topology.backends],
                         **settings, health_check=services.HTTP_CHECK))
    path = topology.box.apply(text)
    print(f"$ steelyardctl apply -f {path}\n{text}")
    wait_until(topology.box.all_backends_up,
               lambda: "the health checks find every backend up:\n"
                       + topology.box.ctl("backend", "list").stdout, timeout_s=30)


def request_came_back_right(topology, address, client, number):
    request = f"demo-{address}-{number}"
    host = f"[{address}]" if ":" in address else address
    result = topology.client.run(
        ["curl", "-sS", "--globoff", "--max-time", "5", f"http://{host}/?{request}"], check=False)
    name = result.stdout.split(" ")[0]
    backend = next((b for b in topology.backends if b.name == name), None)
    if result.returncode != 0 or backend is None:
        print(f"  http://{host}/  FAILED: {result.stderr.strip() or result.stdout.strip()}")
        return False
    logged = backend.logged_address(request)
    verdict = "ok" if logged == client else f"WRONG, the client is {client}"
    print(f"  http://{host}/  answered by {name}, whose nginx logged {logged}  {verdict}")
    return logged == client


def print_look_around(topology):
    box = topology.box
    print(f"""
Left running. To look around:
  ip netns exec {topology.client.name} curl http://{network.VIP_IPV4}/
  ip netns exec {topology.client.name} curl -g 'http://[{network.VIP_IPV6}]/'
  ip netns exec {box.namespace.name} ip address
  ip netns exec {box.namespace.name} curl http://127.0.0.1:9464/metrics
  ip netns exec {topology.backends[0].namespace.name} tcpdump -ni eth0
  export STEELYARD_SOCKET={box.api_socket}
  {box.ctl_program} session list
  {box.ctl_program} apply -f {box.directory}/services.yaml
  ls {topology.directory}    # the programs' configuration and output
To end it:
  {REPOSITORY}/conf/demo/run --end {os.getpid()}""")


if __name__ == "__main__":
    sys.exit(main())
