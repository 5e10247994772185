"""A seeded corpus of news-like texts, labelled FAKE or REAL: the data set where no real one is at hand.

The words are made of syllables; what they cost a text classifier is modelled on the peer's 315 real texts: how long
texts are (lognormal), how often words are used (Zipf), how many are stop words, how often a text comes back to a word
it has used, and how the vocabulary grows with the number of texts.

How hard it is to tell the labels apart is set by these numbers, and by no single word:

* ``LEANING`` of the content words lean towards one label, each by its own factor between 1 and ``LEAN``, save the
  ``LEAN_FREE`` most frequent ones: a word says little, many together say which label, and more training texts help.
* ``MANNER`` bounds the share of a text's words that follow this leaning; it is drawn for each text, so some are easier
  than others. Short texts are hard as well: they have few words.
* Each text has a topic with words of its own; a label writes ``TOPIC_LEAN`` times as often as it should about half of
  the topics, and that much more seldom about the others.
* ``NOISE`` of the texts carry the other label than the one they were written with: no model can learn these.

Deterministic across machines: only the raw bits of PCG64 (the part of numpy that promises a stable stream, NEP 19) and
the operations of IEEE 754 that are exact to the last bit choose words; no order of a set or of hashes does.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Strings = NDArray[np.object_]

LABELS = ("FAKE", "REAL")


def _each(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Difficulty (see above), chosen by trial: the tests hold the accuracy that results.
LEANING = 0.5
LEAN = 4.0
LEAN_FREE = 250
MANNER = (0.4, 0.8)
TOPIC_LEAN = 1.1
NOISE = 0.015

# Lengths in words, as in the peer's texts: the median, the sigma of the logarithm, the shortest and the longest.
MEDIAN_WORDS = 600
SIGMA_LOG_WORDS = 0.8
WORDS_BOUNDS = (25, 7000)

# Words come in pairs of a function word and another word, mostly in this order.
FUNCTION_FIRST = 0.8
# Of these other words: numbers; of the content words: those of the text's topic, those that come back.
NUMBER_SHARE = 0.02
TOPIC_SHARE = 0.25
REPEAT_SHARE = 0.25

CONTENT_WORDS = 120_000
# So many of them, the most frequent ones, mostly have one syllable and a suffix.
SHORT_WORDS = 1_000
TOPICS = 16
TOPIC_WORDS = 3_000
# A topic's words are chosen from these ranks: neither the words that all share nor the rarest.
TOPIC_RANKS = (300, 30_000)
# The weight of the word of rank r is 1 / (r + offset) (Zipf-Mandelbrot), and falls twice as fast far down the tail.
FUNCTION_OFFSET = 0.8
CONTENT_OFFSET = 20.0
TOPIC_OFFSET = 10.0
STEEPER_FROM = 8_000.0

FUNCTION_WORDS = _each(
    """
    the to of and a in that is for on it he as with was are by this be have has not at from we but his you they
    an who will I or their its which about more been were if one all there had would so what can when our no out
    up she people than her after him do them like how other into some just over only because could time even now
    most any also your first before my these where those very through then should me many between us while being
    did back down still against own such during both under too much off again same here why every might few
    since never must around without well once last until another each yet however nothing always within several
    often almost per perhaps among least become rather together amid whether though itself
    """
)
NUMBERS = tuple(str(number) for number in (*range(10, 100), *range(1990, 2030)))
# Repeated sounds are the more frequent ones.
ONSETS = _each("b b c c d d f g h k l l m m n n p p r r s s t t v w br ch cl cr dr fl gr pl pr qu sh st th tr")
VOWELS = _each("a a e e i i o o u ai ea ee ou")
CODAS = ("",) * 12 + _each("l m n n n r r s t t ck nd ng nt rt st")
SUFFIXES = ("",) * 9 + _each("s s s ed ed ing er ers ly ion ment al")
NAME_SHARE = 0.2

# A sentence has the first number of words and up to twice the second more.
SENTENCE_WORDS = (8, 13)
PARAGRAPH_END = 0.3
COMMA = 0.06
QUOTED = 0.12
STOPS = np.array((".",) * 18 + ("?", "!"), dtype=object)


class Draws:
    """Uniform draws from the raw bits of PCG64: the same on every machine and in every version of numpy."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def uniform(self, count: int) -> Floats:
        """Return ``count`` floats in [0, 1)."""
        raw = np.asarray(self._bits.random_raw(count), dtype=np.uint64)
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def below(self, limit: int | Ints, count: int) -> Ints:
        """Return ``count`` integers in [0, limit); ``limit`` may have one element for each."""
        return (self.uniform(count) * limit).astype(np.int64)

    def order(self, count: int) -> Ints:
        """Return a permutation of 0 … count - 1."""
        return np.argsort(self.uniform(count), kind="stable")

    def ranks(self, weights: Floats, count: int) -> Ints:
        """Return ``count`` indices of ``weights``, each as often as its weight says."""
        sums = np.cumsum(weights)
        ranks: Ints = np.searchsorted(sums, self.uniform(count) * sums[-1], side="right")
        # Rounding may lift a draw just below the last sum onto it.
        return np.minimum(ranks, len(weights) - 1)


def generate(count: int, seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ``count`` texts of 5 kB in the mean, and their labels, half of them FAKE (give or take the noise).

    Args:
        count: how many texts, 2 or more; with another count all texts are others.
        seed: decides everything, the vocabulary too; 0 or more.
    """
    draws = Draws(seed)
    vocabulary = _vocabulary(draws)
    lengths = _lengths(count)[draws.order(count)]
    manners = draws.order(count) % len(LABELS)
    flipped = draws.order(count) < round(NOISE * count)
    labels = tuple(LABELS[index] for index in np.where(flipped, 1 - manners, manners).tolist())
    return _render(draws, vocabulary[_words(draws, lengths, manners)], np.cumsum(lengths)), labels


def _lengths(count: int) -> Ints:
    """Return the quantiles of the lognormal, so that the mean is the same for every seed; rounding hides the libm."""
    normal = NormalDist(math.log(MEDIAN_WORDS), SIGMA_LOG_WORDS)
    words = (round(math.exp(normal.inv_cdf((index + 0.5) / count))) for index in range(count))
    shortest, longest = WORDS_BOUNDS
    return np.fromiter((min(max(number, shortest), longest) for number in words), dtype=np.int64, count=count)


def _zipf(count: int, offset: float) -> Floats:
    ranks = np.arange(1, count + 1)
    return 1.0 / ((ranks + offset) * (1.0 + ranks / STEEPER_FROM))


def _vocabulary(draws: Draws) -> Strings:
    """Return function words, numbers and content words, each from frequent to rare; frequent words are shorter."""
    candidates = CONTENT_WORDS * 3 // 2  # half as many again: some are made twice, and count once
    ranks = np.arange(candidates)
    tail = draws.uniform(candidates) < np.minimum(ranks / 100_000.0, 0.3)
    syllables = np.where(ranks < SHORT_WORDS, 1, 2) + tail
    made = np.full(candidates, "", dtype=object)
    for number in range(int(syllables.max())):
        for sounds in (ONSETS, VOWELS, CODAS):
            sound = np.array(sounds, dtype=object)[draws.below(len(sounds), candidates)]
            made += np.where(number < syllables, sound, "")
    made += np.array(SUFFIXES, dtype=object)[draws.below(len(SUFFIXES), candidates)]
    unlike = dict.fromkeys((*FUNCTION_WORDS, *made.tolist()))
    content = list(unlike)[len(FUNCTION_WORDS) :][:CONTENT_WORDS]
    names = (draws.uniform(CONTENT_WORDS) < NAME_SHARE).tolist()
    content = [word.capitalize() if name else word for word, name in zip(content, names, strict=True)]
    return np.array([*FUNCTION_WORDS, *NUMBERS, *content], dtype=object)


def _words(draws: Draws, lengths: Ints, manners: Ints) -> Ints:
    """Return the words of all texts in one row, as positions in the vocabulary."""
    total = int(lengths.sum())
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(total)
    swapped = draws.uniform(total // 2 + 1) >= FUNCTION_FIRST
    function = (position % 2 == 0) ^ swapped[position // 2]
    number = ~function & (draws.uniform(total) < NUMBER_SHARE)
    content = ~(function | number)
    words = draws.ranks(_zipf(len(FUNCTION_WORDS), FUNCTION_OFFSET), total)
    words[number] = len(FUNCTION_WORDS) + draws.below(len(NUMBERS), int(number.sum()))
    words[content] = len(FUNCTION_WORDS) + len(NUMBERS) + _content(draws, owner[content], manners)
    return words


def _content(draws: Draws, owner: Ints, manners: Ints) -> Ints:
    """Return the content words, one for each element of ``owner`` (the text that it stands in), as ranks."""
    total = len(owner)
    neutral = _zipf(CONTENT_WORDS, CONTENT_OFFSET)
    words = draws.ranks(neutral, total)

    lean = 1.0 + draws.uniform(CONTENT_WORDS) * (LEAN - 1.0)
    lean[draws.uniform(CONTENT_WORDS) >= LEANING] = 1.0
    lean[:LEAN_FREE] = 1.0
    side = draws.below(len(LABELS), CONTENT_WORDS)
    low, high = MANNER
    mannered = draws.uniform(total) < (low + draws.uniform(len(manners)) * (high - low))[owner]
    for manner in range(len(LABELS)):
        chosen = mannered & (manners[owner] == manner)
        words[chosen] = draws.ranks(np.where(side == manner, neutral * lean, neutral / lean), int(chosen.sum()))

    first, end = TOPIC_RANKS
    lexicon = first + draws.below(end - first, TOPICS * TOPIC_WORDS).reshape(TOPICS, TOPIC_WORDS)
    favour = np.where(np.arange(TOPICS) % 2 == 0, TOPIC_LEAN, 1.0 / TOPIC_LEAN)
    topic = np.where(manners == 0, draws.ranks(favour, len(manners)), draws.ranks(1.0 / favour, len(manners)))
    topical = draws.uniform(total) < TOPIC_SHARE
    rank = draws.ranks(_zipf(TOPIC_WORDS, TOPIC_OFFSET), int(topical.sum()))
    words[topical] = lexicon[topic[owner[topical]], rank]
    return words[_origins(draws, owner)]


def _origins(draws: Draws, owner: Ints) -> Ints:
    """Return where each word occurs first: here, or earlier in its text, whose words come back (Simon 1955)."""
    position = np.arange(len(owner))
    start = np.searchsorted(owner, owner, side="left")
    again = draws.uniform(len(owner)) < REPEAT_SHARE
    earlier = start + draws.below(position - start, len(owner))
    origin = np.where(again, earlier, position)
    while not np.array_equal(further := origin[origin], origin):
        origin = further
    return origin


def _render(draws: Draws, words: Strings, ends: Ints) -> tuple[str, ...]:
    """Return the texts that end before the positions ``ends``: words in sentences and paragraphs, some quoted."""
    total = len(words)
    shortest, spread = SENTENCE_WORDS
    most = total // shortest + 1
    stops = np.cumsum(shortest + draws.below(spread, most) + draws.below(spread, most))
    last = np.zeros(total, dtype=bool)
    last[stops[stops <= total] - 1] = True
    last[ends - 1] = True
    first = np.concatenate(([True], last[:-1]))
    quoted = (draws.uniform(int(first.sum())) < QUOTED)[np.cumsum(first) - 1]

    pieces = np.empty((total, 3), dtype=object)
    pieces[:, 0] = np.where(first & quoted, "“", "")
    pieces[:, 1] = words
    pieces[first, 1] = [word[0].upper() + word[1:] for word in words[first].tolist()]
    pieces[:, 2] = np.where(draws.uniform(total) < COMMA, ", ", " ")
    count = int(last.sum())
    gap = np.where(draws.uniform(count) < PARAGRAPH_END, "\n\n", " ").astype(object)
    mark = STOPS[draws.below(len(STOPS), count)]
    pieces[last, 2] = mark + np.where(quoted[last], "”", "").astype(object) + gap
    return tuple("".join(pieces[start:end].ravel().tolist()).rstrip() for start, end in pairwise((0, *ends.tolist())))
