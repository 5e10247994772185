"""The function that is served: a module with a request model and ``run``, found by name."""

from __future__ import annotations

import codecs
import re
import time
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from app.errors import InputError
from app.serving.body import Body, decompress
from app.serving.keys import TooManyValuesError, doubled_key, find_quotes
from app.serving.refusal import Refusal
from app.serving.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

# A value of JSON costs at least one quote or comma, and 64 bytes of memory at most. With one in 16 bytes of the largest
# body, and texts that Python stores in up to four bytes a character, a decoded body is at most 10 times the limit.
BYTES_PER_VALUE = 16
FEWEST_VALUES = 1000
# What a body that is not JSON may be, by its first bytes, and what to do.
PACKED = GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
OTHERS = (
    (GZIP, "The body is gzip; send it with Content-Encoding: gzip."),
    (ZSTD, "The body is zstd; send it with Content-Encoding: zstd."),
    (codecs.BOM_UTF16_LE, "The body is UTF-16; send JSON as UTF-8."),
    (codecs.BOM_UTF16_BE, "The body is UTF-16; send JSON as UTF-8."),
)


class Outcome(Protocol):
    """What ``run`` returns: a reply that JSON can say, and the milliseconds each of its phases took."""

    @property
    def reply(self) -> dict[str, Any]:
        """The function's own keys of the reply."""

    @property
    def phases_ms(self) -> dict[str, float]:
        """Phases by name (a word without spaces), in the order of Server-Timing."""


@dataclass(frozen=True, slots=True)
class Served:
    """A function: ``Request`` (a type msgspec decodes), ``run(request, cancelled)`` and, if it has one, ``warm_up``."""

    request_type: Any
    run: Callable[[Any, Callable[[], bool]], Outcome]
    warm_up: Callable[[], object]
    decoder: msgspec.json.Decoder[Any]

    def parse(self, body: Body, largest: int, cancelled: Callable[[], bool] = lambda: False) -> tuple[Any, float]:
        """The request in a body, and the milliseconds it took to decompress and decode it.

        Raises:
            Refusal: 413 a bomb or more values than memory holds, 400 broken compression or no JSON, 422 JSON that is no
                such request or has a key twice.
            Cancelled: ``cancelled`` returned True while the body was decompressed.
        """
        started = time.perf_counter()
        plain = decompress(body, largest, cancelled)
        if plain.startswith(codecs.BOM_UTF8):  # as Windows' editors write it; RFC 8259 lets a reader ignore it
            del plain[: len(codecs.BOM_UTF8)]
        most = max(largest // BYTES_PER_VALUE, FEWEST_VALUES)
        try:
            quotes = find_quotes(plain, most)
        except TooManyValuesError:
            raise Refusal(413, f"The body has more than {most} quotes and commas, the limit.") from None
        try:
            request = self.decoder.decode(plain)
        except msgspec.ValidationError as error:
            raise Refusal(422, f"The request is invalid: {_sentence(error)}{self._expected(error)}.") from None
        except UnicodeDecodeError as error:
            raise Refusal(400, f"The body is not UTF-8: {error.reason}.") from None
        except msgspec.DecodeError as error:
            raise Refusal(400, _other(plain, body.encoding) or f"The body is not JSON: {_sentence(error)}.") from None
        except MemoryError:
            raise Refusal(413, "The body needs more memory than there is here; send less.") from None
        except RecursionError:
            raise Refusal(400, "The body nests too deeply; send plain texts.") from None
        if sentence := doubled_key(plain, quotes):
            raise Refusal(422, sentence)
        return request, (time.perf_counter() - started) * 1e3

    def _expected(self, error: msgspec.ValidationError) -> str:
        """Say which words a key of the request takes, where the error is that it is none of them."""
        place = re.fullmatch(r"Invalid enum value .* - at `\$\.(\w+)`", str(error))
        if place is None:
            return ""
        fields = getattr(msgspec.inspect.type_info(self.request_type), "fields", ())
        kinds = {field.encode_name: field.type for field in fields}
        values = getattr(kinds.get(place[1]), "values", ())
        return f", expected one of {', '.join(map(str, values))}" if values else ""

    def call(self, request: Any, cancelled: Callable[[], bool]) -> Outcome:
        """Run the function; raises Refusal (422) where it says that the request cannot be served."""
        try:
            return self.run(request, cancelled)
        except InputError as error:
            raise Refusal(422, str(error)) from None
        except MemoryError:
            raise Refusal(413, "The request needs more memory than there is here; send less.") from None


def load(name: str) -> Served:
    """The function in the module of this name; raises SettingsError where there is none."""
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"invalid FUNCTION_MODULE {name!r}: there is no module {error.name!r}") from error
    for word in ("Request", "run"):
        if not hasattr(module, word):
            raise SettingsError(f"invalid FUNCTION_MODULE {name!r}: the module has no {word!r}")
    warm_up = getattr(module, "warm_up", lambda: None)
    return Served(module.Request, module.run, warm_up, msgspec.json.Decoder(module.Request))


def _other(plain: bytearray, encoding: str) -> str | None:
    """What a body is that is not JSON, in a sentence; None where its first bytes do not tell."""
    if plain.startswith(PACKED) and encoding != "identity":
        return "What the body holds is compressed once more; compress it once."
    return next((sentence for start, sentence in OTHERS if plain.startswith(start)), None)


def _sentence(error: msgspec.DecodeError) -> str:
    """The decoder's message as the end of a sentence, cut where it quotes a long key of the client's."""
    words = str(error).replace(" - at `$.", ", at `").replace(" - at `$", ", at `").rstrip(".")
    words = words.removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
    return words if len(words) <= 200 else words[:200] + "…`"  # noqa: PLR2004
