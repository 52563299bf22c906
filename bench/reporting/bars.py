# SPDX-License-Identifier: Apache-2.0
"""What the product is held to, and where the figure is that says whether it is. To change a bar, or to
add one: a row in BARS."""

import dataclasses
import typing

from .results import NotMeasured

M = 1_000_000
TCP_THROUGHPUT = [f"TCP, {streams} {direction}" for streams in ("1 stream", "8 streams")
                  for direction in ("to backend", "to client")]
WEIGHT_CHANGES = ("weight changed", "weight changed back")


@dataclasses.dataclass(frozen=True)
class Bar:
    """measured and yardstick are functions of the results, and raise NotMeasured. The yardstick's
    says what it was beside, in the same run."""

    what: str
    sign: str  # ≤ or ≥
    bar: float
    unit: str
    measured: typing.Callable
    yardstick: typing.Callable = lambda results: ""

    def judge(self, results):
        """Returns the figure, or None, the yardstick, and met, missed or not measured."""
        try:
            figure = self.measured(results)
            yardstick = self.yardstick(results)
        except NotMeasured:
            return None, "", "not measured"
        is_met = figure <= self.bar if self.sign == "≤" else figure >= self.bar
        return figure, yardstick, "met" if is_met else "**missed**"


# --- functions of the results --------------------------------------------------------------------


def pipeline(mode, sessions, key="ns_per_packet"):
    return lambda results: results.value("pipeline_bench", key,
                                         case=f"SteadyState/{mode}/{sessions}")


def line_beside(name, case):
    return lambda results: (f"random line {results.value(name, 'ns_per_line', case=case):.1f} ns: "
                            f"{results.value(name, 'ratio', case=case):.1f} ×")


def pipeline_bar(what, bar, mode, sessions):
    return Bar(f"{what}, {sessions:,} sessions, in memory", "≤", bar, "ns a packet",
               pipeline(mode, sessions), line_beside("pipeline_bench",
                                                     f"SteadyState/{mode}/{sessions}"))


def set_up(services):
    return lambda results: results.value("session_setup_bench", "ns_all",
                                         case=f"SetUpAndTearDown/ipv4/services:{services}")


def port_choice(family, key):
    return lambda results: results.value("local_port_bench", key,
                                         case=f"ChoosePort/{family}/percent:90")


def port_choice_bar(family):
    key = port_choice(family, "ns_at_1_percent")
    return Bar(f"port choice at 90% occupancy, {family.replace('ip', 'IP')}", "≤", 3, "×",
               port_choice(family, "ratio"), lambda results: f"at 1%: {key(results):.0f} ns")


def end_to_end(name, key, program="steelyard"):
    return lambda results: results.value(name, key, program=program, flows=M, frame_bytes=64)


def beside_testpmd(what, share, name, mode, ns_key):
    testpmd_ns = end_to_end(name, ns_key, f"testpmd {mode}")
    return Bar(f"{what}, 1,000,000 flows, full NAT, beside testpmd {mode}", "≥", share, "×",
               end_to_end(name, f"times_{mode}"),
               lambda results: f"testpmd {mode}: {testpmd_ns(results):.1f} ns a packet")


def worst_of_af_xdp(results):
    return min(ratio for measure in TCP_THROUGHPUT for ratio in
               results.values("veth", "ratio", port_driver="af_xdp", unit="Mbit/s", measure=measure))


def gap_growth_bar(what):
    def both(results):
        return [(results.value("changes", "changed_longest_us", change=f"{what} {done}"),
                 results.value("changes", "idle_longest_us", change=f"{what} {done}"))
                for done in ("added", "removed")]
    return Bar(f"{what} added or removed: longest poll gap, more than idle", "≤", 100, "µs",
               lambda results: max(changed - idle for changed, idle in both(results)),
               lambda results: f"idle: {max(idle for _, idle in both(results)):.0f} µs")


def listing_share(key):
    return lambda results: (results.value("changes", f"listing_{key}", sessions=M)
                            / results.value("changes", f"idle_{key}", sessions=M))


def whole_way(*changes):
    """Of changes among 10,000 services, from steelyardctl to the worker: the slowest of them."""
    return lambda results: max(results.value("changes_10000_services", "live_ms", change=change,
                                             services=10_000) for change in changes)


def lost_by_weights(results):
    lost = [row["changed_lost"] for row in results.all_rows("changes_10000_services")
            if row["change"] in WEIGHT_CHANGES and row["services"] == 10_000]
    if not lost:
        raise NotMeasured("changes of weights")
    return max(lost)


def configuration(case):
    """The slower of the schedulers."""
    return lambda results: max(
        results.value("configuration_bench", "elapsed_ms", case=f"{case}/{scheduler}")
        for scheduler in ("weighted_round_robin", "maglev"))


# --- the bars ------------------------------------------------------------------------------------

BARS = (
    pipeline_bar("full NAT, IPv4", 30, "full_nat_ipv4", 1000),
    pipeline_bar("full NAT, IPv4", 55, "full_nat_ipv4", M),
    Bar("the same, by the random line beside it", "≤", 4, "×", pipeline("full_nat_ipv4", M, "ratio")),
    Bar("the same with 10,000,000 sessions, by that with 1,000,000", "≤", 1.3, "×",
        lambda results: (pipeline("full_nat_ipv4", 10 * M)(results)
                         / pipeline("full_nat_ipv4", M)(results)),
        line_beside("pipeline_bench", f"SteadyState/full_nat_ipv4/{10 * M}")),
    pipeline_bar("tunnel, IPv4", 45, "tunnel_ipv4", M),
    pipeline_bar("direct, IPv4", 45, "direct_ipv4", M),
    pipeline_bar("full NAT, IPv6", 80, "full_nat_ipv6", M),
    Bar("session set-up and teardown, IPv4, 1,000,000 alive", "≤", 500, "ns", set_up(1),
        line_beside("session_setup_bench", "SetUpAndTearDown/ipv4/services:1")),
    Bar("the same with 5,000 services on one VIP's ports, by that with one", "≤", 1.1, "×",
        lambda results: set_up(5000)(results) / set_up(1)(results),
        line_beside("session_setup_bench", "SetUpAndTearDown/ipv4/services:5000")),
    port_choice_bar("ipv4"),
    port_choice_bar("ipv6"),
    *map(gap_growth_bar, ("local address", "service", "backend")),
    Bar("throughput while 1,000,000 sessions are listed, by that while not", "≥", 0.95, "×",
        listing_share("mpps"),
        lambda results: f"ns a packet by processor time: {listing_share('ns')(results):.2f} ×"),
    Bar("whole dataplane, generator port, 1,000,000 flows, full NAT", "≥", 12, "Mpps a core",
        lambda results: 1e3 / end_to_end("run_flows", "net_ns")(results),
        lambda results: ("subtracted: the generator's "
                         f"{end_to_end('run_flows', 'generator_ns')(results):.1f} ns a packet")),
    beside_testpmd("the same", 0.5, "run_flows", "5tswap", "net_ns"),
    beside_testpmd("net_pcap", 1, "trace", "csum", "ns"),
    beside_testpmd("net_pcap", 0.6, "trace", "5tswap", "ns"),
    Bar("af_xdp on veth, iperf3's TCP (the worst of 1 and 8 streams, both directions)", "≥", 0.9, "×",
        worst_of_af_xdp, lambda results: "testpmd io"),
    Bar("one weight changed among 10,000 services of 10 backends: until the worker has it", "≤", 10,
        "ms", configuration("ChangeOneWeight")),
    Bar("the same from steelyardctl on", "≤", 10, "ms",
        whole_way(*WEIGHT_CHANGES)),
    Bar("the same: packets lost", "≤", 0, "packets", lost_by_weights),
    Bar("10,000 services of 10 backends applied whole: until the worker has them", "≤", 5000, "ms",
        configuration("ApplyWhole")),
    Bar("the same from steelyardctl on", "≤", 5000, "ms", whole_way("whole, added")),
)

# Bars for which there is no benchmark, so that nobody takes the list above for all of them.
WITHOUT_BENCHMARK = (
    "memory a session, everything counted: at most 192 bytes with IPv4, 320 bytes with IPv6",
)
