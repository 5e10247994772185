"""Which link a frame belongs to: u32 filters with a hash table, so that many destinations cost what one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ansible.module_utils.node.errors import NodeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .shaping import Shaped

Commands = list[list[str]]

TCP, UDP = 6, 17


class Port(NamedTuple):
    """A port of TCP or UDP."""

    protocol: int
    number: int


SSH = Port(TCP, 22)

PROTOCOL = {4: "ip", 6: "ipv6"}
MATCH = {4: "ip", 6: "ip6"}
# Preferences: first what no link shapes, then the hash tables, then what no table can hold, one a link.
PASSING = {4: 64000, 6: 64001}
HOSTS = {4: 64002, 6: 64003}
RANGES = {4: 64010, 6: 64510}
FIRST, LAST = 64000, 65009
TABLE = {4: "7b4", 6: "7b6"}  # u32's names for them; those of its own making begin with 800
LAST_WORD = {4: 16, 6: 36}  # where the last four bytes of the destination are
PER_LINK = 8  # addresses of one family that a link's number leaves room for among a bucket's rules


class Filters:
    """The filters at one place of an interface, as the `tc` commands that make and unmake them.

    Args:
        interface: the data interface.
        place: where they hang: ``parent fb00:`` or ``egress``.
    """

    def __init__(self, interface: str, place: Sequence[str]) -> None:
        self.place = ["dev", interface, *place]

    def open(self, passing: Iterable[Port], unshaped: str) -> Commands:
        """Return what lets some traffic pass and makes the tables.

        Args:
            passing: ports, at either end, of what is shaped by no link.
            unshaped: the class for what passes.
        """
        commands: Commands = []
        for family in (4, 6):
            ip = MATCH[family]
            for protocol, port in passing:
                for end in ("sport", "dport"):
                    words = ["match", ip, "protocol", str(protocol), "0xff", "match", ip, end, str(port), "0xffff"]
                    commands.append([*self._at(family, PASSING), "u32", *words, "flowid", unshaped])
            table = f"{TABLE[family]}:"
            commands.append([*self._at(family, HOSTS), "handle", table, "u32", "divisor", "256"])
            last_byte = ["hashkey", "mask", "0x000000ff", "at", str(LAST_WORD[family])]
            commands.append([*self._at(family, HOSTS), "u32", "match", "u32", "0", "0", *last_byte, "link", table])
        return commands

    def add(self, shaped: Shaped, action: Sequence[str]) -> Commands:
        """Return what sends a link's frames where action says."""
        commands: Commands = []
        for family, networks in shaped.networks().items():
            for index, network in enumerate(
                network for network in networks if network.prefixlen == network.max_prefixlen
            ):
                bucket, handle = self._rule(shaped, family, index, network.network_address.packed[-1])
                place = ["handle", handle, "u32", "ht", bucket]
                match = ["match", MATCH[family], "dst", str(network)]
                commands.append([*self._at(family, HOSTS), *place, *match, *action])
            commands += [
                [*self._at(family, RANGES, shaped.number), "u32", "match", MATCH[family], "dst", str(network), *action]
                for network in networks
                if network.prefixlen < network.max_prefixlen
            ]
        return commands

    def any(self, action: Sequence[str]) -> list[str]:
        """Return what sends all IPv4 frames where action says: for a trial."""
        return [*self._at(4, RANGES), "u32", "match", "u32", "0", "0", *action]

    def drop(self, shaped: Shaped) -> Commands:
        """Return what takes a link's filters away."""
        commands: Commands = []
        for family, networks in shaped.networks().items():
            single = [network for network in networks if network.prefixlen == network.max_prefixlen]
            for index, network in enumerate(single):
                _, handle = self._rule(shaped, family, index, network.network_address.packed[-1])
                commands.append([*self._at(family, HOSTS, verb="del"), "handle", handle, "u32"])
            if len(single) < len(networks):
                commands.append(self._at(family, RANGES, shaped.number, verb="del"))
        return commands

    def unhook(self, filters: Sequence[tuple[int, str]]) -> Commands:
        """Return what takes all away but the filters of what passes: by way of them the tables go, which are the place's.

        Args:
            filters: preference and protocol of the filters that are there.
        """
        return [self._named("del", *one) for one in filters if one[0] not in PASSING.values()]

    def drop_table(self, table: str, way: tuple[int, str]) -> list[str]:
        """Return what takes a hash table away that no rule leads to any more."""
        return [*self._named("del", *way), "handle", f"{table}:", "u32"]

    def close(self, filters: Sequence[tuple[int, str]]) -> Commands:
        """Return what takes the last away."""
        return [self._named("del", *one) for one in filters]

    def _named(self, verb: str, preference: int, protocol: str) -> list[str]:
        return ["filter", verb, *self.place, "protocol", protocol, "pref", str(preference)]

    def _at(self, family: int, preferences: dict[int, int], number: int = 0, *, verb: str = "add") -> list[str]:
        return self._named(verb, preferences[family] + number, PROTOCOL[family])

    def _rule(self, shaped: Shaped, family: int, index: int, last_byte: int) -> tuple[str, str]:
        if index >= PER_LINK:
            raise NodeError(
                f"{shaped.link.path}: {shaped.link.target} has more than {PER_LINK} addresses of one family: list a "
                "range in netem_addresses instead (10.42.1.0/24)."
            )
        bucket = f"{TABLE[family]}:{last_byte:x}:"
        return bucket, f"{bucket}{shaped.number * PER_LINK + index:x}"


def preferences(listing: str) -> list[tuple[int, str]]:
    """Return preference and protocol of our filters in what `tc filter show` lists, in order."""
    filters: dict[tuple[int, str], None] = {}
    for line in listing.splitlines():
        words = line.split()
        named = dict(zip(words, words[1:]))  # noqa: B905  (word and the one behind it)
        if words[:1] == ["filter"] and named.get("pref", "").isdigit() and FIRST <= int(named["pref"]) <= LAST:
            filters[int(named["pref"]), named["protocol"]] = None
    return list(filters)


def tables(listing: str) -> list[str]:
    """Return our hash tables in what `tc filter show` lists."""
    return [table for table in TABLE.values() if f" fh {table}: ht divisor" in listing]
