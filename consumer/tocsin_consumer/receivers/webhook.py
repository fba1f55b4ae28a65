"""Any webhook: a request whose body has any shape."""

from collections.abc import Mapping, Sequence
from typing import Final
from zoneinfo import ZoneInfo

from tocsin_consumer.document import document
from tocsin_consumer.errors import DeliveryError, PermanentError, RenderError
from tocsin_consumer.hints import Override
from tocsin_consumer.inert import one_line
from tocsin_consumer.labels import Language
from tocsin_consumer.layout import Layout
from tocsin_consumer.notification import Notification
from tocsin_consumer.rate_limit import RateLimit
from tocsin_consumer.receiver_settings import HeaderFile, WebhookSettings
from tocsin_consumer.receivers import http
from tocsin_consumer.receivers.receiver import Note, Receipt, Rendering, unnoted
from tocsin_consumer.redact import redact, url_secrets
from tocsin_consumer.render import Template, to_json
from tocsin_consumer.view import View

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_CONTENT_TYPE: Final = "content-type"


class WebhookReceiver:
    """Sends an HTTP request for each notification.

    A layout that is one text is sent as it is, any other as JSON; without a layout it is the whole event. A
    header whose value names nothing of the event counts as a secret: it is sent, and never shown.
    """

    def __init__(
        self,
        name: str,
        settings: WebhookSettings,
        *,
        time_zone: ZoneInfo,
        language: Language,
        hints: Sequence[Override] = (),
        limits: tuple[RateLimit, ...] = (),
        webhook: http.Webhook | None = None,
    ) -> None:
        self._name = name
        self._limits = limits
        self._method = settings.method
        self._time_zone = time_zone
        self._language = language
        self._hints = hints
        self._layout = None if settings.layout is None else Layout(settings.layout)
        self._templates, self._constants = _headers(settings)
        self._content_type = Template(_content_type(settings))
        self._secrets = (*url_secrets(settings.address), *_words(self._constants))
        self._webhook = webhook or http.Webhook(
            settings.address, timeout=settings.timeout, ca_file=settings.ca_file
        )

    @property
    def name(self) -> str:
        """The name that routes know it by."""
        return self._name

    @property
    def limits(self) -> tuple[RateLimit, ...]:
        """None but what is configured."""
        return self._limits

    @property
    def is_local(self) -> bool:
        """Whether to deliver takes less time than to write down that it is done."""
        return False

    def render(self, notification: Notification) -> Rendering:
        """Return body and headers.

        Raises:
            RenderError: a template does not fit the event.
        """
        view = View.of(notification, self._time_zone, language=self._language, hints=self._hints)
        headers = {name: _rendered(name, template, view) for name, template in self._templates.items()}
        body = document(notification) if self._layout is None else self._layout.render(view)
        content = body if isinstance(body, str) else to_json(body)
        return Rendering(content, self._content_type.render(view), headers)

    def deliver(self, rendering: Rendering, note: Note = unnoted) -> Receipt:
        """Send the request.

        Raises:
            TemporaryError: no answer, or one that may change.
            PermanentError: an answer that will not change.
        """
        body = rendering.content.encode("utf-8", "replace")
        headers = {"Content-Type": rendering.content_type, **rendering.headers, **self._constants}
        note()
        answer = self._webhook.send(body, method=self._method, headers=headers)
        try:
            http.check_status(answer)
        except PermanentError as error:
            raise PermanentError(self._shown(error, answer)) from error
        return Receipt(f"HTTP {answer.status}")

    def close(self) -> None:
        """Close the connections."""
        self._webhook.close()

    def _shown(self, error: DeliveryError, answer: http.Answer) -> str:
        """Return the reason, with what the service says about it."""
        said = redact(answer.text, self._secrets)
        return f"{error.reason}: {said}" if said else error.reason


def _headers(settings: WebhookSettings) -> tuple[dict[str, Template], dict[str, str]]:
    """Return the headers with something of the event in them, and the others, without the content type."""
    templates, constants = {}, {}
    for name, value in settings.headers.items():
        text = settings.header(name)
        if name.lower() == _CONTENT_TYPE:
            continue
        if isinstance(value, HeaderFile) or "{" not in text:
            constants[name] = text
        else:
            templates[name] = Template(text, escape=one_line)
    return templates, constants


def _content_type(settings: WebhookSettings) -> str:
    configured = [settings.header(name) for name in settings.headers if name.lower() == _CONTENT_TYPE]
    return configured[0] if configured else (_TEXT if isinstance(settings.layout, str) else _JSON)


def _words(headers: Mapping[str, str]) -> list[str]:
    """Return the values of headers, and what stands behind a scheme such as Bearer."""
    return [secret for value in headers.values() for secret in (value, value.rpartition(" ")[2])]


def _rendered(name: str, template: Template, view: View) -> str:
    try:
        return template.render(view)
    except RenderError as error:
        raise RenderError(f"headers.{name}: {error}") from error
