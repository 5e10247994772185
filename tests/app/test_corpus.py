"""Texts are read as ``TfidfVectorizer(stop_words="english")`` reads them, and folds cut from them are its matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from app.errors import InputError
from app.text import corpus as corpus_module
from app.text.corpus import read_corpus
from app.text.tfidf import fold_matrices

PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "the",
            "The",
            "apple",
            "APPLE",
            "İstanbul",
            "ß",
            "straße",
            "x_1",
            "don't",
            "ﬁne",
            "٣٤",
            "a",
            "é",
            "e\u0301",
            "\x00",
        ]
    ),
)
TEXTS = st.lists(st.lists(PIECES, max_size=12).map(" ".join), min_size=2, max_size=8)


def assert_as_scikit_learn(texts: list[str], train: list[int], other: list[int]) -> None:
    vectoriser = TfidfVectorizer(stop_words="english")
    try:
        fitted = vectoriser.fit_transform([texts[row] for row in train])
    except ValueError:  # only stop words
        with pytest.raises(InputError, match="only stop words"):
            fold_matrices(read_corpus(texts), np.array(train), np.array(other))
        return
    transformed = vectoriser.transform([texts[row] for row in other])
    for ours, theirs in zip(
        fold_matrices(read_corpus(texts), np.array(train), np.array(other)), (fitted, transformed), strict=True
    ):
        assert ours.width == theirs.shape[1]
        np.testing.assert_array_equal(ours.starts, theirs.indptr)
        np.testing.assert_array_equal(ours.columns, theirs.indices)
        np.testing.assert_array_equal(ours.values, theirs.data)


@settings(deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_any_texts_give_the_vectorisers_matrices_bit_for_bit(texts, random):
    rows = list(range(len(texts)))
    random.shuffle(rows)
    cut = random.randint(1, len(rows) - 1)
    assert_as_scikit_learn(texts, rows[:cut], rows[cut:])


def test_every_code_point_is_read_as_the_regular_expression_reads_it():
    everything = "".join(f"a{chr(code)}b " for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000)
    assert_as_scikit_learn(["plain words", everything, everything[::2]], [0, 1], [2])


def test_texts_read_in_many_batches_are_those_read_in_one(monkeypatch):
    texts = [f"common word{number} word{number % 9} {'long' * (number % 5)} common" for number in range(200)]
    at_once = read_corpus(texts)
    monkeypatch.setattr(corpus_module, "BATCH_CHARACTERS", 50)
    in_batches = read_corpus(texts)
    for one, other in zip(
        (at_once.starts, at_once.terms, at_once.counts),
        (in_batches.starts, in_batches.terms, in_batches.counts),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert at_once.term_count == in_batches.term_count


def test_texts_of_one_new_word_after_another_are_all_kept():
    texts = [" ".join(f"w{number}x{row}" for number in range(20_000)) for row in range(3)]
    corpus = read_corpus(texts)
    assert corpus.term_count == 60_000
    assert_as_scikit_learn(texts, [0, 2], [1, 0])
