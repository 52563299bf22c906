# SPDX-License-Identifier: Apache-2.0
"""What a run leaves in the machine, by name, and removing it.

Everything carries the id of the process that made it: namespaces sy<PID>-*, the folder
/tmp/steelyard-<PID> and /dev/shm/steelyard-<PID>, the control group steelyard-<PID>. So two runs never meet, and what a dead
one left behind can be told from what is in use.
"""

import os
import pathlib
import re
import shutil
import signal

from .cgroup import cgroup_root, processes, remove_cgroup
from .shell import TimedOut, run, wait_until

_KEEP_MARK = "keep"


def namespace_name(pid, node):
    return f"sy{pid}-{node}"


def run_directory(pid):
    return pathlib.Path(f"/tmp/steelyard-{pid}")


def run_memory(pid):
    """Where the box's sessions outlive its dataplane."""
    return pathlib.Path(f"/dev/shm/steelyard-{pid}")


def run_cgroup(pid):
    return cgroup_root() / f"steelyard-{pid}"


def mark_kept(pid):
    """The run stays although its process ends, until remove_kept()."""
    (run_directory(pid) / _KEEP_MARK).touch()


def remove_kept(only=None):
    """Removes every kept run, or the one of process `only`; returns their process ids."""
    kept = [pid for pid in _known_runs() if _is_kept(pid) and only in (None, pid)]
    for pid in kept:
        remove_run(pid)
    return kept


def sweep_leftovers():
    """Removes what runs left whose process is dead, except kept ones."""
    for pid in _known_runs():
        if not _is_kept(pid) and not pathlib.Path(f"/proc/{pid}").exists():
            remove_run(pid)


def remove_run(pid):
    """Ends the processes of a run and removes all it made. Does nothing twice."""
    namespaces = [name for name in _namespaces() if name.startswith(namespace_name(pid, ""))]
    cgroup = run_cgroup(pid)
    inside = set(processes(cgroup))
    for name in namespaces:
        inside.update(int(word) for word in
                      run(["ip", "netns", "pids", name], check=False).stdout.split())
    _end(inside - {os.getpid()})
    for name in namespaces:
        run(["ip", "netns", "delete", name], check=False)
    remove_cgroup(cgroup)
    shutil.rmtree(run_memory(pid), ignore_errors=True)
    shutil.rmtree(run_directory(pid), ignore_errors=True)


def _end(pids):
    for number, timeout_s in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
        alive = [pid for pid in pids if _signal(pid, number)]
        try:
            wait_until(lambda: not any(_signal(pid, 0) for pid in alive), "processes end",
                       timeout_s)
            return
        except TimedOut:
            if number == signal.SIGKILL:
                raise


def _signal(pid, number):
    """Whether the process was there (a zombie is not) to take the signal."""
    try:
        if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        os.kill(pid, number)
        return True
    except (FileNotFoundError, ProcessLookupError):
        return False


def _namespaces():
    return [line.split()[0] for line in run(["ip", "netns", "list"]).stdout.splitlines() if line]


def _known_runs():
    names = _namespaces() + [path.name for folder in (pathlib.Path("/tmp"), cgroup_root())
                             for path in folder.glob("steelyard-*")]
    found = (re.fullmatch(r"sy(\d+)-.*|steelyard-(\d+)", name) for name in names)
    return sorted({int(match[1] or match[2]) for match in found if match})


def _is_kept(pid):
    return (run_directory(pid) / _KEEP_MARK).exists()
