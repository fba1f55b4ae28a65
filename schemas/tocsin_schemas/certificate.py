"""What the certificate of a server says, also where it is not to be trusted, in words for people."""

import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

#: Whoever renews certificates by hand wants to know this much before.
EXPIRES_SOON: Final = timedelta(days=21)
#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name.
_NO_CHECK_TIME: Final = 0x200000
_FIRST: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: More than a handshake takes.
_FLIGHTS: Final = 4


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


def read_own(cert_file: str, key_file: str) -> Certificate:
    """Return what a certificate of ours says, by showing it to ourselves in memory.

    Raises:
        OSError, ValueError: it cannot be used with its key, or not be read.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    _trust_alone(server, _first(Path(cert_file).read_text(encoding="ascii", errors="ignore")))
    client = _credulous()
    for context in (server, client):
        context.load_cert_chain(cert_file, key_file, password="")
    decoded = _met(server, client).getpeercert()
    if not decoded:
        raise ValueError("it cannot be read")
    return Certificate.read(decoded)


def _first(chain: str) -> str:
    found = _FIRST.search(chain)
    if found is None:
        raise ValueError("it has no certificate in PEM form")
    return found[0]


def _met(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """Return the server's end of a handshake between two contexts."""
    upwards, downwards = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(downwards, upwards), server.wrap_bio(upwards, downwards, server_side=True))
    for _ in range(_FLIGHTS):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[1]


def _decode(shown: bytes, connect: Callable[[], socket], server_name: str) -> Certificate | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _trust_alone(context, shown)
    decoded = _shown(context, connect, server_name, lambda sock: sock.getpeercert())
    return Certificate.read(decoded) if decoded else None


def _trust_alone(context: ssl.SSLContext, certificate: bytes | str) -> None:
    """Let `context` trust a certificate as its own authority, whatever the time is."""
    context.load_verify_locations(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME


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
