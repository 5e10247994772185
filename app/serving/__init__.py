"""The function on HTTP: a queue, limits and figures around any module with a ``Request`` and a ``run``."""
