"""Begins the consumer that runs as a small process: `python -m tocsin_consumer.start FILE`, see `service`.

What serves the commands alone is not imported here, and what is imported and never used is put off; with all of
that it breaks the bounds of `bench/consumer.py`.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tocsin_schemas.put_off import Ready, put_off

#: Threads share what malloc keeps for them (mallopt(3)), of which there are many with many receivers; and pydantic
#: does not look through all that is installed for plugins, of which there are none.
ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
#: Who imports them, and what for: requests for answers whose encoding nobody names, hosts in other scripts and
#: certificates in archives; importlib.metadata for what is installed; http.server for pages of errors and files;
#: prometheus_client for pages that are compressed; logging for tracebacks; email for dates; and we, for words that
#: are mistyped.
PUT_OFF: Final = (
    "charset_normalizer",
    "csv",
    "difflib",
    "gzip",
    "html",
    "idna",
    "locale",
    "mimetypes",
    "shutil",
    "stringprep",
    "traceback",
    "zipfile",
)
#: requests warns unless it finds a version that it can do with.
READY: Final[Mapping[str, Ready]] = {"charset_normalizer": {"__version__": "3.0.0"}}


def become_consumer(config: Path) -> None:
    """Replace this process, which has grown by all the commands, with the small one that stays."""
    command = [sys.executable, "-P", "-m", "tocsin_consumer.start", str(config)]
    os.execve(sys.executable, command, ENVIRONMENT | os.environ)  # noqa: S606 - our own module


def main() -> int:
    """Run the consumer, and return its exit code."""
    put_off(PUT_OFF, READY)
    from tocsin_consumer import service  # noqa: PLC0415 - what it imports must find the others put off

    return service.main(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
