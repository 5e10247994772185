"""Where root analyses a run, another user does the work, because what a run holds may come from elsewhere.

That user (65533, whom nothing belongs to) reads like root, since a run and the code may lie in a home that others may
not enter, and has no other right of root's. What it writes it hands over to the process that started it, which puts it
into its place if it is a result of the subcommand.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from collect import folder
from collect.errors import CollectError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USER = 65533
CAPABILITIES = "-all,+dac_read_search"
SETPRIV = (
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--no-new-privs",
    f"--inh-caps={CAPABILITIES}",
    f"--ambient-caps={CAPABILITIES}",
    f"--bounding-set={CAPABILITIES}",
)
# The environment's variable that tells the worker which descriptor is its end of the socket.
SOCKET = "FAASBED_COLLECT_SOCKET"
PATH_BYTES = 4096


def can_be_dropped() -> bool:
    """Return whether this process is root's and can start one that may only read.

    The root of a container may lack the rights for that, and another system than Linux the program.
    """
    if os.geteuid() != 0 or shutil.which(SETPRIV[0]) is None:
        return False
    return subprocess.run([*SETPRIV, "true"], capture_output=True, check=False).returncode == 0


def work_without(arguments: Sequence[str], is_result: Callable[[Path], bool]) -> int:
    """Run ``python -m collect`` as a user with no rights but to read; return its exit code.

    Args:
        arguments: of the command line.
        is_result: tells whether a file is the subcommand's to write.

    Raises:
        CollectError: the worker was killed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, tempfile.TemporaryDirectory(prefix="faasbed-collect-") as scratch:
        os.chown(scratch, USER, USER)
        with theirs:
            # matplotlib keeps a list of fonts in the user's home, and complains where it cannot.
            given = {SOCKET: str(theirs.fileno()), "TMPDIR": scratch, "MPLCONFIGDIR": scratch}
            worker = subprocess.Popen(
                [*SETPRIV, sys.executable, "-m", "collect", *arguments],
                env={**os.environ, **given},
                pass_fds=[theirs.fileno()],
            )
        try:
            serve(ours, is_result)
            code = worker.wait()
        except BaseException:
            worker.terminate()
            worker.wait()
            raise
    if code < 0:
        raise CollectError(f"the analysis was ended by signal {-code}: see whether this machine is short of memory")
    return code


def serve(worker: socket.socket, is_result: Callable[[Path], bool]) -> None:
    """Put what the worker hands over into its place, until the worker ends. It is not trusted.

    A message is a path, with a descriptor of the content; the answer is an error number as text, 0 for a written file.
    """
    while True:
        name, descriptors, _, _ = socket.recv_fds(worker, PATH_BYTES, 1)
        if not name:
            return
        answer = 0 if descriptors else errno.EBADF
        try:
            for descriptor in descriptors:
                with os.fdopen(descriptor, "rb") as content:
                    _put(Path(os.fsdecode(name)), content, is_result)
        except OSError as error:
            answer = error.errno or errno.EIO
        worker.send(str(answer).encode())


def _put(path: Path, content: BinaryIO, is_result: Callable[[Path], bool]) -> None:
    if not is_result(path) or not stat.S_ISREG(os.fstat(content.fileno()).st_mode):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    with folder.replaced(path) as file:
        shutil.copyfileobj(content, file)


@contextmanager
def handing_over() -> Iterator[bool]:
    """In the worker, hand over every file that is written. Yields whether this process is one."""
    number = os.environ.pop(SOCKET, None)
    if number is None:
        yield False
        return
    with socket.socket(fileno=int(number)) as parent:

        def hand_over(path: Path, content: BinaryIO) -> None:
            content.seek(0)
            socket.send_fds(parent, [os.fsencode(path.absolute())], [content.fileno()])
            answer = int(parent.recv(PATH_BYTES) or errno.EPIPE)
            if answer:
                raise OSError(answer, os.strerror(answer))

        with folder.handed_over(hand_over):
            yield True
