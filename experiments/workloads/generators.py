"""Bodies that are made from a seed, one class a kind: nothing has to be shipped, and every run can be repeated."""

from __future__ import annotations

import json
from functools import lru_cache
from random import Random
from typing import Annotated, Any, ClassVar

import msgspec

from experiments.workloads.files import BODY_BYTES
from experiments.workloads.workload import SettingsError

# How many different bodies are made of one kind, and how many bytes they may take together on the base station.
MOST_DIFFERENT = 1_000
MOST_BYTES = 256 << 20
# scikit-learn's images of handwritten digits, and what of a repetition's are left to test with.
IMAGES, TEST_IMAGES = 1_797, 360


class _Generator(msgspec.Struct, tag_field="name", frozen=True, forbid_unknown_fields=True):
    """A generator, told from the others by its name."""


class RandomBytes(_Generator, tag="random-bytes", frozen=True, forbid_unknown_fields=True):
    """Bytes that no compression makes smaller: ``bodies`` different ones of ``size_bytes``, taken in turn."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=BODY_BYTES)]
    bodies: Annotated[int, msgspec.Meta(ge=1, le=MOST_DIFFERENT)] = 16
    content_type: ClassVar[str] = "application/octet-stream"

    def check(self) -> None:
        """Refuse more than the base station's memory should hold."""
        if self.size_bytes * self.bodies > MOST_BYTES:
            raise SettingsError(
                f"workload.generator.bodies: {self.bodies} bodies of {self.size_bytes} bytes are more than "
                f"{MOST_BYTES >> 20} MiB; make fewer, or smaller ones"
            )

    @property
    def different(self) -> int:
        """How many different bodies there are in a repetition."""
        return self.bodies

    def body(self, seed: str, turn: int) -> bytes:
        """Return one of them."""
        return Random(f"{seed} {turn}").randbytes(self.size_bytes)  # noqa: S311


class Digits(_Generator, tag="digits", frozen=True, forbid_unknown_fields=True):
    """Images of handwritten digits (scikit-learn's own, 8 x 8): ``images`` a request to train with, 360 to test with.

    Each repetition draws them again: its requests have the same images to test with, and other ones to train with as
    long as there are any.
    """

    images: Annotated[int, msgspec.Meta(ge=50, le=IMAGES - TEST_IMAGES)]
    content_type: ClassVar[str] = "application/json"

    def check(self) -> None:
        """Refuse nothing more."""

    @property
    def different(self) -> int:
        """How many different bodies there are in a repetition."""
        return (IMAGES - TEST_IMAGES) // self.images

    def body(self, seed: str, turn: int) -> bytes:
        """Return one of them, as app/digits.py takes it."""
        images, labels = _digits()
        order = Random(seed).sample(range(IMAGES), IMAGES)  # noqa: S311
        start = TEST_IMAGES + turn * self.images
        parts = {"test": order[:TEST_IMAGES], "train": order[start : start + self.images]}
        return json.dumps(
            {
                name: {"images": [images[row] for row in rows], "labels": [labels[row] for row in rows]}
                for name, rows in parts.items()
            },
            separators=(",", ":"),
        ).encode()


Generator = RandomBytes | Digits
GENERATORS = tuple(str(kind.__struct_config__.tag) for kind in (RandomBytes, Digits))


@lru_cache(1)
def _digits() -> tuple[Any, Any]:
    # scikit-learn, which takes seconds to import.
    from sklearn.datasets import load_digits  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    return images.astype(int).tolist(), labels.tolist()
