# SPDX-License-Identifier: Apache-2.0
"""README.md of a report."""

from . import plots
from .bars import BARS, WITHOUT_BENCHMARK
from .benchmarks import BENCHMARKS

INTRODUCTION = """\
Written by `bench/report`; [bench/README.md](../../README.md) says what each benchmark does. Figures are
medians. A figure and its yardstick were measured by turns in the same run: on a shared machine, others
change the bare figures, and the ratios are what counts.
"""
NO_WORKERS = """\
Not measured: throughput against workers. `wire/run` has one polling core, because its generator serves one
queue a port; it would have to serve several, and the machine to have a core for each worker beside that of
the main thread.
"""
FIGURES = """\
## Figures

`times_MODE` is the rate by that of testpmd's MODE, as veth's `ratio` is by testpmd's: more is better. Every
other `ratio` is a cost by that of the yardstick beside it: less is better. Rows with `faults` (packets lost
or spoilt) are left out of bars and plots.
"""
QUICK = "**Measured in a hurry, to see that it works: the commands below are shorter than the full ones.**\n"
# Said once for all, in a section of its own.
NOT_IN_TABLES = ("machine", "bench")


def write(results, directory):
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.png"):
        old.unlink()
    drawn = plots.draw(results, directory)
    sections = [f"<!-- SPDX-License-Identifier: Apache-2.0 -->\n# Benchmarks, {title(results)}",
                INTRODUCTION + (f"\n{QUICK}" if is_quick(results) else ""),
                "## Machine\n\n" + table(("what", "is"), results.machine.items()),
                failures(results), bars(results), *map_plots(drawn),
                "" if "throughput_by_workers" in drawn else NO_WORKERS,
                FIGURES, *figures(results), commands(results)]
    text = "\n\n".join(section.strip() for section in sections if section.strip())
    (directory / "README.md").write_text(text + "\n")


def title(results):
    date = results.machine.get("date", "undated").partition(" ")[0]
    return f"{date}, {results.machine.get('processor', 'unknown machine')}"


def is_quick(results):
    full = {benchmark.name: benchmark.shown(quick=False) for benchmark in BENCHMARKS}
    return any(outcome["command"] != full.get(name) for name, outcome in results.outcomes.items())


def failures(results):
    if not results.failures:
        return ""
    told = [f"`{outcome['command']}`: {outcome['failure']}"
            + (f"\n\n```\n{outcome['output']}\n```" if outcome["output"] else "")
            for outcome in results.failures.values()]
    return "## Failed\n\n" + "\n\n".join(told)


def bars(results):
    rows = []
    for bar in BARS:
        figure, yardstick, judgement = bar.judge(results)
        rows.append((bar.what, f"{bar.sign} {number(bar.bar)} {bar.unit}",
                     "" if figure is None else f"{number(figure)} {bar.unit}", yardstick, judgement))
    return ("## Bars\n\n" + table(("what", "bar", "measured", "yardstick", "judgement"), rows)
            + "\n\nNo benchmark measures: " + "; ".join(WITHOUT_BENCHMARK) + ".")


def map_plots(drawn):
    return [f"## {plot.title}\n\n{plot.text}\n\n![{plot.title}]({plot.name}.png)"
            for plot in plots.PLOTS if plot.name in drawn]


def figures(results):
    """A table of each benchmark, in the order in which they are run, and of others that are there."""
    names = [benchmark.name for benchmark in BENCHMARKS if benchmark.name in results.measured]
    names += [name for name in results.measured if name not in names]
    return [f"### {name}\n\n{rows_table(results.all_rows(name))}" for name in names]


def rows_table(rows):
    """What is the same in all rows is said above."""
    keys = [key for key in dict.fromkeys(key for row in rows for key in row)
            if key not in NOT_IN_TABLES]
    common = {key: rows[0].get(key) for key in keys
              if len(rows) > 1 and len({row.get(key) for row in rows}) == 1}
    told = ", ".join(f"{key} {value}" for key, value in common.items() if value != "")
    columns = [key for key in keys if key not in common]
    body = table(columns, ([number(row.get(key, "")) for key in columns] for row in rows))
    return f"{told}\n\n{body}" if told else body


def commands(results):
    rows = [(name, f"`{outcome['command']}`", f"{outcome['seconds']:.0f} s",
             outcome["failure"] or "done", outcome["commit"][:12])
            for name, outcome in results.outcomes.items()]
    return "## What was run\n\n" + table(("name", "command", "took", "ended", "commit"), rows)


def table(heading, rows):
    return "\n".join([line(heading), line(["---"] * len(heading)), *map(line, rows)])


def line(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def number(value):
    """With three digits that mean something. Text as it is."""
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else value
    if value and abs(value) < 0.001:
        return f"{value:.2e}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
