"""Labels: two spellings of one are no two classes, and a missing one is no class."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data.content import Content, DatasetError
from experiments.data.labels import checked


def content(*labels: str) -> Content:
    return Content(
        "news.csv", "a test", ["a text"] * len(labels), labels, [f"line {line}" for line in range(len(labels))]
    )


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (("Real", "Fake", "REAL", "Real"), "'Real' (2), 'REAL' (1)"),
        (("1.0", "0", "1", "1.0", "0.0"), "'1.0' (2), '1' (1), '0' (1), '0.0' (1)"),
        (("real news", "real  news", "realnews", "fake"), "'real news' (1), 'real  news' (1), 'realnews' (1)"),
        (("FAKE", "FAKE ", "REAL"), "'FAKE' (1), 'FAKE ' (1)"),
        (("-1", "-1.00", "1"), "'-1' (1), '-1.00' (1)"),
        (("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"), " (1), 'cafe"),
        (tuple(f"{'a' * index}{suffix}" for index in range(1, 9) for suffix in ("x", "X")), "'aaaX' (1) and 10 more"),
    ],
)
def test_labels_that_differ_only_in_how_they_are_written_are_refused_with_their_counts(
    labels: tuple[str, ...], counts: str
) -> None:
    with pytest.raises(DatasetError) as caught:
        checked(content(*labels))
    sentence = str(caught.value)
    assert sentence.startswith("news.csv: labels differ only by case, blanks or '.0': ")
    assert counts in sentence
    assert sentence.endswith("; write each label in one way")


@pytest.mark.parametrize("missing", ["nan", "NaN", "", "  ", "null", "<NA>"])
def test_a_missing_label_is_refused_with_its_count_and_its_place(missing: str) -> None:
    with pytest.raises(DatasetError) as caught:
        checked(content("REAL", missing, "FAKE", missing))
    assert str(caught.value) == (
        f"news.csv: 2 of 4 labels are missing: {missing!r} (2); the first is line 1; label these texts, or remove them"
    )


def test_a_label_as_long_as_a_text_is_refused() -> None:
    with pytest.raises(
        DatasetError, match=r"a label has 201 characters, at most 200 allowed: 'xxx.*are texts and labels"
    ):
        checked(content("FAKE", "x" * 201))


@given(st.lists(st.from_regex(r"[a-m]{1,3}|[1-9]", fullmatch=True), min_size=1))
def test_labels_that_are_written_in_one_way_are_kept(labels: list[str]) -> None:
    assert checked(content(*labels)) == tuple(labels)
    assert checked(content(*(f" {label}" for label in labels))) == tuple(labels)


@pytest.mark.parametrize("labels", [("1.0", "0.0"), ("1.5", "1.50"), ("none", "favor"), ("n", "na")])
def test_labels_that_only_look_alike_are_kept(labels: tuple[str, ...]) -> None:
    assert checked(content(*labels)) == labels
