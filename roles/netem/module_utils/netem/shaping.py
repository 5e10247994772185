"""What a node shapes: brings an interface from what it does now to what the links say, and back to nothing."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ansible.module_utils.node.errors import NodeError
from ansible.module_utils.node.files import read, write

from .addresses import Network, ends, networks
from .emulator import Emulator
from .filters import SSH, Port
from .kernel import Kernel
from .link import Link
from .tc import dump, exists, flaps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SCHEMA = 4  # of the state file: what another version left is cleared and made again
LINKS_MAX = 499  # the filters' preferences and the classes' numbers leave room for so many


def boot() -> str:
    """Return what tells this start of the node from others.

    The kernel's boot id alone does not: a node that is a container is started again under the same kernel.
    """
    began = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]  # starttime, proc_pid_stat(5)
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {began}"


@dataclass(frozen=True)
class Shaped:
    """A link on its interface.

    Attributes:
        link: what was asked for.
        addresses: the target's.
        number: what its class and filters carry.
        path_ms: what the path takes by itself, where that is to be a part of the link's delay; else nothing.
    """

    link: Link
    addresses: tuple[str, ...]
    number: int
    path_ms: float = 0.0

    @property
    def made(self) -> Link:
        """The link that is to be made: what was asked for, less what the path takes by itself.

        Raises:
            LinkError: that leaves too little.
        """
        return self.link.beyond(self.path_ms) if self.path_ms else self.link

    def __str__(self) -> str:
        words = f"{self.link}" + (f", of which the path takes {self.path_ms:g} ms" if self.path_ms else "")
        ranges = [one for one in self.addresses if "/" in one]
        return words + (f", also to {', '.join(ranges)} behind it" if ranges else "")

    def networks(self) -> dict[int, list[Network]]:
        """Return the target's addresses and ranges by family.

        Raises:
            NodeError: one is neither an address nor a range.
        """
        try:
            return networks(self.link.target, self.addresses)
        except NodeError as error:
            raise NodeError(f"{self.link.path}: {error}") from error


class Backend(Protocol):
    """A way to shape: the kernel's or ours."""

    name: str

    def present(self) -> bool: ...
    def ended(self) -> bool: ...
    def unusable(self) -> str | None: ...
    def check(self, links: Sequence[Link]) -> None: ...
    def snapshot(self) -> dict[str, Any]: ...
    def open(self, before: dict[str, Any], passing: Sequence[Port]) -> None: ...
    def close(self, before: dict[str, Any]) -> None: ...
    def update(self, update: Update) -> int: ...
    def ready(self, update: Update) -> Callable[[], int]: ...


class Update(NamedTuple):
    """What is to become of the links of an interface: those that go, change (before and after), come, and all there then are."""

    gone: list[Shaped]
    changed: list[tuple[Shaped, Shaped]]
    new: list[Shaped]
    all: list[Shaped]


class Prepared(NamedTuple):
    """Other values for links that are in force, ready to be given to them: what is remembered, and what then is."""

    state: dict[str, Any]
    expected: dict[str, Shaped]
    update: Update


class Outcome(NamedTuple):
    """What was done, or would be: one line a link before and after."""

    changed: bool
    before: list[str]
    after: list[str]


class Shaping:
    """The shaping of one interface, and the file that remembers it.

    Args:
        interface: the data interface.
        folder: where this node keeps what the role leaves on it.
        program: the emulator's path on this node.
        passing: ports of what no link shapes: by which the testbed is managed, with one interface only or from a
            controller that is a node, and by which probes see the path alone.
    """

    def __init__(self, interface: str, folder: Path, program: str, passing: Sequence[Port] = (SSH,)) -> None:
        self.interface = interface
        self.passing = passing
        self.file = folder / f"{interface}.state"
        # What was applied, as long as a planned change gives some links other values (`change`).
        self.first = folder / f"{interface}.first"
        self.backends: dict[str, Backend] = {
            "kernel": Kernel(interface, folder),
            "emulator": Emulator(interface, program, folder),
        }

    def preflight(
        self,
        backend: str,
        links: Sequence[Link] = (),
        addresses: Mapping[str, Sequence[str]] | None = None,
        paths_ms: Mapping[str, float] | None = None,
    ) -> tuple[Backend, str]:
        """Return the backend to use and a sentence that says why; nothing is touched.

        Args:
            links: those that leave this node.
            addresses: each target's addresses.
            backend: "kernel", "emulator" or "auto": the kernel's where it can, ours where it cannot.
            paths_ms: how much of a link's delay is the path's own, by target, as far as that is known.

        Raises:
            NodeError: no backend that works here, or a link it cannot do.
            LinkError: a path leaves too little of its link's delay.
        """
        made = [link.beyond((paths_ms or {}).get(link.target, 0.0)) for link in links]
        if len(links) > LINKS_MAX:
            raise NodeError(f"{self.interface}: {len(links)} links, but one interface takes {LINKS_MAX} at most.")
        known = addresses or {}
        check_targets([Shaped(link, tuple(known.get(link.target, ())), 0) for link in links])
        for link in links:
            ends(link.source, link.target, known)
        reasons: list[str] = []
        for name in self.backends if backend == "auto" else [backend]:
            reason = self.backends[name].unusable()
            if reason is None:
                self.backends[name].check(made)
                note = (
                    f": {reasons[0]}, which is fine: the targets and the verification are the same" if reasons else ""
                )
                return self.backends[name], f"{name} backend{note}"
            reasons.append(reason)
        advice = "" if backend == "emulator" else " Load or install what is missing (Debian's kernels have it)"
        advice += " or set netem_backend: emulator." if backend == "kernel" else "." if advice else ""
        raise NodeError(f"netem_backend is {backend}, but {'; and '.join(reasons)}.{advice}")

    def recorded(self) -> dict[str, Shaped]:
        """Return the links that were applied, by target, whether or not they are still in force."""
        return _shaped(_state(self.applied()) or {})

    def applied(self) -> str | None:
        """Return what is remembered of the links that were applied: planned changes since do not count."""
        return read(self.first) or read(self.file)

    def current(self) -> tuple[dict[str, Shaped], dict[str, Any] | None]:
        """Return the links in force by target, and the remembered state if it is true of this node now."""
        state = self._read()
        if state is None or not exists(self.interface) or not self.backends[state["backend"]].present():
            return {}, None
        return _shaped(state), state

    def drift(self) -> str | None:  # noqa: PLR0911  (one return a cause)
        """Return how this node differs from what was applied, in one sentence, or None when it does not."""
        state = self._read()
        if state is None:
            return None
        if not exists(self.interface):
            return f"{self.interface}, whose links were applied, is gone"
        if state.get("schema") != SCHEMA:
            return "another version of this role applied the links"
        if state["boot"] != boot():
            return "the node restarted after its links were applied, and they are gone"
        if not self.backends[state["backend"]].present():
            return f"the links were removed from {self.interface} by something other than this role"
        if (count := flaps(self.interface)) != state["flaps"]:
            return f"{self.interface} lost or found its carrier {count - state['flaps']} times since the links were applied"
        difference = _first_difference(state["dump"], dump(self.interface))
        if difference and self.backends[state["backend"]].ended():
            return f"the emulator of {self.interface}'s links has ended"
        return difference

    def apply(
        self,
        links: Sequence[Link],
        addresses: Mapping[str, Sequence[str]],
        backend: Backend,
        paths_ms: Mapping[str, float],
        *,
        dry: bool,
    ) -> Outcome:
        """Bring the interface to exactly these links; only what differs is touched.

        Args:
            links: the links whose source is this node.
            addresses: each target's addresses on the data network.
            backend: what preflight chose.
            paths_ms: how much of a link's delay is the path's own, by target: so much less is made.
            dry: only say what would change.

        Raises:
            NodeError: a program failed; the next run continues from what was begun.
        """
        now, state = self.current()
        drift = self.drift() if state is not None else None
        stale = state is not None and (state["backend"] != backend.name or drift is not None)
        expected = self._number(links, addresses, paths_ms, {} if stale else now)
        outcome = Outcome(
            changed=stale or now != expected or (bool(expected) and state is None),
            before=[f"{one}{' (not in force as recorded)' if stale else ''}" for one in now.values()],
            after=[str(one) for one in expected.values()],
        )
        if not dry:
            self.first.unlink(missing_ok=True)
        if dry or not outcome.changed:
            return outcome
        if stale or state is None or not expected:
            self.clear(dry=False)
            now, state = {}, None
        if not expected:
            return outcome
        if state is None:
            state = {
                "schema": SCHEMA, "backend": backend.name, "before": backend.snapshot(),
                "boot": boot(), "flaps": flaps(self.interface),
            }  # fmt: skip
            self._write(state, {}, "")
            backend.open(state["before"], self.passing)
        backend.update(_update(now, expected))
        self._write(state, expected, dump(self.interface))
        return outcome

    def clear(self, *, dry: bool) -> Outcome:
        """Undo everything, however much of it is there, and put back what was there before."""
        now, _ = self.current()
        state = self._read() or {"before": {}}
        there = [
            backend for backend in self.backends.values() if backend.present() or state.get("backend") == backend.name
        ]
        leftovers = self.file.exists() or bool(there)
        outcome = Outcome(leftovers, [str(one) for one in now.values()], [])
        if dry or not leftovers:
            return outcome
        for backend in there:
            backend.close(state["before"] if state.get("backend") == backend.name else {})
        self.file.unlink(missing_ok=True)
        self.first.unlink(missing_ok=True)
        return outcome

    def prepare(self, links: Mapping[str, Link]) -> Prepared:
        """Return what gives these links, by target, other values; nothing is touched.

        Raises:
            NodeError: links are not in force as recorded, or none leads to a target.
            LinkError: a path leaves too little of its link's delay.
        """
        problem = self.drift()
        now, state = self.current()
        if problem or state is None:
            raise NodeError(problem or f"no links are in force on {self.interface}")
        unknown = next((target for target in links if target not in now), None)
        if unknown is not None:
            raise NodeError(f"no link to {unknown} is in force on {self.interface}, so it cannot be changed")
        expected = now | {target: replace(now[target], link=link) for target, link in links.items()}
        self.backends[state["backend"]].check([expected[target].made for target in links])
        return Prepared(state, expected, _update(now, expected))

    def ready(self, prepared: Prepared) -> Callable[[], int]:
        """Return what gives links the values that were prepared, and returns when they had them.

        That is CLOCK_MONOTONIC in nanoseconds; all that takes time before is done. Frames on their way keep theirs. What
        was applied is remembered until `put_back`; `remember` has to follow.
        """
        if not self.first.exists():
            write(self.first, self.file.read_text())
        update = prepared.update
        if not (update.gone or update.changed or update.new):
            return time.monotonic_ns
        return self.backends[prepared.state["backend"]].ready(update)

    def remember(self, prepared: Prepared) -> None:
        """Write down what was changed, so that `drift` does not take it for foreign."""
        self._write(prepared.state, prepared.expected, dump(self.interface))

    def put_back(self) -> None:
        """Give the links the values that were applied, if planned changes gave them others.

        What else changed meanwhile stays to be found by `drift`, which compares with what was applied.
        """
        if not self.first.exists():
            return
        now, state = self.current()
        applied = self.recorded()
        if state is not None:
            self.ready(Prepared(state, applied, _update(now, applied)))()
        self.first.replace(self.file)

    def _number(
        self,
        links: Sequence[Link],
        addresses: Mapping[str, Sequence[str]],
        paths_ms: Mapping[str, float],
        now: Mapping[str, Shaped],
    ) -> dict[str, Shaped]:
        taken = {now[link.target].number for link in links if link.target in now}
        free = (number for number in range(1, LINKS_MAX + 1) if number not in taken)
        expected = {}
        for link in sorted(links, key=lambda one: one.target):
            number = now[link.target].number if link.target in now else next(free)
            path_ms = paths_ms.get(link.target, 0.0)
            expected[link.target] = Shaped(link, tuple(addresses[link.target]), number, path_ms)
        return expected

    def _read(self) -> dict[str, Any] | None:
        return _state(read(self.file))

    def _write(self, state: dict[str, Any], shaped: Mapping[str, Shaped], seen: str) -> None:
        links = [{**asdict(one), "link": one.link.entry()} for one in shaped.values()]
        write(self.file, json.dumps(state | {"links": links, "dump": seen}, indent=1))


def _state(text: str | None) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] | None = json.loads(text or "null")
    except ValueError:  # cut off while it was written: clear() finds it all
        return None
    return state


def _update(now: Mapping[str, Shaped], expected: Mapping[str, Shaped]) -> Update:
    kept = [(now[target], shaped) for target, shaped in expected.items() if target in now]
    # One whose addresses changed is made again: its filters are others.
    changed = [(old, new) for old, new in kept if old.addresses == new.addresses]
    in_place = {new.link.target for _, new in changed}
    return Update(
        gone=[old for target, old in now.items() if target not in in_place],
        changed=[(old, new) for old, new in changed if old != new],
        new=[shaped for target, shaped in expected.items() if target not in in_place],
        all=list(expected.values()),
    )


def _shaped(state: Mapping[str, Any]) -> dict[str, Shaped]:
    links = [
        Shaped(Link.from_mapping(one["link"]), tuple(one["addresses"]), one["number"], one.get("path_ms", 0.0))
        for one in state.get("links", [])
    ]
    return {one.link.target: one for one in links}


def _first_difference(applied: str, seen: str) -> str | None:
    if applied == seen:
        return None
    before, now = applied.splitlines(), seen.splitlines()
    gone = next((line for line in before if line not in now), None)
    new = next((line for line in now if line not in before), None)
    differences = [f"`{' '.join(gone.split())}` is gone"] if gone else []
    differences += [f"`{' '.join(new.split())}` is new"] if new else []
    if (changed := [line.split() for line in (gone or "", new or "") if line.startswith("mtu ")]) and len(changed) == 2:
        return (
            f"the MTU of {changed[0][2]} changed from {changed[0][1]} to {changed[1][1]} since the links were applied"
        )
    return f"tc lists something else than was applied: {' and '.join(differences) or 'the order of its lines'}"


def check_targets(links: Sequence[Shaped]) -> None:
    """Refuse links that could not be told apart by their targets' addresses.

    Raises:
        NodeError: a target has no address, none that can be one, or one that another target has as well.
    """
    seen: list[tuple[Network, Shaped]] = []
    for one in links:
        mine = [network for networks in one.networks().values() for network in networks]
        if not mine:
            raise NodeError(f"{one.link.path}: {one.link.target} has no address: set its data_address.")
        for network in mine:
            for other, theirs in seen:
                if other.version == network.version and other.overlaps(network):
                    raise NodeError(
                        f"{one.link.path}: {network} is {theirs.link.target}'s as well ({other}): "
                        "correct data_address or netem_addresses."
                    )
        seen += [(network, one) for network in mine]
