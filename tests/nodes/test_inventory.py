"""Inventories as Ansible reads them: the shipped ones, and the sentence for one that is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from nodes.errors import InventoryError
from nodes.inventory import INVENTORIES, parse, path_of, slug
from nodes.playbooks import read_inventory

if TYPE_CHECKING:
    from pathlib import Path


def test_a_groups_hosts_are_those_of_its_children_in_order_and_once() -> None:
    listing = {
        "_meta": {"hostvars": {"a": {"data_address": "192.0.2.1"}}},
        "all": {"children": ["ungrouped", "nodes"]},
        "nodes": {"hosts": ["z"], "children": ["edge", "cloud", "both"]},
        "edge": {"hosts": ["b", "a"]},
        "cloud": {"hosts": ["c"]},
        "both": {"children": ["edge", "cloud"]},
    }
    read = parse("trial", listing)
    assert read.hosts("nodes") == read.hosts("all") == ("z", "b", "a", "c")
    assert read.hosts("both") == ("b", "a", "c")
    assert read.hosts("ungrouped") == read.hosts("no such group") == ()
    assert read.variable("a", "data_address") == "192.0.2.1"


def test_groups_that_hold_each_other_end() -> None:
    listing = {"one": {"hosts": ["a"], "children": ["two"]}, "two": {"hosts": ["b"], "children": ["one"]}}
    assert parse("trial", listing).hosts("one") == ("a", "b")


@pytest.mark.parametrize("host", ["a", "no-such-host"])
def test_a_missing_variable_is_named_with_its_host(host: str) -> None:
    read = parse("trial", {"_meta": {"hostvars": {"a": {}}}, "edge": {"hosts": ["a"]}})
    with pytest.raises(InventoryError, match=f"inventory trial: host {host} has no variable data_address; set it in"):
        read.variable(host, "data_address")


def test_the_local_inventory_has_the_papers_nodes() -> None:
    local = read_inventory("local")
    assert local.hosts("base_stations") == ("bs",)
    assert local.hosts("compute") == ("edge-1", "edge-2", "cloud-1")
    assert local.hosts("nodes") == ("bs", "edge-1", "edge-2", "cloud-1")
    assert local.variable("cloud-1", "data_address") == "198.19.0.21"
    assert local.variable("cloud-1", "lab_kind") == "local"


def test_an_unknown_inventory_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InventoryError, match=r"inventory 'moon': there is no .*Known inventories: cells, .*or give a"):
        path_of("moon")


def test_a_path_is_an_inventory_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert path_of("./mine") == tmp_path / "mine"


def test_what_ansible_cannot_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: [a, b", encoding="utf-8")
    with pytest.raises(InventoryError) as caught:
        read_inventory(str(tmp_path / "hosts.yml"))
    assert f"inventory {tmp_path}/hosts.yml: " in str(caught.value)
    assert "cannot be read" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_inventories_of_one_name_have_two_locks_and_logs() -> None:
    names = {slug("/srv/a/nodes"), slug("/srv/b/nodes"), slug("/srv-a/nodes"), slug("nodes")}
    assert len(names) == 4
    assert all("/" not in name and "nodes" in name for name in names)


def test_the_labs_of_the_shipped_inventories_can_stand_side_by_side() -> None:
    own = [yaml.safe_load(path.read_text("utf-8")) for path in INVENTORIES.glob("*/group_vars/all.yml")]
    labs = [values for values in own if "lab_prefix" in values]
    assert len(labs) >= 3
    for key in ("lab_prefix", "lab_dir", "lab_management_network", "lab_data_network"):
        assert len({values[key] for values in labs}) == len(labs), key
