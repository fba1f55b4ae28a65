"""Credentials from a kubeconfig, resolved anew while the agent runs: in another process, which may be large.

That file may name a command, or a token that something else renews, so what came from it once is good until the
API server refuses it.
"""

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer

if TYPE_CHECKING:
    from subprocess import Popen

_log = logging.getLogger(__name__)

#: A command that a kubeconfig names may ask a server far away.
RESOLVE_SECONDS: Final = 60.0


class Credentials:
    """Runs `command`, which prints the way to the API server as `tocsin_producer.resolve` does."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: Popen[bytes] | None = None
        self._is_aborted = False

    def resolve(self) -> ApiServer:
        """Return the way to the API server as it is now.

        Raises:
            ResolveError: there is none now, for the reason given; there may be one later.
        """
        from subprocess import PIPE, Popen, TimeoutExpired  # noqa: PLC0415 - rarely needed, and the agent is small

        _log.info("the API server refuses the credentials; resolving them anew")
        with self._lock:
            if self._is_aborted:
                raise ResolveError("stopping")
            self._process = Popen(self._command, stdout=PIPE, stderr=PIPE)  # noqa: S603 - our own module
        try:
            output, errors = self._process.communicate(timeout=RESOLVE_SECONDS)
        except TimeoutExpired as error:
            raise ResolveError(f"no credentials within {RESOLVE_SECONDS:.0f} s") from error
        finally:
            self._end()
        return _read(output, errors)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with process:  # closes its pipes
                process.kill()

    def abort(self) -> None:
        """Give up for good; any thread may call this."""
        with self._lock:
            self._is_aborted = True
            process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()


def _read(output: bytes, errors: bytes) -> ApiServer:
    """Return what was printed; standard output holds secrets and is never shown."""
    try:
        return ApiServer(**json.loads(output))
    except (ValueError, TypeError):
        reason = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise ResolveError(reason or "the kubeconfig gave no credentials") from None
