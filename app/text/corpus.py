"""Texts read once: the tokens of ``TfidfVectorizer(stop_words="english")``, counted per text."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

BATCH_CHARACTERS = 1 << 16
"""Texts are read in batches of about this size, so that the wide copy of their characters stays small."""

_CODE_POINTS = 0x110000


@dataclass(frozen=True, slots=True)
class Corpus:
    """How often each term stands in each text, as a CSR matrix of texts by terms.

    Terms are numbered in sorted order, without stop words. The entries of a text stand in the order in which its terms
    first occur: that is the order scikit-learn numbers the terms of training texts in, and so the order of its sums.
    """

    starts: NDArray[np.int64]
    terms: NDArray[np.int32]
    counts: NDArray[np.int32]
    term_count: int


def read_corpus(texts: Sequence[str]) -> Corpus:
    """Tokenise and count: lower case, runs of at least two word characters (what ``\\b\\w\\w+\\b`` finds), no stop words.

    Only the distinct terms become Python strings; the rest is one pass over code points in compiled code.
    """
    table = _TermTable()
    parts = [table.count(batch) for batch in _batches(texts)]
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.concatenate([lengths for lengths, _, _ in parts]), out=starts[1:])
    terms = np.concatenate([terms for _, terms, _ in parts])
    counts = np.concatenate([counts for _, _, counts in parts])
    words = table.words()
    kept = [number for number, word in enumerate(words) if word not in ENGLISH_STOP_WORDS]
    kept.sort(key=words.__getitem__)
    number_of = np.full(max(len(words), 1), -1, np.int32)
    number_of[kept] = np.arange(len(kept), dtype=np.int32)
    starts, terms, counts = _drop_stop_words(starts, terms, counts, number_of)
    return Corpus(starts, terms, counts, len(kept))


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text.lower())
        size += len(text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _TermTable:
    """All terms met so far, in an open-addressing hash table over their code points.

    Each table salts its hash with a number of its own, so that nobody can send texts whose words all fall on one slot.
    """

    def __init__(self) -> None:
        self._characters = np.empty(1 << 16, np.uint32)
        self._ends = np.zeros(1 << 13, np.int64)
        self._hashes = np.empty(1 << 13, np.uint64)
        self._slots = np.full(1 << 14, -1, np.int32)
        self._last_text = np.full(1 << 13, -1, np.int64)
        self._entry_of = np.empty(1 << 13, np.int64)
        self._size = 0
        self._texts = 0
        self._salt = np.uint64(secrets.randbits(64))

    def count(self, batch: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """Entries per text, and the entries' terms and counts, for a batch of lower-case texts."""
        characters = np.frombuffer("\n".join([*batch, ""]).encode("utf-32-le", "surrogatepass"), np.uint32)
        self._make_room(len(characters))
        lengths = np.empty(len(batch), np.int64)
        most = len(characters) // 3 + 1
        terms, counts = np.empty(most, np.int32), np.empty(most, np.int32)
        text_ends = np.cumsum([len(text) + 1 for text in batch])
        self._size = _count_terms(
            characters, text_ends, _word_characters(), self._characters, self._ends, self._hashes, self._slots,
            self._size, self._salt, self._last_text, self._entry_of, self._texts, lengths, terms, counts,
        )  # fmt: skip
        self._texts += len(batch)
        entries = int(lengths.sum())
        return lengths, terms[:entries].copy(), counts[:entries].copy()

    def words(self) -> list[str]:
        """The terms as strings, by number."""
        ends = self._ends[: self._size + 1].tolist()
        text = self._characters[: ends[-1]].tobytes().decode("utf-32-le", "surrogatepass")
        return [text[start:end] for start, end in zip(ends, ends[1:], strict=False)]

    def _make_room(self, characters: int) -> None:
        used = int(self._ends[self._size])
        if len(self._characters) < used + characters:
            self._characters = np.resize(self._characters, 2 * (used + characters))
        most = self._size + characters // 3 + 2
        if len(self._ends) < most:
            self._ends = np.resize(self._ends, 2 * most)
            self._hashes = np.resize(self._hashes, 2 * most)
            self._entry_of = np.resize(self._entry_of, 2 * most)
            self._last_text = np.append(self._last_text, np.full(2 * most - len(self._last_text), -1))
        if len(self._slots) < 2 * most:
            self._slots = np.full(1 << int(4 * most).bit_length(), -1, np.int32)
            _fill_slots(self._slots, self._hashes, self._size)


@functools.cache
def _word_characters() -> NDArray[np.bool_]:
    """For each code point whether it is a word character to ``re``: alphanumeric or an underscore."""
    table = np.fromiter((chr(code).isalnum() for code in range(_CODE_POINTS)), np.bool_, _CODE_POINTS)
    table[ord("_")] = True
    return table


@njit(nogil=True, cache=True)
def _fill_slots(slots, hashes, size):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for term in range(size):
        slot = hashes[term] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = term


@njit(nogil=True, cache=True)
def _count_terms(  # type: ignore[no-untyped-def]
    characters, text_ends, is_word, known, ends, hashes, slots, size, salt,
    last_text, entry_of, first_text, lengths, terms, counts,
):  # fmt: skip
    mask = np.uint64(len(slots) - 1)
    one = np.uint64(1)
    position = 0
    entry = 0
    for text in range(len(text_ends)):
        first_entry = entry
        text_end = text_ends[text]
        while position < text_end:
            if not is_word[characters[position]]:
                position += 1
                continue
            start = position
            value = salt
            while is_word[characters[position]]:  # a text ends with a line feed, which is none
                value = (value ^ np.uint64(characters[position])) * np.uint64(0x9E3779B97F4A7C15)
                value ^= value >> np.uint64(29)
                position += 1
            length = position - start
            if length < 2:
                continue
            slot = value & mask
            term = -1
            while slots[slot] >= 0:
                candidate = slots[slot]
                begin = ends[candidate]
                if hashes[candidate] == value and ends[candidate + 1] - begin == length:
                    same = True
                    for offset in range(length):
                        if known[begin + offset] != characters[start + offset]:
                            same = False
                            break
                    if same:
                        term = candidate
                        break
                slot = (slot + one) & mask
            if term < 0:
                term = size
                slots[slot] = term
                hashes[term] = value
                begin = ends[term]
                for offset in range(length):
                    known[begin + offset] = characters[start + offset]
                ends[term + 1] = begin + length
                size += 1
            if last_text[term] == first_text + text:
                counts[entry_of[term]] += 1
            else:
                last_text[term] = first_text + text
                entry_of[term] = entry
                terms[entry] = term
                counts[entry] = 1
                entry += 1
        lengths[text] = entry - first_entry
    return size


@njit(nogil=True, cache=True)
def _drop_stop_words(starts, terms, counts, number_of):  # type: ignore[no-untyped-def]
    new_starts = np.zeros_like(starts)
    written = 0
    for text in range(len(starts) - 1):
        for entry in range(starts[text], starts[text + 1]):
            term = number_of[terms[entry]]
            if term >= 0:
                terms[written] = term
                counts[written] = counts[entry]
                written += 1
        new_starts[text + 1] = written
    return new_starts, terms[:written].copy(), counts[:written].copy()
