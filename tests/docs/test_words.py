"""The list of words is a lint that finds them, says where, and names what to write instead."""

from __future__ import annotations

from docs import words

LISTED = words.rules("# a comment\n\\boverta(ke|ken)\\b => reordered\n")


def test_a_listed_word_is_named_with_its_place_and_its_replacement() -> None:
    assert words.problems("a.md", "fine\n3 % Overtaken\n", LISTED) == ["a.md:2: 'Overtaken': write 'reordered'"]


def test_other_words_pass() -> None:
    assert words.problems("a.md", "3 % reordered\ntaken over\n", LISTED) == []


def test_every_line_of_the_projects_list_is_a_pattern_with_a_replacement() -> None:
    assert len(words.rules((words.ROOT / words.LIST).read_text("utf-8"))) > 20
