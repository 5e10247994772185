"""The changes after which the nodes of a lab run as QEMU virtual machines, or are removed."""

from __future__ import annotations

import fcntl
import io
import os
import platform
import re
import select
import struct
import subprocess
import tarfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.lab import machine
from ansible.module_utils.lab.files import PRIVATE, node_files
from ansible.module_utils.lab.network import carries
from ansible.module_utils.lab.nodes import controller_changes
from ansible.module_utils.lab.plan import DATA_INTERFACE, MANAGEMENT_INTERFACE, Lab, LabError, hardware_address
from ansible.module_utils.node.change import Change
from ansible.module_utils.node.files import read, write
from ansible.module_utils.node.process import end, processes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible.module_utils.lab.plan import Cable, Node

# By this machine's architecture: the machine type of QEMU, its serial console as the kernel calls it, and the CPU that
# TCG emulates. Without AVX: QEMU 7.2 emulates it so that numpy's sorting ends with a protection fault.
QEMUS = {
    "x86_64": ("q35", "ttyS0", "max,avx=off,avx2=off,fma=off,f16c=off"),
    "aarch64": ("virt", "ttyAMA0", "max"),
}
MACHINE, CONSOLE, EMULATED_CPU = QEMUS.get(platform.machine(), QEMUS["x86_64"])
QEMU = f"qemu-system-{platform.machine()}"
TOOLS = (QEMU, "ip", "nsenter", "qemu-img", "ssh", "ssh-keygen", "taskset")
# How far a kernel without a disk comes by itself, when its CPU works; a good one takes about a second.
PROBE_MARK = b"VFS: "
PROBE_WITHIN_S = 10.0
# When QEMU has opened the machine's files and interfaces it is this user, whom nothing on the machine belongs to, and can
# call only what it needs of the kernel: a guest that breaks out of the emulation has not broken into the machine. Deny
# `spawn` or `elevateprivileges` too, and QEMU ends as it puts itself into the background and changes to that user.
CONFINED = ("-sandbox", "on,obsolete=deny,resourcecontrol=deny", "-runas", "65533:65533")
PRIORITY = -10  # before what else this machine does: a link is as punctual as the CPU that serves its timer
TRANSLATED_MIB = 128  # what TCG keeps of translated code, and QEMU itself, beside a machine's memory
TAP_FD = 90  # always the same number: a running machine's command line is compared with the one it would get now
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x2, 0x1000, 0x4000  # linux/if_tun.h


@dataclass(frozen=True)
class Size:
    """How much of this machine a node gets."""

    memory_mib: int
    cores: int


@dataclass(frozen=True)
class Machines:
    """The nodes of a lab as virtual machines; `images` are the folders with the files that each starts from."""

    lab: Lab
    images: Mapping[str, Path]
    sizes: dict[str, Size]

    def disk(self, node: Node) -> Path:
        """What the node wrote, on top of the image."""
        return self.lab.home(node) / "disk.qcow2"

    def identity(self, node: Node) -> Path:
        """The archive of the node's own files, which it unpacks when it starts."""
        return self.lab.home(node) / "identity.tar"

    def base(self, node: Node) -> str:
        """Which disk the node's own lies on: one that was built again holds other blocks under the same name."""
        image = self.images[node.name]
        return f"{image.name} {(image / 'disk.raw').stat().st_mtime_ns}\n"

    def command(self, node: Node) -> list[str]:
        """The command that starts QEMU: without screen, monitor or listening sockets."""
        lab, size, image = self.lab, self.sizes[node.name], self.images[node.name]
        management, data = lab.cables(node)
        accelerator = lab.accelerator.split(":")[0]
        kernel = f"root=/dev/vda rw console={CONSOLE} quiet audit=0 panic=-1 systemd.hostname={node.name}"
        # What protects from flaws of a real CPU costs an emulated one, which does not have them. And its time stamp
        # counter is this machine's own: a watchdog that is late itself would make the node leave it for a slow clock.
        kernel += " mitigations=off tsc=reliable" if accelerator == "tcg" else ""
        return [
            *(QEMU, "-name", lab.namespace(node), "-daemonize", "-nodefaults", "-no-user-config", "-display", "none"),
            *CONFINED,
            *accelerated(accelerator),
            *("-smp", str(size.cores), "-m", str(size.memory_mib)),
            *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.img"), "-append", kernel),
            # Unsafe only if this machine loses power: then the lab is created again.
            *("-drive", f"file={self.disk(node)},format=qcow2,if=virtio,cache=unsafe"),
            *("-drive", f"file={self.identity(node)},format=raw,if=virtio,readonly=on"),
            *("-netdev", f"tap,id=management,fd={TAP_FD}", "-device", _card("management", management)),
            *("-netdev", f"tap,id=data,ifname={data.port},script=no,downscript=no", "-device", _card("data", data)),
            *("-serial", f"file:{lab.home(node)}/console.log"),
        ]


def accelerated(accelerator: str) -> list[str]:
    """The arguments by which QEMU runs the virtual CPUs."""
    if accelerator == "kvm":
        return ["-machine", MACHINE, "-accel", "kvm", "-cpu", "host"]
    return ["-machine", MACHINE, "-accel", f"tcg,thread=multi,tb-size={TRANSLATED_MIB}", "-cpu", EMULATED_CPU]


def choose(images: Iterable[Path], accelerator: str) -> str:
    """What runs the virtual CPUs: `kvm` or `tcg`, a colon and the reason.

    Args:
        images: hold the kernels that are tried.
        accelerator: `auto` tries KVM by starting the kernel on it; `kvm` and `tcg` are not tried.
    """
    if accelerator != "auto":
        return f"{accelerator}: set by lab_accelerator"
    if not Path("/dev/kvm").exists():
        return "tcg: this machine has no /dev/kvm"
    if all(_boots(image / "vmlinuz") for image in images):
        return "kvm: the nodes' kernel starts on it"
    return "tcg: there is a /dev/kvm, but the nodes' kernel does not start on it"


def _boots(kernel: Path) -> bool:
    command = [
        QEMU,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-no-reboot",
        *accelerated("kvm"),
        "-m",
        "256",
    ]
    command += ["-kernel", str(kernel), "-append", f"console={CONSOLE} panic=-1", "-serial", "stdio"]
    tried = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return _prints(tried, PROBE_MARK, time.monotonic() + PROBE_WITHIN_S)
    finally:
        tried.kill()
        tried.communicate()


def _prints(tried: subprocess.Popen[bytes], mark: bytes, until: float) -> bool:
    if tried.stdout is None:
        return False
    output = b""
    while (left := until - time.monotonic()) > 0 and select.select([tried.stdout], [], [], left)[0]:
        some = os.read(tried.stdout.fileno(), 4096)
        output += some
        if mark in output or not some:
            return mark in output
    return False


def running_machines(folder: Path) -> dict[str, tuple[int, list[str]]]:
    """The machines whose disks lie in a lab's folder: pid and command line, by the node's name.

    Nobody else starts QEMU on the lab's disks, so nobody else's process is ever among them.
    """
    running = {}
    disk = re.compile(rf"file={re.escape(str(folder))}/nodes/([^/]+)/disk\.qcow2,")
    for pid, entry in processes():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        if words and words[0] == QEMU:
            for name in (match[1] for word in words if (match := disk.match(word))):
                running[name] = (pid, words)
    return running


def vm_changes(machines: Machines, usable_cores: int) -> Iterator[Change]:
    """What is missing or different among keys, disks, files and machines."""
    lab, here = machines.lab, running_machines(machines.lab.folder)
    network = machine.network_of(lab.data_namespace)
    yield from controller_changes(lab, usable_cores)
    for node in lab.nodes:
        pid, words = here.get(node.name, (0, []))
        based = _based(machines, node)
        identified = _identified(machines, node)
        as_now = (
            words == machines.command(node)
            and based
            and identified
            and machine.network_of_process(pid) == network
            and all(carries(cable) for cable in lab.cables(node))
        )
        if pid and not as_now:
            yield Change(f"stop the virtual machine {node.name}", partial(end, [pid]))
        if not based:
            yield Change(f"create the disk of {node.name}", partial(_make_disk, machines, node))
        if not identified:
            yield Change(f"write the files of {node.name}", partial(_write_identity, machines, node))
        if not as_now:
            size = machines.sizes[node.name]
            where = f" on core {','.join(map(str, _pin(machines, node)))}" if _pin(machines, node) else ""
            cores = f"{size.cores} core{'s' * (size.cores > 1)}"
            yield Change(f"start {node.name} ({size.memory_mib} MiB, {cores}){where}", partial(_start, machines, node))


def vm_removal(folder: Path, names: Iterable[str]) -> Iterator[Change]:
    """The removal of virtual machines, whatever runs in them."""
    here = running_machines(folder)
    for name in sorted(set(names) & here.keys()):
        yield Change(f"stop the virtual machine {name}", partial(end, [here[name][0]]))


def check_memory(machines: Machines) -> None:
    """Refuse virtual machines that do not fit, before anything is created.

    Raises:
        LabError: how much they need, how much there is, and what to do.
    """
    here = running_machines(machines.lab.folder)
    missing = [size for name, size in machines.sizes.items() if name not in here]
    needed = sum(size.memory_mib + TRANSLATED_MIB for size in missing)
    entry = re.search(r"MemAvailable:\s+(\d+) kB", read(Path("/proc/meminfo")) or "")
    available = int(entry[1]) // 1024 if entry else needed
    if needed > available:
        raise LabError(
            f"{needed} MiB of memory required to start {len(missing)} virtual machines, {available} MiB available: "
            "set a smaller memory_mib for the hosts in the inventory, or remove hosts from it."
        )


def _card(name: str, cable: Cable) -> str:
    return f"virtio-net-pci,netdev={name},mac={hardware_address(cable.address)}"


def _pin(machines: Machines, node: Node) -> tuple[int, ...]:
    """The cores of this machine that a node keeps to: none if it has more virtual CPUs than cores."""
    return node.cores if machines.sizes[node.name].cores <= len(node.cores) else ()


def _marker(machines: Machines, node: Node) -> Path:
    return machines.lab.home(node) / "base"


def _based(machines: Machines, node: Node) -> bool:
    try:
        return machines.disk(node).exists() and read(_marker(machines, node)) == machines.base(node)
    except FileNotFoundError:  # the image comes when the changes are carried out
        return False


def _make_disk(machines: Machines, node: Node) -> None:
    machines.lab.home(node).mkdir(parents=True, mode=0o700, exist_ok=True)
    base = machines.images[node.name] / "disk.raw"
    machine.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(machines.disk(node))])
    write(_marker(machines, node), machines.base(node), 0o600, folder_mode=0o700)


def _identity(machines: Machines, node: Node) -> bytes:
    """The archive of the node's files, the same bytes for the same texts.

    Raises:
        FileNotFoundError: a key is not there yet.
    """
    lab = machines.lab
    files = {
        **{path: text() for path, text in node_files(lab, node).items()},
        "etc/hostname": f"{node.name}\n",
        "etc/faasbed/network": _network(lab, node),
    }
    for cable in lab.cables(node):
        match = f"[Match]\nMACAddress={hardware_address(cable.address)}\n[Link]\nName={cable.interface}\n"
        files[f"etc/systemd/network/10-{cable.interface}.link"] = match
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, text in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.mode = 0o600 if Path(path).name in PRIVATE else 0o644
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _network(lab: Lab, node: Node) -> str:
    """What `ip -batch` gives the node's interfaces when it starts."""
    lines = [f"address add {cable.address} dev {cable.interface}" for cable in lab.cables(node)]
    lines += [f"link set {interface} up" for interface in (MANAGEMENT_INTERFACE, DATA_INTERFACE)]
    lines += [f"route add default dev {DATA_INTERFACE}"] if lab.default_route else []
    return "\n".join((*lines, ""))


def _identified(machines: Machines, node: Node) -> bool:
    try:
        return machines.identity(node).read_bytes() == _identity(machines, node)
    except FileNotFoundError:
        return False


def _write_identity(machines: Machines, node: Node) -> None:
    write(machines.identity(node), _identity(machines, node), 0o600, folder_mode=0o700)


def _start(machines: Machines, node: Node) -> None:
    """Start QEMU inside the data network's namespace, where it cannot reach this machine's own network.

    The TAP of the management network is on the machine itself: QEMU gets it open.
    """
    lab = machines.lab
    management, _ = lab.cables(node)
    tap = os.open("/dev/net/tun", os.O_RDWR)
    try:
        request = struct.pack("16sH22x", management.port.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        try:
            fcntl.ioctl(tap, TUNSETIFF, request)
        except OSError as error:
            raise LabError(
                f"{management.port}, the TAP of {node.name}, cannot be opened ({error.strerror}): "
                "see which program uses it (`ip -details link`), or remove the lab and create it again."
            ) from error
        os.dup2(tap, TAP_FD, inheritable=True)
    finally:
        os.close(tap)
    cores = ",".join(map(str, _pin(machines, node)))
    pinned = ["taskset", "--cpu-list", cores] if cores else []
    enter = [*pinned, "nice", f"--adjustment={PRIORITY}", "nsenter", f"--net={machine.NAMESPACES / lab.data_namespace}"]
    try:
        machine.run([*enter, *machines.command(node)], pass_fds=(TAP_FD,))
    finally:
        os.close(TAP_FD)
