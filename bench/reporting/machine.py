# SPDX-License-Identifier: Apache-2.0
"""What was measured on."""

import datetime
import json
import os
import pathlib
import subprocess

OF_LSCPU = {"processor": "Model name", "hypervisor": "Hypervisor vendor", "cores": "CPU(s)",
            "threads a core": "Thread(s) per core", "NUMA nodes": "NUMA node(s)",
            "L1 data cache": "L1d cache", "L2 cache": "L2 cache", "L3 cache": "L3 cache"}
BUILD_OPTIONS = ("buildtype", "optimization", "b_lto")
MEMINFO = pathlib.Path("/proc/meminfo")
TRANSPARENT_HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


def describe(root, build):
    """{what: text}, in the order in which it is to be read."""
    git = ["git", "-C", root]
    lscpu = fields(said(["env", "LC_ALL=C", "lscpu"]))
    meminfo = fields(MEMINFO.read_text())
    changed = said([*git, "status", "--porcelain"])
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": said([*git, "rev-parse", "HEAD"]) + (", and changes" if changed else ""),
        **{what: lscpu.get(name, "none") for what, name in OF_LSCPU.items()},
        "memory": meminfo["MemTotal"],
        "huge pages": f"of {meminfo['Hugepagesize']}, {meminfo['HugePages_Total']} before; "
                      f"transparent: {TRANSPARENT_HUGE_PAGES.read_text().strip()}",
        "kernel": f"Linux {os.uname().release}",
        "compiler": said(["c++", "--version"]).partition("\n")[0],
        "build": build_options(build),
        "DPDK": said(["pkg-config", "--modversion", "libdpdk"]),
        "load at the beginning": load(),
    }


def load():
    return f"{os.getloadavg()[0]:.2f}"


def build_options(build):
    path = build / "meson-info" / "intro-buildoptions.json"
    if not path.exists():
        return "unknown"
    values = {option["name"]: option["value"] for option in json.loads(path.read_text())}
    return ", ".join(f"{name}={values[name]}" for name in BUILD_OPTIONS)


def fields(text):
    """Of lines like "name: value"."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def said(command):
    """Nothing, where a command is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
