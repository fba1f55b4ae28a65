"""Secrets, which are kept in files.

Standard library only: the producer imports this in a process that has to stay small.
"""

import os


def read_secret(path: str | os.PathLike[str]) -> str:
    """Return the secret in a file; line breaks around it do not belong to it.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip("\r\n")
    except UnicodeDecodeError:  # it would show a byte of the secret
        raise ValueError(f"{path} is not UTF-8") from None
