"""What a figure was measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime

from tests import mosquitto
from tocsin_schemas import __version__


def machine() -> str:
    """Return versions, processor and date in one line."""
    return (
        f"tocsin {__version__}, Python {platform.python_version()}, Mosquitto {_mosquitto()}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    )


def _mosquitto() -> str:
    command = [str(mosquitto.find("mosquitto")), "-h"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return told.partition("mosquitto version ")[2].split()[0]
