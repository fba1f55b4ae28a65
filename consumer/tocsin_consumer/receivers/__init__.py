"""Where notifications go. A new kind is a module here, a line in the table, and a key of a receiver's settings."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.hints import Override
from tocsin_consumer.labels import Language
from tocsin_consumer.receiver_settings import ReceiverSettings
from tocsin_consumer.receivers.feishu import FeishuReceiver
from tocsin_consumer.receivers.file import FileReceiver
from tocsin_consumer.receivers.receiver import Receiver
from tocsin_consumer.receivers.stdout import StdoutReceiver
from tocsin_consumer.receivers.webhook import WebhookReceiver

#: Kind → what builds it from a name and the settings of the kind.
RECEIVERS: Final[dict[str, Callable[..., Receiver]]] = {
    "stdout": StdoutReceiver,
    "file": FileReceiver,
    "webhook": WebhookReceiver,
    "feishu": FeishuReceiver,
}


def build(
    settings: ReceiverSettings, *, time_zone: ZoneInfo, language: Language, hints: Sequence[Override] = ()
) -> Receiver:
    """Return the receiver that `settings` describe; `time_zone` and `language` serve where they have none."""
    limit = settings.rate_limit
    arguments: dict[str, Any] = {
        "time_zone": settings.time_zone or time_zone,
        "language": settings.language or language,
        "hints": hints,
        "limits": (limit.limit,) if limit else (),
    }
    return RECEIVERS[settings.kind](settings.name, getattr(settings, settings.kind), **arguments)
