"""The synthetic corpus: as hard and as costly as real news, and the same on every machine."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier

from experiments.data import dataset, synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXTS = 3150
Corpus = tuple[tuple[str, ...], tuple[str, ...]]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return synthetic.generate(TEXTS, 1)


def tokens(text: str) -> list[str]:
    """Return what scikit-learn's vectoriser takes for words."""
    return re.findall(r"(?u)\b\w\w+\b", text.lower())


class Peer:
    """The peer's procedure on a corpus: TF-IDF without stop words, then PAC; texts are counted once for all trials."""

    def __init__(self, corpus: Corpus) -> None:
        self.counts = CountVectorizer(stop_words="english").fit_transform(corpus[0])
        self.labels = np.array(corpus[1])

    def accuracy(self, share: float, seed: int) -> float:
        """Return the accuracy on a fifth of the texts of a model that was trained with another ``share`` of them."""
        order = np.random.default_rng(seed).permutation(len(self.labels))
        fifth = len(order) // 5
        test, train = order[:fifth], order[fifth : fifth + int(share * len(order))]
        known = np.flatnonzero(self.counts[train].sum(axis=0))
        tfidf = TfidfTransformer().fit(self.counts[train][:, known])
        # What scikit-learn's passive aggressive classifier is since it is deprecated, with C = 1.
        model = SGDClassifier(loss="hinge", penalty=None, learning_rate="pa1", eta0=1.0, random_state=seed)
        model.fit(tfidf.transform(self.counts[train][:, known]), self.labels[train])
        return float(model.score(tfidf.transform(self.counts[test][:, known]), self.labels[test]))


@pytest.fixture(scope="module")
def peer(corpus: Corpus) -> Peer:
    return Peer(corpus)


def test_a_seed_gives_the_same_corpus_on_every_machine() -> None:
    assert (
        dataset.load("synthetic", texts=TEXTS, seed=1).sha256
        == "32027b41b155a8b5cba144440c870abb019a8a491ff77816629c3d00090d28af"
    )


def test_another_seed_gives_other_texts(corpus: Corpus) -> None:
    assert not set(corpus[0]) & set(synthetic.generate(100, 2)[0])


def test_the_default_corpus_is_made_in_less_than_ten_seconds_of_computing() -> None:
    before = time.process_time()
    synthetic.generate(TEXTS, 3)
    assert time.process_time() - before < 10


def test_texts_are_of_five_kilobytes_in_the_mean_and_as_unequal_as_news(corpus: Corpus) -> None:
    sizes = np.array([len(text.encode()) for text in corpus[0]])
    assert len(sizes) == TEXTS
    assert sizes.mean() == pytest.approx(5000, rel=0.1)
    assert np.log(sizes).std() == pytest.approx(0.8, abs=0.1)
    assert sizes.min() > 50
    assert sizes.max() < 60_000


def test_half_of_the_texts_carry_each_label(corpus: Corpus) -> None:
    counts = Counter(corpus[1])
    assert set(counts) == {"FAKE", "REAL"}
    assert min(counts.values()) > 0.48 * TEXTS


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_pac_is_right_about_as_often_as_on_real_news(peer: Peer, share: float) -> None:
    scores = [peer.accuracy(share, seed) for seed in range(6)]
    assert all(0.88 < score < 0.97 for score in scores)
    assert 0.90 < np.mean(scores) < 0.95


def test_twice_the_training_texts_help_a_little(peer: Peer) -> None:
    less, more = (np.mean([peer.accuracy(share, seed) for seed in range(6)]) for share in (0.4, 0.8))
    assert 0.0 < more - less < 0.03


def test_the_difficulty_does_not_hang_on_the_seed() -> None:
    other = Peer(synthetic.generate(TEXTS, 4))
    assert 0.90 < np.mean([other.accuracy(0.4, seed) for seed in range(6)]) < 0.95


def test_no_single_word_tells_the_labels_apart(corpus: Corpus) -> None:
    fake = np.array([label == "FAKE" for label in corpus[1]])
    present = CountVectorizer(binary=True).fit_transform(corpus[0])
    in_fake, in_real = (np.asarray(present[rows].sum(axis=0)).ravel() / rows.sum() for rows in (fake, ~fake))
    # A rule "this word is there" or "it is not there" is right for so many of two equal halves.
    best = 0.5 + np.abs(in_fake - in_real).max() / 2
    assert 0.5 < best < 0.65


def test_words_are_spread_over_texts_as_in_real_news(corpus: Corpus, news: Path) -> None:
    def figures(texts: Sequence[str]) -> dict[str, float]:
        words_by_text = [tokens(text) for text in texts]
        everywhere = Counter(word for words in words_by_text for word in words)
        seen_in = Counter(word for words in words_by_text for word in set(words))
        total = sum(everywhere.values())
        alone = [word for word, count in seen_in.items() if count == 1]
        return {
            "tokens a text": total / len(texts),
            "distinct tokens a text": sum(seen_in.values()) / len(texts),
            "vocabulary": len(seen_in),
            "words in one text only": len(alone) / len(seen_in),
            "tokens that are such words": sum(everywhere[word] for word in alone) / total,
            "tokens among the 100 most frequent words": sum(count for _, count in everywhere.most_common(100)) / total,
            "tokens among the 3000 most frequent words": sum(count for _, count in everywhere.most_common(3000))
            / total,
            "letters a token": sum(len(word) * count for word, count in everywhere.items()) / total,
        }

    real = list(json.loads(news.read_text(encoding="utf-8"))["x_dict"].values())
    assert figures(corpus[0][: len(real)]) == pytest.approx(figures(real), rel=0.15)


def test_the_vocabulary_goes_on_growing_to_tens_of_thousands_of_words(corpus: Corpus) -> None:
    seen: set[str] = set()
    grown = []
    for index, text in enumerate(corpus[0], start=1):
        seen.update(tokens(text))
        if index in (315, 630, 1260, 2520):
            grown.append(len(seen))
    growth = np.diff(np.log2(grown))
    assert all(0.3 < doubling < 0.7 for doubling in growth)  # Heaps' law: English news has about one half
    assert 30_000 < len(seen) < 70_000


def test_texts_have_sentences_paragraphs_and_quotes(corpus: Corpus) -> None:
    text = "\n\n".join(corpus[0])
    sentences = re.findall(r"[^.?!]+[.?!]", text)
    assert 15 < len(text.split()) / len(sentences) < 25
    assert text.count("“") == text.count("”") > TEXTS
    assert all(re.fullmatch(r"[“A-Z0-9].*[.?!]”?", text, flags=re.DOTALL) for text in corpus[0])


def test_labels_are_wrong_now_and_then(monkeypatch: pytest.MonkeyPatch, corpus: Corpus) -> None:
    monkeypatch.setattr(synthetic, "NOISE", 0.0)
    texts, labels = synthetic.generate(TEXTS, 1)
    assert texts == corpus[0]
    assert sum(one != other for one, other in zip(labels, corpus[1], strict=True)) == round(0.015 * TEXTS)


@settings(max_examples=8, deadline=None)
@given(count=st.integers(2, 60), seed=st.integers(0, 2**63))
def test_any_number_of_texts_and_any_seed_will_do(count: int, seed: int) -> None:
    texts, labels = synthetic.generate(count, seed)
    assert len(texts) == len(labels) == count
    assert len(set(texts)) == count


@given(weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=20), seed=st.integers(0, 1000))
def test_draws_stay_within_their_bounds(weights: list[float], seed: int) -> None:
    draws = synthetic.Draws(seed)
    ranks = draws.ranks(np.array(weights), 50)
    assert ranks.min() >= 0
    assert ranks.max() < len(weights)
    assert sorted(draws.order(30).tolist()) == list(range(30))


def test_draws_follow_their_weights() -> None:
    ranks = synthetic.Draws(1).ranks(np.array([1.0, 2.0, 5.0]), 80_000)
    assert np.bincount(ranks) / 10_000 == pytest.approx([1, 2, 5], abs=0.1)
