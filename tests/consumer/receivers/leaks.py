"""Proves that a receiver's failures show nothing secret, wherever a person or a collector might look."""

from __future__ import annotations

import json
import logging
import traceback
from typing import TYPE_CHECKING

import pytest

from tocsin_consumer.errors import DeliveryError
from tocsin_schemas.logs import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tocsin_consumer.receivers.receiver import Receiver, Rendering


def failure(
    receiver: Receiver, rendering: Rendering, *, caplog: pytest.LogCaptureFixture
) -> tuple[DeliveryError, str]:
    """Deliver, which has to fail, with every log switched on; return the error and all that can be seen of it."""
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError) as raised:
        receiver.deliver(rendering)
    error = raised.value
    logging.getLogger("tocsin_consumer").error("failed", exc_info=error)
    shown = [repr(receiver), repr(vars(error)), "".join(traceback.format_exception(error))]
    shown += [text for cause in _chain(error) for text in (str(cause), repr(cause))]
    shown += [JsonFormatter().format(record) for record in caplog.records]
    return error, "\n".join([*shown, caplog.text])


def assert_hidden(shown: str, secrets: Iterable[str]) -> None:
    """Fail when any of `secrets` can be seen, as it is or as JSON writes it."""
    for secret in secrets:
        assert secret not in shown
        assert json.dumps(secret)[1:-1] not in shown


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what it came from, also what a traceback would suppress."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
