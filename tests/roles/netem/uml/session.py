"""In the guest: runs tests with pytest and sends the host their reports.

Its argument is a file with pytest's arguments, one a line: options first, the ids of the tests after them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from uml import init

ROOT = Path(__file__).resolve().parents[4]
TESTS = Path(__file__).resolve().parents[1] / "kernel"
# Files cannot be written, and what other tests may ask for is not imported: that takes long here.
OPTIONS = ("-p", "no:cacheprovider", "--disable-plugin-autoload", f"--confcutdir={TESTS}", "--color=no")


class Reporter:
    """A plugin of pytest's that sends each report."""

    def __init__(self) -> None:
        self.config: pytest.Config

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        init.send(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))


def main() -> None:
    """Run the tests.

    Raises:
        RuntimeError: pytest could not run them; it has printed why.
    """
    os.chdir(ROOT)
    code = pytest.main([*OPTIONS, f"@{sys.argv[1]}"], plugins=[Reporter()])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with exit code {code}")


if __name__ == "__main__":
    init.run(main)
