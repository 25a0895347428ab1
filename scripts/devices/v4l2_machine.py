"""A small virtual machine with real video devices, for hosts that cannot load kernel modules.

Debian's own kernel boots in QEMU without KVM (software emulation, about a hundredth of the host's speed). The host's
files are the guest's, read-only below a memory overlay, so that the very same Python environment runs there. Nothing is
installed: kernel, headers and v4l2loopback are fetched with `apt-get download` into a cache folder and unpacked there.

    /dev/video10  "Livehead Avatar", v4l2loopback: what a virtual camera writes to and a program reads from
    /dev/video20  vivid, the kernel's test webcam: unbinding it is an unplugging
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST_PACKAGES = "qemu-system-x86 busybox-static kmod cpio gcc make apt"
_PROGRAMS = ("qemu-system-x86_64", "busybox", "depmod", "cpio", "make", "gcc", "apt-get", "apt-cache", "dpkg")
_REPORT_PREFIX = "livehead-report "
_BOOT_MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
_DEVICE_MODULES = {
    "v4l2loopback": "video_nr=10 exclusive_caps=1 'card_label=\"Livehead Avatar\"'",
    "vivid": "n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0 vid_cap_nr=20 no_error_inj=1",
}
_INIT_SCRIPT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
{load}
mount -t tmpfs tmpfs /over; mkdir /over/up /over/work
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 hostroot /lower || poweroff -f
mount -t overlay -o lowerdir=/lower,upperdir=/over/up,workdir=/over/work overlay /new || poweroff -f
for folder in proc sys dev; do mount --move /$folder /new/$folder; done
mkdir -p /new/dev/shm; mount -t tmpfs tmpfs /new/dev/shm; mount -t tmpfs tmpfs /new/tmp; mount -t tmpfs tmpfs /new/run
ip link set lo up
export HOME=/tmp PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1
chroot /new {command}
poweroff -f
"""


class MachineError(Exception):
    """The machine cannot be built, or ended without a report."""


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A kernel and where its unpacked modules are."""

    release: str
    root: Path
    folder: Path


def missing_programs() -> list[str]:
    """Programs that this host lacks."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [program for program in _PROGRAMS if shutil.which(program, path=path) is None]


def build_machine(folder: Path) -> VirtualMachine:
    """Fetch and unpack Debian's current kernel into ``folder`` and compile v4l2loopback for it; quick the second time.

    Raises: MachineError.
    """
    image = _find_dependency("linux-image-amd64", r"linux-image-.*-amd64")
    release = image.removeprefix("linux-image-")
    headers = f"linux-headers-{release}"
    packages = [image, headers, "v4l2loopback-dkms"]
    packages += [_find_dependency(headers, r"linux-headers-.*-common"), _find_dependency(headers, r"linux-kbuild-.*")]
    machine = VirtualMachine(release, folder / release / "root", folder / release)
    if (machine.folder / "ready").exists():
        return machine
    shutil.rmtree(machine.folder, ignore_errors=True)
    machine.root.mkdir(parents=True)
    _run_command("apt-get", "download", *packages, cwd=machine.folder)
    for package in sorted(machine.folder.glob("*.deb")):
        _run_command("dpkg", "-x", str(package), str(machine.root))
        package.unlink()
    _compile_loopback(machine)
    _run_command("depmod", "-b", str(machine.root), release)
    (machine.folder / "ready").touch()
    return machine


def run_machine(machine: VirtualMachine, command: str, timeout_s: float) -> dict[str, Any]:
    """Boot, run ``command`` as root in a copy-on-write view of the host, and return what it gave to ``report``.

    The console is kept in ``console.log`` beside the kernel. Raises: MachineError.
    """
    initrd = _build_initrd(machine, command)
    qemu = [
        "qemu-system-x86_64",
        "-machine",
        "q35",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        "4G",
    ]
    qemu += ["-kernel", str(machine.root / f"boot/vmlinuz-{machine.release}"), "-initrd", str(initrd)]
    qemu += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr"]
    qemu += ["-nographic", "-no-reboot", "-nic", "none"]
    share = "local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap"
    console = machine.folder / "console.log"
    with console.open("wb") as log:
        try:
            subprocess.run(
                [*qemu, "-virtfs", share],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"the machine did not end in {timeout_s:.0f} s: see {console}") from None
    for line in console.read_text(errors="replace").splitlines():
        if line.startswith(_REPORT_PREFIX):
            report: dict[str, Any] = json.loads(line.removeprefix(_REPORT_PREFIX))
            return report
    raise MachineError(f"the machine ended without a report: see {console}")


def report_results(results: dict[str, Any]) -> None:
    """In the guest: hand ``results`` to the host, through the console."""
    sys.stdout.write(f"\n{_REPORT_PREFIX}{json.dumps(results)}\n")
    sys.stdout.flush()


def _run_command(*command: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise MachineError(f"{' '.join(command[:3])} failed: {' '.join(last)}")
    return done.stdout


def _find_dependency(package: str, pattern: str) -> str:
    """The package matching ``pattern`` that ``package`` depends on: names carry versions that move with updates."""
    found = re.search(rf"Depends: ({pattern})$", _run_command("apt-cache", "depends", package), re.MULTILINE)
    if found is None:
        raise MachineError(f"apt knows no {package}: run `sudo apt-get update` on Debian")
    return found.group(1)


def _compile_loopback(machine: VirtualMachine) -> None:
    source = machine.root / "usr/src"
    headers = source / f"linux-headers-{machine.release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace("/usr/src/", f"{source}/"))  # the headers are not installed
    module = next(source.glob("v4l2loopback-*"))
    _run_command("make", "-C", str(headers), f"M={module}", "modules")
    extra = machine.root / f"lib/modules/{machine.release}/extra"
    extra.mkdir()
    shutil.copy(module / "v4l2loopback.ko", extra)


def _build_initrd(machine: VirtualMachine, command: str) -> Path:
    """A first root with busybox, the modules in the order of loading, and a script that enters the host's files."""
    tree = machine.folder / "initrd"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in ("bin", "modules", "proc", "sys", "dev", "lower", "over", "new"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(str(shutil.which("busybox")), tree / "bin/busybox")
    lines = []
    for path, parameters in _module_load_order(machine):
        shutil.copy(path, tree / "modules")
        lines.append(f"insmod /modules/{path.name} {parameters}".strip())
    init = tree / "init"
    init.write_text(_INIT_SCRIPT.format(load="\n".join(lines), command=command))
    init.chmod(0o755)
    names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(), capture_output=True, check=True
    )
    initrd = machine.folder / "initrd.gz"
    initrd.write_bytes(gzip.compress(packed.stdout, 1))
    return initrd


def _module_load_order(machine: VirtualMachine) -> list[tuple[Path, str]]:
    """Module files in the order of loading, each with its parameters."""
    folder = machine.root / f"lib/modules/{machine.release}"
    needs: dict[str, list[str]] = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        needs[Path(path).stem] = [*reversed(needed.split()), path]
    ordered: dict[str, str] = {}
    for name in (*_BOOT_MODULES, *_DEVICE_MODULES):
        for path in needs[name]:
            ordered.setdefault(path, _DEVICE_MODULES.get(Path(path).stem, ""))
    return [(folder / path, parameters) for path, parameters in ordered.items()]
