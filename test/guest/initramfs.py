# SPDX-License-Identifier: Apache-2.0
"""Builds the guest's root file system: busybox, programs with the libraries they need, DPDK's
drivers, kernel modules."""

import os
import pathlib
import re

from topology.shell import run

_INIT = pathlib.Path(__file__).with_name("init")
_LIBRARIES = pathlib.Path("/usr/lib/x86_64-linux-gnu")
# What DPDK loads at its start; the others are not used in a guest.
_DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_virtio")
MODULES = ("tun", "vfio-pci", "vfio_iommu_type1", "virtio_pci", "virtio_net", "ipip", "sit",
           "ip6_tunnel", "fou", "fou6")
_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64",
            "usr/sbin")
_MERGED = ("bin", "lib", "lib64", "sbin")


class Archive:
    """A cpio archive in the "newc" format (Linux, Documentation/driver-api/early-userspace)."""

    def __init__(self):
        self._parts = []
        self._names = set()

    def add_file(self, name, content, mode=0o755):
        self._add(name, 0o100000 | mode, content)

    def add_link(self, name, target):
        self._add(name, 0o120777, str(target).encode())

    def add_folder(self, name):
        self._add(name, 0o040755, b"")

    def write(self, path):
        self._add("TRAILER!!!", 0, b"")
        with open(path, "wb") as file:
            file.writelines(self._parts)

    def _add(self, name, mode, content):
        name = str(name).strip("/")
        if name in self._names:
            return
        parent = os.path.dirname(name)
        if parent:
            self.add_folder(parent)
        self._names.add(name)
        encoded = name.encode() + b"\0"
        fields = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        for part in (header, content):
            self._parts += [part, b"\0" * (-len(part) % 4)]


def build_initramfs(path, kernel, programs):
    """programs: files of this machine, which come to /usr/bin of the guest."""
    archive = Archive()
    for folder in _FOLDERS:
        archive.add_folder(folder)
    for folder in _MERGED:
        archive.add_link(folder, f"usr/{folder}")
    archive.add_link("var/run", "/run")
    archive.add_file("init", _INIT.read_bytes())
    # busybox's own shell takes its applets before what PATH has, such as the real `ip`.
    archive.add_file("usr/bin/sh", pathlib.Path("/bin/dash").read_bytes())
    _add_libraries_of(archive, pathlib.Path("/bin/dash"))
    _add_programs(archive, programs)
    _add_drivers(archive)
    _add_busybox(archive)
    _add_modules(archive, kernel)
    archive.write(path)


def _add_programs(archive, programs):
    for program in programs:
        archive.add_file(f"usr/bin/{program.name}", program.read_bytes())
        _add_libraries_of(archive, program)


def _add_libraries_of(archive, file):
    for library in re.findall(r"(/\S+) \(0x", run(["ldd", file]).stdout):
        library = pathlib.Path(library)
        archive.add_file(library.parent.resolve() / library.name, library.read_bytes())


def _add_drivers(archive):
    """In the folder where DPDK looks, a driver is a link to the library that others need too: as
    two files it would be loaded twice, and its bus registered twice."""
    folder = next((_LIBRARIES / "dpdk").glob("pmds-*"))
    for name in _DRIVERS:
        library = next(_LIBRARIES.glob(f"librte_{name}.so.[0-9][0-9]"))
        archive.add_file(library, library.read_bytes())
        archive.add_link(folder / f"{library.name}.0", library)
        _add_libraries_of(archive, library)


def _add_busybox(archive):
    busybox = pathlib.Path("/bin/busybox")
    archive.add_file("usr/bin/busybox", busybox.read_bytes())
    # A name that is taken stays with the program that has it.
    for applet in run([busybox, "--list"]).stdout.split():
        archive.add_link(f"usr/bin/{applet}", "busybox")


def _add_modules(archive, kernel):
    folder = pathlib.Path("usr/lib/modules") / kernel.version
    modules = kernel.modules_with_needs(MODULES)
    for module in modules:
        archive.add_file(folder / module, (kernel.folder / module).read_bytes())
    lines = [f"{module}: {' '.join(needs)}\n" for module, needs in modules.items()]
    archive.add_file(folder / "modules.dep", "".join(lines).encode())
