"""A resolver that can be taken away: with this folder on PYTHONPATH, no name resolves while the file is there."""

import os
import socket
from pathlib import Path
from typing import Any

_resolve = socket.getaddrinfo


def _resolve_if_possible(*arguments: Any, **options: Any) -> Any:
    if Path(os.environ["NAMES_ARE_GONE"]).exists():
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _resolve(*arguments, **options)


socket.getaddrinfo = _resolve_if_possible
