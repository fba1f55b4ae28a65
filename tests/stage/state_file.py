"""A look into the producer's state file, which it keeps to itself while it runs: a look into a copy."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any


def look(path: Path, query: str, *values: object) -> Any:
    """Return the first column of the first row, or None if there is no row, no table or no file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            if Path(f"{path}{suffix}").exists():
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        with closing(sqlite3.connect(copy)) as connection:
            try:
                row = connection.execute(query, values).fetchone()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return None
                raise
    return row[0] if row else None
