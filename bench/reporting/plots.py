# SPDX-License-Identifier: Apache-2.0
"""The plots: a function each, which draws what there is of its figures. To be told apart without
colours, too. To add one: a row in PLOTS."""

import dataclasses
import typing

import matplotlib

matplotlib.use("Agg")
# pylint: disable=wrong-import-position
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

DOTS_PER_INCH = 120
PANEL_INCHES = (5.2, 4.8)
MODES = ("full_nat", "dnat", "tunnel", "direct")
PERCENTILES = (50, 90, 99, 99.9)
OURS = {"color": "black", "linestyle": "-", "marker": "o", "linewidth": 2.2}
OTHERS = ({"color": "tab:blue", "linestyle": "--", "marker": "s"},
          {"color": "tab:orange", "linestyle": "-.", "marker": "^"},
          {"color": "tab:green", "linestyle": ":", "marker": "D"},
          {"color": "tab:red", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"})
MEASURED_BESIDE = {"color": "gray", "linestyle": ":", "marker": "x"}


def draw(results, directory):
    """Returns the file names of those that there are figures for."""
    drawn = []
    for plot in PLOTS:
        figure = plot.draw(results)
        if figure:
            figure.savefig(directory / f"{plot.name}.png", dpi=DOTS_PER_INCH)
            pyplot.close(figure)
            drawn.append(plot.name)
    return drawn


# --- what all have in common ---------------------------------------------------------------------


def panels(count):
    width, height = PANEL_INCHES
    figure, axes = pyplot.subplots(1, count, figsize=(width * count, height), squeeze=False,
                                   layout="constrained")
    return figure, axes[0]


def line(axes, points, label, style):
    """points: pairs, in any order."""
    if points:
        axes.plot(*zip(*sorted(points)), label=label, fillstyle="none", **style)


def finish(axes, title, across, up):
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(color="0.85")
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(with_unit_prefix))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2, fontsize="small",
                handlelength=3.5)


def with_unit_prefix(value, _position=None):
    for factor, prefix in ((1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:g}{prefix}"
    return f"{value:g}"


def logarithmic(axes, values, label=with_unit_prefix):
    """Across, with a tick at each of the values."""
    axes.set_xscale("log")
    axes.set_xticks([], minor=True)
    axes.set_xticks(sorted(values), map(label, sorted(values)))


def styles_of_programs(rows):
    """Ours comes last and is drawn over the others."""
    others = dict.fromkeys(row["program"] for row in rows if row["program"] != "steelyard")
    return dict(zip(others, OTHERS)) | {"steelyard": OURS}


def lines_of_programs(axes, rows, across, figure_of):
    for program, style in styles_of_programs(rows).items():
        line(axes, [(row[across], figure_of(row)) for row in rows if row["program"] == program],
             program, style)


def throughput(rows, across, label, scale):
    """Without the generator's part."""
    if not rows:
        return None
    figure, (rate, cost) = panels(2)
    rate.set_yscale("log")
    for axes, figure_of, title, unit in (
            (rate, lambda row: 1e3 / row["net_ns"], "Throughput", "Mpps a core (logarithmic)"),
            (cost, lambda row: row["net_ns"], "Cost", "ns a packet")):
        lines_of_programs(axes, rows, across, figure_of)
        scale(axes, {row[across] for row in rows})
        finish(axes, f"{title}, generator subtracted", label, unit)
    return figure


# --- the plots -----------------------------------------------------------------------------------


def throughput_by_sessions(results):
    return throughput(results.rows("run_flows"), "flows", "flows (logarithmic)", logarithmic)


def throughput_by_frame_size(results):
    rows = [row for name in results.measured if name.startswith("run_") and name.endswith("_bytes")
            for row in results.rows(name)]
    return throughput(rows, "frame_bytes", "frame, bytes (logarithmic)",
                      lambda axes, sizes: logarithmic(axes, sizes, str))


def throughput_by_workers(results):
    return throughput(results.rows("run_workers"), "workers", "workers",
                      lambda axes, counts: axes.set_xticks(sorted(counts)))


def set_up(results):
    rows = results.rows("run_flows")
    if not rows:
        return None
    figure, (axes,) = panels(1)
    lines_of_programs(axes, rows, "flows", lambda row: 1e9 / row["set_up_ns"])
    logarithmic(axes, {row["flows"] for row in rows})
    axes.set_yscale("log")
    finish(axes, "Flows set up, generator subtracted", "flows (logarithmic)",
           "a second and core (logarithmic)")
    return figure


def latency(results):
    drivers = list(dict.fromkeys(row["port_driver"] for row in results.rows("veth")))
    if not drivers:
        return None
    figure, all_axes = panels(len(drivers))
    for axes, driver in zip(all_axes, drivers):
        for what, dash in (("round trip", "-"), ("under load", "--")):
            for program, style in (("testpmd_io", OTHERS[0]), ("steelyard", OURS)):
                points = [(index, row[program]) for index, percent in enumerate(PERCENTILES)
                          for row in results.rows("veth", port_driver=driver,
                                                  measure=f"{what}, {percent}%")]
                line(axes, points, f"{program.replace('_', ' ')}, {what}",
                     style | {"linestyle": dash})
        axes.set_xticks(range(len(PERCENTILES)), [f"{percent}%" for percent in PERCENTILES])
        axes.set_yscale("log")
        finish(axes, f"Round trips, {driver} on veth", "percentile", "µs (logarithmic)")
    return figure


def port_choice(results):
    if not results.rows("local_port_bench"):
        return None
    figure, (axes,) = panels(1)
    for family, style in (("ipv4", OURS), ("ipv6", OTHERS[0])):
        rows = [(int(row["case"].rpartition(":")[2]), row)
                for row in results.rows("local_port_bench") if f"/{family}/" in row["case"]]
        label = family.replace("ip", "IP")
        line(axes, [(percent, row["ns_per_choice"]) for percent, row in rows], label, style)
        line(axes, [(percent, row["ns_at_1_percent"]) for percent, row in rows],
             f"{label}, at 1% by turns", MEASURED_BESIDE | {"marker": style["marker"]})
    finish(axes, "Choice of a local port", "ports taken, %", "ns a choice")
    return figure


def pipeline(results):
    lines = {}
    for row in results.rows("pipeline_bench"):
        case, sessions = row["case"].split("/")[1:]
        lines.setdefault(case, []).append((int(sessions), row))
    families = [family for family in ("ipv4", "ipv6") if f"full_nat_{family}" in lines]
    if not families:
        return None
    figure, all_axes = panels(len(families))
    for axes, family in zip(all_axes, families):
        for mode, style in zip(MODES, (OURS, *OTHERS)):
            line(axes, [(sessions, row["ns_per_packet"])
                        for sessions, row in lines.get(f"{mode}_{family}", [])],
                 mode.replace("_", " "), style)
        beside = lines[f"full_nat_{family}"]
        line(axes, [(sessions, row["ns_per_line"]) for sessions, row in beside], "a random line",
             MEASURED_BESIDE)
        logarithmic(axes, {sessions for sessions, _ in beside})
        finish(axes, f"Pipeline in memory, {family.replace('ip', 'IP')}", "sessions (logarithmic)",
               "ns a packet")
    return figure


@dataclasses.dataclass(frozen=True)
class Plot:
    """draw returns a figure, or None if nothing of it was measured."""

    name: str
    title: str
    text: str
    draw: typing.Callable


PLOTS = (
    Plot("throughput_by_sessions", "Throughput against sessions",
         "`wire/run`: full NAT of 64-byte frames, both directions at random, on one core. testpmd's modes "
         "keep no sessions.", throughput_by_sessions),
    Plot("throughput_by_frame_size", "Throughput against frame size",
         "The same by the size of the frames. These ports copy nothing, so what the size costs is what "
         "the programs themselves read.", throughput_by_frame_size),
    Plot("throughput_by_workers", "Throughput against workers", "", throughput_by_workers),
    Plot("set_up", "Set-up of flows",
         "`wire/run`: four packets each of TCP. testpmd only forwards them; that is the most there could "
         "be on this port.", set_up),
    Plot("latency", "Latency",
         "`wire/veth`: round trips of a small UDP datagram between two network namespaces, alone and "
         "beside a load of UDP.", latency),
    Plot("port_choice", "Choice of a local port",
         "`core/local_port_bench`, and beside each the same where 1% are taken, by turns.", port_choice),
    Plot("pipeline", "Pipeline in memory",
         "`core/pipeline_bench`, without ports. A random line is one cache line out of as much memory, "
         "fetched in batches of 32.", pipeline),
)
