"""The consumer as a process that runs: signals, configuration, log, and how it ends."""

import os
import signal
import sys
from pathlib import Path

from tocsin_consumer.config_file import ConfigFile
from tocsin_consumer.errors import ConsumerError
from tocsin_consumer.run import run
from tocsin_consumer.signals import event_of
from tocsin_schemas import logs
from tocsin_schemas.configuration import ConfigurationError


def main(config: Path) -> int:
    """Run with the configuration file until told to stop; SIGHUP, or a change of the file, loads it anew.

    Returns the exit code: 0 when it ended cleanly, 1 when something was cut short or cannot be used, 2 when the
    configuration cannot.
    """
    stop, reload = event_of(signal.SIGTERM, signal.SIGINT), event_of(signal.SIGHUP)
    file = ConfigFile(config, os.environ)
    try:
        loaded = file.load()
        logs.configure(loaded.settings.log.level, loaded.settings.log.format)
        return run(file, loaded, stop=stop, reload=reload)
    except (ConfigurationError, ConsumerError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigurationError) else 1
