from typing import Any

class CallbackBase:
    _display: Any
    def __init__(self) -> None: ...
