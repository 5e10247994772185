"""Keys that occur twice in an object of a body: found whatever the texts hold, and named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.serving.body import Body
from app.serving.keys import PIECE_BYTES, TooManyValuesError, doubled_key, find_quotes
from app.serving.refusal import Refusal
from app.serving.served import load

LIMIT = 10_000_000
# What could be taken for structure stands in texts, too.
awkward = st.text(st.sampled_from('"\\{}:,[] \n\ta0ü\U0001f600'), max_size=6)


class Pairs(list):
    """An object as a list of its pairs, so that a key may occur twice."""


objects = st.recursive(
    awkward | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(awkward, inner), max_size=4).map(Pairs),
    max_leaves=20,
)


def written(value: Any, blank: str, *, escaped: bool) -> str:
    """JSON of a value, with blanks wherever JSON allows them."""
    if isinstance(value, Pairs):
        pairs = [
            f"{written(key, '', escaped=escaped)}{blank}:{blank}{written(one, blank, escaped=escaped)}"
            for key, one in value
        ]
        return f"{{{blank}{f'{blank},{blank}'.join(pairs)}{blank}}}"
    if isinstance(value, list):
        return f"[{blank}{f'{blank},{blank}'.join(written(one, blank, escaped=escaped) for one in value)}{blank}]"
    if escaped and isinstance(value, str):
        return '"' + "".join(f"\\u{unit:04x}" for unit in utf_16(value)) + '"'
    return json.dumps(value, ensure_ascii=False)


def utf_16(text: str) -> list[int]:
    units = text.encode("utf-16-be")
    return [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]


def has_doubled_key(text: str) -> bool:
    doubled = False

    def pairs(one: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        doubled |= len(dict(one)) < len(one)
        return dict(one)

    json.loads(text, object_pairs_hook=pairs)
    return doubled


def sentence(text: str) -> str | None:
    plain = bytearray(text.encode())
    return doubled_key(plain, find_quotes(plain, LIMIT))


@given(value=objects, blank=st.sampled_from(["", " ", "\n  "]), escaped=st.booleans())
@example(value=Pairs([("a\\", "x"), ("a\\", "y")]), blank="", escaped=False)
@example(value=Pairs([("a", Pairs([("a", "a")])), ("b", "a")]), blank="", escaped=False)
def test_a_doubled_key_is_found_exactly_where_pythons_json_finds_one(value: Any, blank: str, *, escaped: bool) -> None:
    text = written(value, blank, escaped=escaped)
    assert (sentence(text) is not None) == has_doubled_key(text)


def test_one_spelling_with_an_escape_is_the_same_key() -> None:
    assert sentence('{"x_dict": {"a": "1", "\\u0061": "2"}}') == (
        "The key 'a' occurs 2 times in 'x_dict'; send each key once."
    )
    assert sentence('{"a": "1", "\\u0062": "2"}') is None


def test_quotes_are_found_across_the_pieces_in_which_a_body_is_searched() -> None:
    padding = "x" * (PIECE_BYTES - 8)
    assert sentence(f'{{"{padding}": "1", "b": "2"}}') is None
    assert "'b' occurs 2 times" in str(sentence(f'{{"{padding}": "1", "b": "2", "b": "3"}}'))


def test_a_body_with_more_values_than_allowed_is_not_searched_to_its_end() -> None:
    assert len(find_quotes(bytearray(b'","'), 3)) == 2
    with pytest.raises(TooManyValuesError):
        find_quotes(bytearray(b'",",'), 3)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (
            '{"x_dict": {"7": "a text", "8": "b", "7": "c"}, "y_dict": {"7": "FAKE", "8": "REAL"}}',
            "'7' occurs 2 times in 'x_dict'",
        ),
        ('{"x_dict": {"7": "a"}, "y_dict": {"7": "FAKE", "7": "REAL", "7": "REAL"}}', "'7' occurs 3 times in 'y_dict'"),
        ('{"x_dict": {}, "y_dict": {}, "x_dict": {"7": "a"}}', "'x_dict' occurs 2 times in one object"),
        ('{"x_dict": {}, "y_dict": {}, "grid": {"C": [1], "C": [2]}}', "'C' occurs 2 times in 'grid'"),
        ('{"x_dict": {}, "y_dict": {}, "model": "pac", "model": "log"}', "'model' occurs 2 times in one object"),
    ],
)
def test_a_request_with_a_doubled_key_is_refused_by_its_name(body: str, place: str) -> None:
    with pytest.raises(Refusal) as refusal:
        load("app.function").parse(Body(bytearray(body.encode()), "identity", 0.0), LIMIT)
    assert refusal.value.status == 422
    assert str(refusal.value.sentence) == f"The key {place}; send each key once."


def test_a_request_whose_texts_look_like_keys_is_taken() -> None:
    texts = {"0": 'he said "7": {"7": "x"}, and "7": again', "1": "}", "2": '"', "3": "\\", "7": ',"7":'}
    body = json.dumps({"x_dict": texts, "y_dict": dict.fromkeys(texts, "FAKE")}).encode()
    request, _ = load("app.function").parse(Body(bytearray(body), "identity", 0.0), LIMIT)
    assert request.x_dict == texts


@pytest.mark.parametrize("backslashes", range(20))
def test_a_quote_after_any_number_of_backslashes_ends_its_text_or_does_not(backslashes: int) -> None:
    text = "\\" * backslashes + '","7":"'
    assert sentence(json.dumps({"x_dict": {"7": text}, "y_dict": {}})) is None
    assert sentence(f'{{"7": {json.dumps(text)}, "8": "", "7": ""}}') is not None
