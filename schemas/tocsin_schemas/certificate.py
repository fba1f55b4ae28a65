"""What the certificate of a server says, also where it is not to be trusted, in words for people."""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from socket import socket
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

#: Whoever renews certificates by hand wants to know this much before.
EXPIRES_SOON: Final = timedelta(days=21)
#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name.
_NO_CHECK_TIME: Final = 0x200000


@dataclass(frozen=True, slots=True)
class Certificate:
    """For whom it is, by whom, and from when to when."""

    names: tuple[str, ...]
    issuer: str
    valid_from: datetime
    valid_until: datetime

    @classmethod
    def read(cls, decoded: Mapping[str, Any]) -> Self:
        """Return what `SSLSocket.getpeercert` and `SSLContext.get_ca_certs` have decoded."""
        names = [str(value) for kind, value in decoded.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
        return cls(
            names=tuple(names or [_in_a_word(decoded["subject"])]),
            issuer=_in_a_word(decoded["issuer"]),
            valid_from=_time(decoded["notBefore"]),
            valid_until=_time(decoded["notAfter"]),
        )

    @property
    def name(self) -> str:
        """For whom it is, in a word."""
        return self.names[0]

    def expires_soon(self, now: datetime) -> bool:
        """Whether it is time to renew it."""
        return self.valid_until - now < EXPIRES_SOON


def peek(connect: Callable[[], socket], server_name: str) -> Certificate | None:
    """Return the certificate that a server shows, without trusting it; None if it shows none that can be read.

    Python decodes only what it has verified. So the certificate is fetched once, and in a second handshake taken
    for its own authority, whatever the time is. Nothing is sent over either connection.
    """
    try:
        shown = _shown(_credulous(), connect, server_name, lambda sock: sock.getpeercert(binary_form=True))
        return None if shown is None else _decode(shown, connect, server_name)
    except (OSError, ValueError):
        return None


def _decode(shown: bytes, connect: Callable[[], socket], server_name: str) -> Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=shown)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    decoded = _shown(context, connect, server_name, lambda sock: sock.getpeercert())
    return Certificate.read(decoded) if decoded else None


def _credulous() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shown(
    context: ssl.SSLContext, connect: Callable[[], socket], server_name: str, ask: Callable[[ssl.SSLSocket], T]
) -> T:
    with connect() as sock, context.wrap_socket(sock, server_hostname=server_name) as wrapped:
        return ask(wrapped)


def _in_a_word(names: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    """Return the best of the parts of a distinguished name."""
    parts = {key: value for group in names for key, value in group}
    known = (parts.get(key) for key in ("commonName", "organizationalUnitName", "organizationName"))
    return next((value for value in known if value), "nobody")


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
