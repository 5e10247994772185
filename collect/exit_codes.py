"""What the exit codes of ``python -m collect`` say, beside 0."""

from __future__ import annotations

KNOWN_ERROR = 2
# A threshold of the scenario file's `expect` is not met.
UNMET = 3
# The run's links or limited replicas were off when they were verified: its numbers are shown, and are not a result.
REFUSED = 4
