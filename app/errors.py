"""What a search can end with instead of a reply."""

from __future__ import annotations


class InputError(ValueError):
    """The request cannot be served as it is; the message is one clear sentence for the client."""


class Cancelled(Exception):  # noqa: N818 - it is no error: somebody asked for it
    """The client went away, so the search was given up."""
