# SPDX-License-Identifier: Apache-2.0
"""What a DPDK program does, counted from outside (bench/wire/watch.cc)."""

import json


class Watch:
    """Of a program that has the plugin loaded and runs in this environment."""

    def __init__(self, directory, build_dir):
        self.plugin = build_dir / "bench" / "wire" / "libsteelyard-watch.so"
        self._figures = directory / "watch.json"

    def environment(self):
        return ["env", f"STEELYARD_WATCH={self._figures}"]

    def read(self):
        """The figures of this moment; None before the first."""
        try:
            return json.loads(self._figures.read_text())
        except FileNotFoundError:
            return None
