from http.client import HTTPResponse
from typing import Any

def open_url(url: str, **options: Any) -> HTTPResponse: ...
