"""What receivers would be sent, for people's eyes."""

import json
import re
from collections.abc import Iterator
from typing import Final

from tocsin_consumer.card_html import card_to_html
from tocsin_consumer.inert import inert
from tocsin_consumer.notification import Notification
from tocsin_consumer.receivers.receiver import Receiver, Rendering

#: What standard output puts around a word on a terminal (ECMA-48, SGR): of the terminal, not of the text.
_COLOUR: Final = re.compile("\x1b\\[[0-9;]*m")


def preview_text(receiver: Receiver, notification: Notification) -> Iterator[str]:
    """Yield the lines that show what `receiver` would send; nothing in them acts on a terminal.

    Raises:
        RenderError: a template does not fit the event.
    """
    rendering = receiver.render(notification)
    yield f"── {receiver.name} ── {rendering.content_type}"
    yield from rendering_lines(rendering)


def rendering_lines(rendering: Rendering) -> Iterator[str]:
    """Yield the lines that show what would be sent; nothing in them acts on a terminal."""
    yield from (f"{name}: {inert(value)}" for name, value in rendering.headers.items())
    yield _readable(rendering)
    if rendering.fallback is not None:
        yield "── if that is refused"
        yield inert(rendering.fallback)


def preview_html(receiver: Receiver, notification: Notification) -> str:
    """Return a page that shows the Feishu card that `receiver` would send.

    Raises:
        RenderError: a template does not fit the event.
    """
    return card_to_html(json.loads(receiver.render(notification).content)["card"])


def _readable(rendering: Rendering) -> str:
    if rendering.content_type != "application/json":
        return inert(_COLOUR.sub("", rendering.content))
    return inert(json.dumps(json.loads(rendering.content), ensure_ascii=False, indent=2))
