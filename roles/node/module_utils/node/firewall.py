"""The node's firewall: which one filters what arrives, and ports that are opened in it for as long as they are needed.

What is opened is marked by a comment, so that it is found again and nothing else is touched. Rules stand in the kernel
only: a restart of the node, or of its firewall, drops them.
"""

from __future__ import annotations

import json
import shlex
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.node.change import Change
from ansible.module_utils.node.process import attempt, run, which

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Programs of iptables by the family of addresses that they filter.
TABLES = {4: "iptables", 6: "ip6tables"}
FAMILY_WORDS = {4: "ip", 6: "ip6"}


class Port(NamedTuple):
    """A port of tcp or udp."""

    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


def name() -> str | None:
    """Return which firewall filters what arrives at this node, as its users call it; None where none does."""
    if which("ufw") and "Status: active" in attempt("ufw", "status").stdout:
        return "ufw"
    if which("firewall-cmd") and attempt("firewall-cmd", "--state").returncode == 0:
        return "firewalld"
    if any(chain.refuses for chain in _nft_chains()):
        return "nftables"
    if any(_filters(program) for program in TABLES.values()):
        return "iptables"
    return None


def advice(firewall: str | None, ports: Iterable[Port]) -> str:
    """Return how its users open ports in a firewall; None is one that the node itself does not have."""
    opened = sorted(ports)
    if firewall == "ufw":
        return f"open them ({'; '.join(f'ufw allow {port}' for port in opened)})"
    if firewall == "firewalld":
        return f"open them (firewall-cmd {' '.join(f'--add-port={port}' for port in opened)})"
    if firewall is None:
        return "open them in the firewall between the two, as the node itself has none"
    return f"open them in its firewall ({firewall}: accept them in the input chain)"


def open_changes(owner: str, ports: Iterable[Port], sources: Iterable[str]) -> Iterator[Change]:
    """Yield the changes after which these ports accept what comes from these addresses, and no others of this owner.

    Args:
        owner: what the rules are marked with.
        ports: to be open.
        sources: addresses of the nodes that may use them.
    """
    wanted = [(port, source) for source in sources for port in ports]
    for program in TABLES.values():
        own = _own_rules(program, owner)
        rules = [_rule(port, source, owner) for port, source in wanted if _table_of(source) == program]
        if _filters(program) or own:
            yield from _iptables_changes(program, own, rules)
    for chain in _nft_chains():
        there = {tuple(rule["words"]): rule["handle"] for rule in chain.own(owner)}
        needed = (
            {_nft_words(port, source) for port, source in wanted if chain.takes(source)} if chain.refuses else set()
        )
        for words in sorted(needed - there.keys()):
            yield Change(f"let {' '.join(words)} through {chain}", partial(chain.insert, words, owner))
        for words, handle in there.items():
            if words not in needed:
                yield Change(f"no longer let {' '.join(words)} through {chain}", partial(chain.delete, handle))


def close_changes(owner: str) -> Iterator[Change]:
    """Yield the removal of everything that was opened for an owner, and for those whose names begin with its word."""
    yield from open_changes(owner, (), ())


def _iptables_changes(program: str, own: list[list[str]], rules: list[list[str]]) -> Iterator[Change]:
    for rule in rules:
        if rule not in own:
            yield Change(
                f"open {rule[_AT]}/{rule[_PROTOCOL_AT]} to {rule[1]} by {program}",
                partial(run, program, "-w", "-I", "INPUT", *rule),
            )
    for rule in own:
        if rule not in rules:
            yield Change(
                f"close {rule[_AT]}/{rule[_PROTOCOL_AT]} to {rule[1]} by {program}",
                partial(run, program, "-w", "-D", "INPUT", *rule),
            )


_PROTOCOL_AT, _AT = 3, 7


def _rule(port: Port, source: str, owner: str) -> list[str]:
    """Return a rule in the words and the order in which iptables prints it."""
    prefix = 128 if ":" in source else 32
    return [
        "-s", f"{source}/{prefix}", "-p", port.protocol, "-m", port.protocol, "--dport", str(port.number),
        "-m", "comment", "--comment", owner, "-j", "ACCEPT",
    ]  # fmt: skip


def _family(source: str) -> int:
    return 6 if ":" in source else 4


def _table_of(source: str) -> str:
    return TABLES[_family(source)]


def _input_rules(program: str) -> list[list[str]]:
    if which(program) is None:
        return []
    return [shlex.split(line) for line in attempt(program, "-w", "-S", "INPUT").stdout.splitlines()]


def _filters(program: str) -> bool:
    """Return whether a table refuses anything: more than a chain that accepts all."""
    return any(words != ["-P", "INPUT", "ACCEPT"] for words in _input_rules(program))


def _own_rules(program: str, owner: str) -> list[list[str]]:
    return [
        words[2:]
        for words in _input_rules(program)
        if words[:1] == ["-A"] and any(_is_of(owner, word) for word in words)
    ]


def _is_of(owner: str, comment: str) -> bool:
    return comment == owner or comment.startswith(f"{owner} ")


class _Chain(NamedTuple):
    """A chain of nftables where what arrives is filtered."""

    family: str
    table: str
    name: str
    refuses: bool
    rules: tuple[dict[str, Any], ...]

    def __str__(self) -> str:
        return f"the chain {self.family} {self.table} {self.name}"

    def takes(self, source: str) -> bool:
        """Return whether packets from an address pass it."""
        return self.family == "inet" or self.family == FAMILY_WORDS[_family(source)]

    def own(self, owner: str) -> list[dict[str, Any]]:
        """Return handle and words of the owner's rules."""
        return [
            {"handle": rule["handle"], "words": _words_of(rule)}
            for rule in self.rules
            if _is_of(owner, rule.get("comment", ""))
        ]

    def insert(self, words: Iterable[str], owner: str) -> None:
        """Accept something before all else."""
        run("nft", "insert", "rule", self.family, self.table, self.name, *words, "accept", "comment", f'"{owner}"')

    def delete(self, handle: int) -> None:
        """Remove a rule."""
        run("nft", "delete", "rule", self.family, self.table, self.name, "handle", str(handle))


def _nft_words(port: Port, source: str) -> tuple[str, ...]:
    return (FAMILY_WORDS[_family(source)], "saddr", source, port.protocol, "dport", str(port.number))


def _words_of(rule: dict[str, Any]) -> tuple[str, ...]:
    """Return the words of a rule that `insert` made; empty for another."""
    matches = [one["match"] for one in rule.get("expr", ()) if "match" in one]
    words: list[str] = []
    for match in matches:
        payload = match["left"].get("payload", {})
        words += [str(payload.get("protocol")), str(payload.get("field")), str(match["right"])]
    return tuple(words)


def _nft_chains() -> list[_Chain]:
    """Return the chains that filter what arrives, without those that iptables shows, which are changed by it."""
    if which("nft") is None:
        return []
    listed = attempt("nft", "-j", "-a", "list", "ruleset")
    if listed.returncode:
        return []
    entries = json.loads(listed.stdout or "{}").get("nftables", [])
    rules = [one["rule"] for one in entries if "rule" in one]
    chains = []
    for about in (one["chain"] for one in entries if "chain" in one):
        if about.get("hook") != "input" or about.get("type") != "filter":
            continue
        key = (about["family"], about["table"], about["name"])
        if key[1:] == ("filter", "INPUT") and key[0] in FAMILY_WORDS.values() and which("iptables"):
            continue
        inside = tuple(one for one in rules if (one["family"], one["table"], one["chain"]) == key)
        refuses = about.get("policy") == "drop" or any(_may_refuse(rule) for rule in inside)
        chains.append(_Chain(*key, refuses, inside))
    return chains


def _may_refuse(rule: dict[str, Any]) -> bool:
    """Return whether a rule drops or rejects, or leads to other rules, which may."""
    return any(one.keys() & {"drop", "reject", "jump", "goto"} for one in rule.get("expr", ()))
