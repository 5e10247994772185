"""Words as the function reads them: ``TfidfVectorizer(stop_words="english")`` learns from nothing else."""

from __future__ import annotations

import re

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

WORD = re.compile(r"\b\w\w+\b")


def has_words(text: str) -> bool:
    """Return whether a text has a word of two letters or more that is no English stop word."""
    return any(match[0] not in ENGLISH_STOP_WORDS for match in WORD.finditer(text.lower()))
