"""A request to the study's function that is served in a moment."""

from __future__ import annotations

from typing import Any


def texts(count: int) -> dict[str, Any]:
    """So many short texts of two labels, for the model `mnb`."""
    return {
        "x_dict": {
            str(i): f"{'goal match team' if i % 2 else 'vote party law'} number{i % 5} word" for i in range(count)
        },
        "y_dict": {str(i): "sport" if i % 2 else "politics" for i in range(count)},
        "model": "mnb",
    }
