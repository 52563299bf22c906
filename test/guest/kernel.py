# SPDX-License-Identifier: Apache-2.0
"""The guest's kernel: Debian's, as conf/install-packages unpacked it, and its modules."""

import pathlib

from topology.shell import run

_ROOT = pathlib.Path("/var/cache/steelyard/linux-image-cloud-amd64")


class Kernel:
    """image: its file. modules_with_needs() finds modules."""

    def __init__(self):
        images = sorted(_ROOT.glob("boot/vmlinuz-*"))
        if not images:
            raise FileNotFoundError(f"no kernel in {_ROOT}: run conf/install-packages")
        self.image = images[-1]
        self.version = self.image.name.removeprefix("vmlinuz-")
        self.folder = next(path for path in (_ROOT / "lib/modules" / self.version,
                                             _ROOT / "usr/lib/modules" / self.version)
                           if path.is_dir())

    def modules_with_needs(self, names):
        """{module: [what it needs]} as paths below folder, for these modules and all they need."""
        base = self.folder.parents[2]
        lines = run(["busybox", "depmod", "-n", "-b", base, self.version]).stdout.splitlines()
        needs = {}
        for line in lines:
            module, colon, rest = line.partition(":")
            if colon and module.endswith(".ko"):
                needs[module] = rest.split()
        by_name = {pathlib.Path(path).stem.replace("-", "_"): path for path in needs}
        found = {}
        waiting = [by_name[name.replace("-", "_")] for name in names]
        while waiting:
            module = waiting.pop()
            if module not in found:
                found[module] = needs[module]
                waiting += needs[module]
        return found
