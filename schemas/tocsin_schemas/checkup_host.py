"""The steps of a checkup that lead to a host: its name, its port, its TLS. Nothing more is sent."""

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tocsin_schemas.certificate import Certificate, peek
from tocsin_schemas.checkup import Checkup, Finding, Step, failed, ok, warning, within
from tocsin_schemas.dial import Address, reach

#: OpenSSL's codes for why a certificate is not trusted (openssl/x509_vfy.h).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_WRONG_NAME: Final = frozenset({62, 64})
#: What OpenSSL calls an answer that is no TLS at all, in its versions.
_PLAIN: Final = frozenset({"wrong version number", "record layer failure", "packet length too long"})


@dataclass(frozen=True, slots=True)
class Host:
    """A host to reach.

    Args:
        what: what it is to people, such as broker; the steps are named after it.
        name: its name or address.
        port: its port.
        wherefrom: where its name is written, such as broker.url.
        trust: who vouches for its certificate, such as a file.
        mend_trust: how to have it vouch for another.
        renew: how its certificate is renewed.
        tls: makes the context that verifies it; None where TLS is not spoken.
        server_name: for whom its certificate has to be, if not for its name.
        seconds: how long each step may take.
    """

    what: str
    name: str
    port: int
    wherefrom: str
    trust: str = "the trust store of this machine"
    mend_trust: str = "update the package ca-certificates"
    renew: str = "tell who runs it to renew its certificate"
    tls: Callable[[], ssl.SSLContext] | None = None
    server_name: str | None = None
    seconds: float = 20.0

    @property
    def address(self) -> str:
        """Name and port, as they are written."""
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"

    @property
    def certified_name(self) -> str:
        """For whom its certificate has to be."""
        return self.server_name or self.name

    @property
    def openssl(self) -> str:
        """What shows its certificate."""
        command = f"openssl s_client -connect {self.address} -servername {self.certified_name}"
        return f"{command} </dev/null | openssl x509 -noout -subject -issuer -dates -ext subjectAltName"


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def check_host(checkup: Checkup, host: Host, *, now: Callable[[], datetime] = utc_now) -> Step[list[Address]]:
    """Take the steps that lead to `host`, and return the last of them, whose value are its addresses."""
    found = checkup.step(f"{host.what} DNS", lambda: look_up(host))
    reached = checkup.step(f"{host.what} TCP", lambda addresses: connect(host, addresses), found)
    if host.tls is None:
        return reached
    return checkup.step(f"{host.what} TLS", lambda addresses: shake_hands(host, addresses, now()), reached)


def look_up(host: Host) -> Finding[list[Address]]:
    """Look for the addresses of `host`."""
    try:
        found = within(host.seconds, lambda: _addresses(host))
    except TimeoutError:
        return failed(
            f"no answer from DNS within {host.seconds:g} s",
            cause="the link is down, or the name server that this machine asks is",
            run="cat /etc/resolv.conf",
        )
    except (OSError, UnicodeError) as error:
        return _unknown(host, error)
    if _is_address(host.name):
        return ok(f"{host.name} is an address and needs none", found)
    shown = ", ".join(dict.fromkeys(str(where[0]) for _, where in found))
    return ok(f"{host.name} is {shown}", found)


def _addresses(host: Host) -> list[Address]:
    found = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    return [(family, where) for family, _, _, _, where in found]


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _unknown(host: Host, error: OSError | UnicodeError) -> Finding[list[Address]]:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return failed(
            f"DNS cannot tell the address of {host.name} just now",
            cause="the link is down, or the name server that this machine asks is",
            run=f"cat /etc/resolv.conf; getent hosts {host.name}",
        )
    return failed(
        f"nobody has the name {host.name}",
        cause=f"{host.wherefrom} has a mistake in it, or the name is known elsewhere only (a VPN, /etc/hosts)",
        run=f"getent hosts {host.name}",
    )


def connect(host: Host, addresses: list[Address]) -> Finding[list[Address]]:
    """Open a connection to `host`, and close it."""
    try:
        with reach(addresses, within_seconds=host.seconds) as sock:
            return ok(f"{_readable(sock)} takes connections", addresses)
    except TimeoutError:
        return failed(
            f"{host.address} does not answer",
            cause="a firewall on the way swallows the packets, or the machine is off",
            run=f"nc -vz -w 5 {host.name} {host.port}; the same from another network",
        )
    except ConnectionRefusedError:
        return failed(
            f"{host.address} refuses connections",
            cause=f"nothing listens there: it is not started, or the port in {host.wherefrom} is wrong",
            run=f"on that machine: ss -ltn 'sport = :{host.port}'",
        )
    except OSError as error:
        return failed(
            f"{host.address} cannot be reached: {error.strerror or type(error).__name__}",
            cause="this machine has no way there: the link is down, or a route is missing",
            run="ip route; ip -6 route",
        )


def _readable(sock: socket.socket) -> str:
    name, port = sock.getpeername()[:2]
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def shake_hands(host: Host, addresses: list[Address], now: datetime) -> Finding[list[Address]]:
    """Agree on TLS with `host`, and close the connection."""
    try:
        chain = _verified(host, addresses)
    except ssl.SSLCertVerificationError as error:
        shown = peek(lambda: _open(host, addresses), host.certified_name)
        return _distrusted(host, error, shown=shown, now=now)
    except TimeoutError:
        return failed(
            f"{host.address} takes the connection and does not answer to TLS within {host.seconds:g} s",
            cause="it hangs, speaks no TLS on this port, or something on the way drops large packets (MTU)",
            run=host.openssl,
        )
    except (ssl.SSLError, ConnectionError) as error:
        return _no_tls(host, error)
    except (OSError, ValueError) as error:  # a file of certificates
        return failed(
            f"the certificates to trust, or our own, cannot be used: {error}",
            cause="a file was changed or taken away since the configuration was read",
            run="openssl x509 -noout -subject -dates -in that file",
        )
    return _trusted(host, addresses, chain=chain, now=now)


def _open(host: Host, addresses: list[Address]) -> socket.socket:
    sock = reach(addresses, within_seconds=host.seconds)
    sock.settimeout(host.seconds)
    return sock


def _verified(host: Host, addresses: list[Address]) -> list[Certificate]:
    """Return the certificate of `host` and that of its authority, as far as they are known."""
    context = host.tls() if host.tls is not None else ssl.create_default_context()
    with (
        _open(host, addresses) as sock,
        context.wrap_socket(sock, server_hostname=host.certified_name) as wrapped,
    ):
        decoded = wrapped.getpeercert()
    if not decoded:  # it is not asked for
        return []
    authorities = [one for one in context.get_ca_certs() if one["subject"] == decoded["issuer"]]
    return [Certificate.read(one) for one in (decoded, *authorities)]


def _trusted(
    host: Host, addresses: list[Address], *, chain: list[Certificate], now: datetime
) -> Finding[list[Address]]:
    if not chain:
        return warning(
            "encrypted, but nobody is verified: whoever is on the way can read and change everything",
            cause="insecure-skip-tls-verify in the kubeconfig",
            run="put certificate-authority-data in its place",
            value=addresses,
        )
    first = min(chain, key=lambda certificate: certificate.valid_until)
    whose = "its certificate" if first is chain[0] else f"the certificate of its authority, {first.name},"
    until = f"{first.valid_until:%Y-%m-%d} ({days(first.valid_until - now)})"
    if first.expires_soon(now):
        return warning(
            f"{whose} expires on {until}",
            cause="it is not renewed by itself",
            run=f"{host.renew} before that day; see it with: {host.openssl}",
            value=addresses,
        )
    return ok(f"{whose} is for {chain[0].name}, by {chain[0].issuer}, until {until}", addresses)


def _distrusted(
    host: Host, error: ssl.SSLCertVerificationError, *, shown: Certificate | None, now: datetime
) -> Finding[list[Address]]:
    """Say why the certificate is not trusted, and who has to change what."""
    if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
        return _not_valid_now(host, shown, now, begins=error.verify_code == _NOT_YET_VALID)
    if error.verify_code in _WRONG_NAME:
        names = ", ".join(shown.names) if shown else "another name"
        return failed(
            f"the certificate is for {names}, not for {host.certified_name}",
            cause=f"{host.wherefrom} has another name than the certificate, or leads to another machine",
            run=f"write a name of the certificate into {host.wherefrom}, or issue one for {host.certified_name}",
        )
    return failed(
        f"the certificate is not trusted: {error.verify_message}",
        cause=f"it is by {shown.issuer if shown else 'another authority'}, which {host.trust} does not name",
        run=f"{host.mend_trust}; see who issued it: {host.openssl}",
    )


def _not_valid_now(
    host: Host, shown: Certificate | None, now: datetime, *, begins: bool
) -> Finding[list[Address]]:
    """Say since or until when a certificate is not valid: that of the host, or else that of its authority."""
    clock = f"the clock of this machine is wrong: it says {now:%Y-%m-%d %H:%M} UTC"
    verb, cause = ("is not valid before", clock) if begins else ("expired on", f"it was not renewed; or {clock}")
    run = f"date -u; {'timedatectl' if begins else host.renew}"
    if shown is None:
        return failed(f"the certificate {verb} a day that cannot be read", cause=cause, run=run)
    if shown.valid_from <= now < shown.valid_until:
        what = (
            f"the certificate of its authority, {shown.issuer}, {'is not valid yet' if begins else 'has expired'}"
        )
        return failed(what, cause=cause, run=f"date -u; {host.mend_trust}")
    day = shown.valid_from if begins else shown.valid_until
    return failed(f"the certificate {verb} {day:%Y-%m-%d %H:%M} UTC", cause=cause, run=run)


def _no_tls(host: Host, error: OSError) -> Finding[list[Address]]:
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if reason in _PLAIN:
        return failed(
            f"{host.address} does not speak TLS",
            cause=f"{host.wherefrom} has the port of the plain listener, or its scheme is wrong",
            run=host.openssl,
        )
    return failed(
        f"{host.address} ends the handshake: {reason or 'it hangs up'}",
        cause="it speaks no TLS on this port, no version from 1.2 on, or something on the way cuts TLS off",
        run=host.openssl,
    )


def days(left: timedelta) -> str:
    """Return how long something is still valid."""
    number = left // timedelta(days=1)
    return f"{number} days left" if number != 1 else "1 day left"
