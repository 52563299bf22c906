# SPDX-License-Identifier: Apache-2.0
"""Control groups (version 2) that backends run in, so that steelyard-toa can be attached to one."""

import pathlib

from .shell import wait_until


def cgroup_root():
    """Where cgroup v2 is mounted: beside version 1 on some machines, alone on others."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind == "cgroup2":
            return pathlib.Path(mount_point)
    raise RuntimeError("no cgroup v2 is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


def enter_cgroup(path, argv):
    """The argv that runs argv inside the control group."""
    return ["/bin/sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(path), *argv]


def remove_cgroup(path):
    """Removes it with its children; a process that just ended may hold it for a moment."""
    if not path.is_dir():
        return
    for child in sorted(path.iterdir()):
        if child.is_dir():
            remove_cgroup(child)

    def removed():
        try:
            path.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    wait_until(removed, f"control group {path} is empty")


def processes(path):
    """The ids of the processes inside it and its children."""
    if not path.is_dir():
        return []
    return [int(line) for procs in path.rglob("cgroup.procs")
            for line in procs.read_text().split()]
