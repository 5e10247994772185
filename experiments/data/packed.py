"""The bytes of a data set's file: as they are, or unpacked from a gzip file or a ZIP archive, within a limit."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path
from typing import IO

from experiments.data.content import DatasetError

# Some 40 times the paper's data set. What is unpacked is read no further, however much the file would give.
MOST_BYTES = 2**29
PIECE_BYTES = 2**20
# What people keep texts in that is not read here, by its first bytes, and what to do with it.
UNPACK = "unpack it, or pack it with gzip"
EXPORT = "write it as CSV in UTF-8"
CONVERT = "convert it, for example: iconv -f UTF-16 -t UTF-8"
OTHERS = (
    (b"BZh", "compressed with bzip2", UNPACK),
    (b"\xfd7zXZ\x00", "compressed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"PAR1", "a Parquet file", EXPORT),
    (b"\xd0\xcf\x11\xe0", "an Excel or Word file", EXPORT),
    (b"SQLite format 3\x00", "an SQLite database", EXPORT),
    (b"%PDF", "a PDF file", EXPORT),
    (b"\xff\xfe", "UTF-16", CONVERT),
    (b"\xfe\xff", "UTF-16", CONVERT),
)
SUFFIXES = (".gz", ".zip")
GZIP, ZIP, ZIP_WITHOUT_FILES = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
TAR, TAR_AT = b"ustar", 257
# Of Excel's .xlsx, Word's .docx and others, which are ZIP archives.
OFFICE = "[Content_Types].xml"
# macOS adds these to each archive: a file's attributes, and those of a folder's window.
NOT_CONTENT = ("__MACOSX/", ".DS_Store")


def plain_name(path: Path) -> Path:
    """Return the name of what a file holds: that of the file without .gz or .zip."""
    return Path(path.stem if path.suffix.lower() in SUFFIXES else path.name)


def read(path: Path) -> bytes:
    """Return the bytes of a file, of what a gzip file holds, or of the one file that a ZIP archive holds.

    Raises:
        DatasetError: it cannot be read, is larger than `MOST_BYTES` when unpacked, or is of another kind.
    """
    try:
        with path.open("rb") as file:
            start = file.read(TAR_AT + len(TAR))
            file.seek(0)
            if start.startswith(GZIP):
                with gzip.open(file) as packed:
                    content = _limited(packed, path)
            elif start.startswith((ZIP, ZIP_WITHOUT_FILES)):
                content = _only_file(file, path)
            else:
                content = _limited(file, path)
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be unpacked: {_sentence(error)}; is the file whole?") from error
    # A password, a compression or a version that Python does not have, a name that is not in its character set.
    except (RuntimeError, NotImplementedError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be unpacked: {_sentence(error)}; unpack it yourself") from error
    except OSError as error:
        raise DatasetError(f"dataset {path}: cannot be read: {error.strerror or error}") from error
    _refuse_others(path, content)
    return content


def _only_file(file: IO[bytes], path: Path) -> bytes:
    with zipfile.ZipFile(file) as archive:
        names = [
            entry.filename
            for entry in archive.infolist()
            if not entry.is_dir() and not any(mark in entry.filename for mark in NOT_CONTENT)
        ]
        if OFFICE in names:
            raise DatasetError(f"{path}: is an Excel or Word file; {EXPORT}")
        if len(names) != 1:
            raise DatasetError(
                f"{path}: the archive holds {len(names)} files; expected exactly one: unpack it, and name the file"
            )
        with archive.open(names[0]) as packed:
            return _limited(packed, path)


def _limited(file: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    content = io.BytesIO()
    while piece := file.read(PIECE_BYTES):
        content.write(piece)
        if content.tell() > MOST_BYTES:
            raise DatasetError(
                f"{path}: holds more than {MOST_BYTES // 2**20} MiB, the limit; give a part of it: a run takes a sample"
            )
    return content.getvalue()


def _refuse_others(path: Path, content: bytes) -> None:
    """Refuse by its name what is not text in UTF-8."""
    if content.startswith((GZIP, ZIP)):
        raise DatasetError(f"{path}: what it holds is packed once more; {UNPACK}, once")
    if content[TAR_AT:].startswith(TAR):
        raise DatasetError(f"{path}: holds a tar archive; unpack it, and name the file")
    for start, kind, remedy in OTHERS:
        if content.startswith(start):
            raise DatasetError(f"{path}: is {kind}; {remedy}")


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())[:100].rstrip(".")
