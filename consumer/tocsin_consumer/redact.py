"""Keeps secrets out of what is shown: the addresses of webhooks are passwords."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from tocsin_consumer.inert import one_line, shortened

_HIDDEN: Final = "***"
#: How much of what a service answered is worth repeating.
_LIMIT: Final = 200
#: Shorter parts of an address are words such as "hook", which messages are full of.
_SHORTEST_TOKEN: Final = 8


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return what may be shown of `text`: one line, of bounded length, without any of `secrets`.

    A secret is also found in its percent-encoded and its decoded form.
    """
    forms = {
        form for secret in secrets for form in (secret, quote(secret), quote(secret, safe=""), unquote(secret))
    }
    for form in sorted(forms - {""}, key=len, reverse=True):  # the whole before its parts
        text = text.replace(form, _HIDDEN)
    return shortened(one_line(text).strip(), _LIMIT)


def url_secrets(url: str) -> tuple[str, ...]:
    """Return the parts of a webhook's address that are secret: all but its scheme, host and port.

    Besides the path and the query as a whole, each long segment and value stands alone, for services that
    repeat only the token.
    """
    parts = urlsplit(url)
    long = [word for word in _words(f"{parts.path}&{parts.query}") if len(word) >= _SHORTEST_TOKEN]
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    whole = [url, target, parts.path, parts.query, parts.username or "", parts.password or ""]
    return tuple(secret for secret in (*whole, *long) if secret.strip("/"))


def _words(text: str) -> list[str]:
    for separator in "/=?":
        text = text.replace(separator, "&")
    return text.split("&")
