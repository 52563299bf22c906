# SPDX-License-Identifier: Apache-2.0
"""What `bench/report measure` left in a folder, all of it as rows: dictionaries of one case each."""

import json
import re

# What Google Benchmark adds to a benchmark's name: how it was run, not what was measured.
RUN_SUFFIXES = re.compile(r"/(iterations:\d+|repeats:\d+|manual_time|real_time|process_time)")
GOOGLE_KEYS = {"name", "family_index", "per_family_instance_index", "run_name", "run_type",
               "repetitions", "repetition_index", "threads", "iterations", "real_time", "cpu_time",
               "time_unit"}


class NotMeasured(LookupError):
    """There is no such figure."""


class Results:
    """Rows are found by the name of their benchmark, and by what they have in them."""

    def __init__(self, directory):
        self.machine = _read(directory / "machine.json", {})
        self.outcomes = _read(directory / "measured.json", {})
        self._rows = {path.stem: _rows(_read(path, [])) for path in sorted(directory.glob("*.json"))
                      if path.name not in ("machine.json", "measured.json")}

    @property
    def failures(self):
        return {name: outcome for name, outcome in self.outcomes.items() if outcome["failure"]}

    @property
    def measured(self):
        return [name for name, rows in self._rows.items() if rows]

    def all_rows(self, name):
        return self._rows.get(name, [])

    def rows(self, name, **where):
        """Without those of programs that lost or spoilt packets: what these took says nothing."""
        return [row for row in self.all_rows(name) if not row.get("faults")
                and all(row.get(key) == value for key, value in where.items())]

    def values(self, name, key, **where):
        found = [row[key] for row in self.rows(name, **where) if key in row]
        if not found:
            raise NotMeasured(f"{name}: {key} of {where}")
        return found

    def value(self, name, key, **where):
        return self.values(name, key, **where)[0]


def _read(path, otherwise):
    """A benchmark that was stopped may have written half a file: it is among the failed ones."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return otherwise


def _rows(content):
    return content if isinstance(content, list) else list(map(_google_row, content["benchmarks"]))


def _google_row(told):
    counters = {key: value for key, value in told.items() if key not in GOOGLE_KEYS}
    time = {f"{told['time_unit']}_per_iteration": told["real_time"]} if not counters else {}
    return {"case": RUN_SUFFIXES.sub("", told["name"])} | counters | time
