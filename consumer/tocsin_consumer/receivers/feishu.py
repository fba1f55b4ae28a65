"""The custom bot of a Feishu or Lark group.

Source: "Custom bot usage guide", https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot; the codes
that it leaves out are those that users of the service have reported.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from tocsin_consumer.errors import DeliveryError, PermanentError, RenderError, TemporaryError
from tocsin_consumer.hints import Override
from tocsin_consumer.labels import Language
from tocsin_consumer.layout import Layout
from tocsin_consumer.notification import Notification
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import FeishuSettings
from tocsin_consumer.receivers import feishu_card, feishu_text, http
from tocsin_consumer.receivers.feishu_group import LINES_LISTED
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.redact import redact, url_secrets
from tocsin_consumer.render import Template, to_json
from tocsin_consumer.view import View

#: The service permits 5 in a second and 100 in a minute, as it sees them come: what the network bunches up that we
#: sent just within the limits, it refuses. Hence the margin.
LIMITS: Final = (RateLimit(5, timedelta(seconds=1.2)), RateLimit(100, timedelta(seconds=62)))
#: "The request body cannot exceed 20 KB", less what signing and the keyword add to it.
BODY_LIMIT: Final = 20 * 1000 - 200
#: Characters of a message that are worth more than another line.
_SHORT_MESSAGE: Final = 80

#: The service is busy: another try helps.
_BUSY_CODES: Final = frozenset({11232, 99991400})
_BUSY_WORDS: Final = ("frequency limit", "too many request")
_BUSY_PAUSE: Final = timedelta(seconds=1)
_BAD_SIGNATURE: Final = 19021
#: The keywords of a card are looked for in few places; those of a text in all of it.
_NO_KEYWORD: Final = 19024
#: What no other form of the message would change, and what to do about it.
_FINAL_CODES: Final = {
    19001: "check the url: the bot may have been removed",
    19022: "add our address to the bot's IP whitelist",
    99991201: "check the url",
}


class FormRefusedError(PermanentError):
    """The service does not take this form of the message; it may take another."""


class SignatureRefusedError(PermanentError):
    """The signature does not match, or its time is more than an hour away from the service's."""


class FeishuReceiver:
    """Sends cards, signed where the bot asks for it; a card that is refused is sent as a text."""

    def __init__(
        self,
        name: str,
        settings: FeishuSettings,
        *,
        time_zone: ZoneInfo,
        language: Language,
        hints: Sequence[Override] = (),
        limits: tuple[RateLimit, ...] = (),
        webhook: http.Webhook | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._limits = (*LIMITS, *limits)
        self._time_zone = time_zone
        self._language = language
        self._hints = hints
        self._form = _Form(settings)
        self._key = settings.signing_key
        self._secrets = (*url_secrets(settings.address), self._key or "")
        self._webhook = webhook or http.Webhook(settings.address, timeout=settings.timeout)
        self._clock = clock

    @property
    def name(self) -> str:
        """The name that routes know it by."""
        return self._name

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """Somewhat less than the service permits, and what is configured."""
        return self._limits

    @property
    def is_local(self) -> bool:
        """Whether to deliver takes less time than to write down that it is done."""
        return False

    def render(self, notification: Notification) -> Rendering:
        """Return the card and its text, shortened to what the service takes.

        Raises:
            RenderError: a template does not fit the event, or says more than fits without the message.
        """
        view = View.of(notification, self._time_zone, language=self._language, hints=self._hints)
        card = fitting(view, self._form.card)
        return Rendering(card, "application/json", fallback=fitting(view, self._form.text))

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        """Send the card, or else the text.

        Raises:
            TemporaryError: the service is busy or out of reach.
            PermanentError: it takes neither, or never will.
        """
        try:
            return Receipt(self._send(rendering.content, note))
        except FormRefusedError as refusal:
            if rendering.fallback is None:
                raise
            answer = self._send(rendering.fallback, note)
            return Receipt(answer, f"as text: the card was refused: {refusal.reason}")

    def close(self) -> None:
        """Close the connections."""
        self._webhook.close()

    def _send(self, content: str, note: Note) -> str:
        try:
            return self._send_signed(content, note)
        except SignatureRefusedError:
            return self._send_signed(content, note)  # signed anew, in case that it was under way for an hour

    def _send_signed(self, content: str, note: Note) -> str:
        signature = sign(self._key, int(self._clock())) if self._key else {}
        body = to_json({**signature, **json.loads(content)}).encode("utf-8", "replace")
        note()
        answer = self._webhook.send(body, headers={"Content-Type": "application/json"})
        return judge(answer, secrets=(*self._secrets, *signature.values()))


class _Form:
    """What is configured about the look of messages."""

    def __init__(self, settings: FeishuSettings) -> None:
        self._title = None if settings.title is None else Template(settings.title)
        self._body = (
            None if settings.template is None else Template(settings.template, escape=feishu_text.escape_markdown)
        )
        self._card = None if settings.card is None else Layout(settings.card, escape_in=feishu_text.escape_in)
        self._is_own_text = settings.text is None
        text = feishu_text.DEFAULT_TEXT if settings.text is None else settings.text
        self._text = Template(text, escape=feishu_text.escape_text)
        self._keyword = settings.keyword

    def card(self, view: View) -> dict[str, Any]:
        title = self._title.render(view) if self._title else None
        body = self._body.render(view) if self._body else None
        card = self._card.render(view) if self._card else feishu_card.card_of(view, title=title, body=body)
        if self._keyword and not feishu_card.says(card, self._keyword):
            card = feishu_card.with_keyword(card, self._keyword)
        return feishu_card.card_message(card)

    def text(self, view: View) -> dict[str, Any]:
        text = self._text.render(view.with_lines(LINES_LISTED) if self._is_own_text else view)
        if self._keyword and self._keyword not in text:
            text = f"{text}\n{self._keyword}"
        return feishu_text.text_message(text)


def fitting(view: View, form: Callable[[View], Any], *, limit: int = BODY_LIMIT) -> str:
    """Return the JSON of `form` with as much as fits into `limit` bytes.

    Messages are shortened first; where they would say too little, lines are left out, which the view counts.

    Raises:
        RenderError: it does not fit even with one line and without its message.
    """

    def tried(said: View) -> str | None:
        content = to_json(form(said))
        return content if _size(content) <= limit else None

    whole = tried(view)
    if whole is not None:
        return whole
    short = view.with_message(_SHORT_MESSAGE)
    if len(view.lines) > 1 and tried(short) is None:
        lines, _ = _most(lambda number: tried(short.with_lines(number)), 1, len(view.lines))
        view = view.with_lines(lines)
    _, content = _most(lambda length: tried(view.with_message(length)), 0, view.longest_message)
    if content is None:
        size = _size(to_json(form(view.with_message(0))))
        raise RenderError(f"has {size} bytes without the event's message; Feishu takes {limit}")
    return content


def _most(tried: Callable[[int], str | None], least: int, too_much: int) -> tuple[int, str | None]:
    """Return the largest number from `least` below `too_much` with which a try succeeds, and what comes of it."""
    content = tried(least)
    while too_much - least > 1:
        middle = (least + too_much) // 2
        result = tried(middle)
        if result is None:
            too_much = middle
        else:
            least, content = middle, result
    return least, content


def _size(content: str) -> int:
    return len(content.encode("utf-8", "replace"))


def sign(key: str, timestamp: int) -> dict[str, str]:
    """Return the fields that prove that a request knows `key`; they hold for an hour.

    HMAC-SHA256 over nothing, keyed with the time and the key.
    """
    digest = hmac.new(f"{timestamp}\n{key}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": str(timestamp), "sign": base64.b64encode(digest).decode()}


def judge(answer: http.Answer, *, secrets: tuple[str, ...] = ()) -> str:
    """Return what the service says when it took the message; most of its errors are HTTP 200 with a code.

    Raises:
        TemporaryError: busy, or no answer of this service, whatever its body says.
        FormRefusedError: it may take another form of the message.
        SignatureRefusedError: the signature or the clock is wrong.
        PermanentError: it takes nothing.
    """
    said = _parsed(answer)
    if said is None or answer.status == 429 or answer.status >= 500:
        http.check_status(answer)
        raise TemporaryError(f"HTTP {answer.status} with something else than an answer of Feishu's")
    code, message = said
    if code == 0:
        http.check_status(answer)
        return redact(message, secrets) or "success"
    raise _error(code, redact(message, secrets), answer)


def _error(code: int, message: str, answer: http.Answer) -> DeliveryError:
    reason = f"code {code}: {message}"
    if code in _BUSY_CODES or any(words in message.lower() for words in _BUSY_WORDS):
        pause = http.retry_after(answer, datetime.now(UTC)) or _BUSY_PAUSE
        return TemporaryError(reason, retry_after=pause)
    if code == _BAD_SIGNATURE:
        return SignatureRefusedError(f"{reason}; check secret, and the clock of this machine")
    if code in _FINAL_CODES:
        return PermanentError(f"{reason}; {_FINAL_CODES[code]}")
    hint = "; set keyword to one of the bot's keywords" if code == _NO_KEYWORD else ""
    return FormRefusedError(f"{reason}{hint}")


def _parsed(answer: http.Answer) -> tuple[int, str] | None:
    """Return code and message; old deployments have only StatusCode. None when it is no answer of Feishu's."""
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    code = said.get("code", said.get("StatusCode"))
    message = said.get("msg", said.get("StatusMessage", ""))
    return (code, str(message)) if isinstance(code, int) and not isinstance(code, bool) else None
