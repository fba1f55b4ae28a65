"""Where the broker is, who we are to it, and how a socket to it is opened.

Standard library only: the producer imports this in a process that has to stay small.
"""

import math
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tocsin_schemas.secret import read_secret

#: How long data may stay unacknowledged before the kernel gives the connection up (RFC 5482).
USER_TIMEOUT_SECONDS: Final = 30

#: Of Linux' `struct tcp_info` (uapi/linux/tcp.h): bytes received, segments out and in, bytes sent.
_TCP_INFO: Final = struct.Struct("=128xQII56xQ")
#: Headers of IP and of TCP with timestamps, in bytes.
_HEADERS: Final = {socket.AF_INET: 20 + 32, socket.AF_INET6: 40 + 32}

#: How much is read at a time of what says nothing.
_DRAINED: Final = 4096

#: Of which family it is, and what `connect` takes.
Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and who we are to it. Secrets are read anew for each connection."""

    host: str
    port: int
    client_id: str
    tls: bool
    websocket_path: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_seconds: int = 240
    connect_timeout_seconds: float = 20.0
    session_expiry_seconds: int = 86_400
    clean_start: bool = False

    def read_password(self) -> str | None:
        """Return the password, if there is one; `secret.read_secret` says what it raises."""
        return self.password if self.password_file is None else read_secret(self.password_file)

    def tls_context(self) -> ssl.SSLContext:
        """Return a context that verifies the broker, and shows our certificate if we have one.

        Raises:
            ValueError: a file cannot be read or is not what it should be; it names the file.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise ValueError(f"ca_file {self.ca_file} cannot be used: {_reason(error)}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Among these workarounds for servers of long ago one pads the first message to 512 bytes, at each connect.
        context.options &= ~ssl.OP_ALL
        if self.ca_file is not None:
            # Since Python 3.13 the default wants extensions that many a private CA leaves out.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.cert_file is not None:
            load_certificate(context, self.cert_file, self.key_file)
        return context


def load_certificate(context: ssl.SSLContext, cert_file: str, key_file: str | None) -> None:
    """Let `context` show a certificate of ours.

    Raises:
        ValueError: a file cannot be read, is not what it should be, or does not belong to the other.
    """
    try:
        # An empty pass phrase, since OpenSSL would ask the terminal for one that a key wants.
        context.load_cert_chain(cert_file, key_file, password="")
    except (OSError, ValueError) as error:
        files = f"cert_file {cert_file} and key_file {key_file}"
        raise ValueError(f"{files} cannot be used together: {_reason(error)}") from error


def _reason(error: OSError | ValueError) -> str:
    reason: str | None = getattr(error, "reason", None)  # what OpenSSL calls it, such as KEY_VALUES_MISMATCH
    if reason:
        return reason.replace("_", " ").lower()
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def look_up(broker: Broker) -> list[Address]:
    """Return the addresses of the broker; there is no limit to how long DNS takes.

    Raises:
        OSError: it has none.
        ValueError: the host is not a host's name.
    """
    found = socket.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def open_socket(broker: Broker, addresses: list[Address], context: ssl.SSLContext | None) -> socket.socket:
    """Return a socket on which MQTT or WebSockets can begin; one on which TLS cannot is closed.

    Raises:
        OSError: nobody is there, or the TLS handshake fails.
    """
    sock = reach(addresses, within_seconds=broker.connect_timeout_seconds)
    try:
        sock.settimeout(broker.connect_timeout_seconds)
        _tune(sock)
        return sock if context is None else context.wrap_socket(sock, server_hostname=broker.host)
    except ConnectionError as error:
        sock.close()
        raise ssl.SSLError(error.errno, "hung up during the handshake") from error
    except BaseException:
        sock.close()
        raise


def reach(
    addresses: list[Address],
    *,
    within_seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """Return a connection to the first address that answers.

    One that swallows what is sent to it, as IPv6 does on many a mobile network, must not use up the time of those
    after it: each gets an equal part of what is left.

    Raises:
        OSError: none answers; it is the error of the last one.
    """
    deadline = clock() + within_seconds
    for left in range(len(addresses), 1, -1):
        with suppress(OSError):  # the last one's tells more than that of a family that is not there
            return _connect(addresses[-left], (deadline - clock()) / left)
    return _connect(addresses[-1], deadline - clock())


def _connect(address: Address, seconds: float) -> socket.socket:
    if seconds <= 0:
        raise TimeoutError
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    """Send small packets at once, and notice within half a minute that what we sent goes nowhere."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_SECONDS * 1000)


def traffic(sock: socket.socket) -> int:
    """Return how many bytes of IP packets a connection has taken so far, both ways; 0 where nobody counts them.

    Linux does: what it sent and received, and in how many segments, each of which carries both headers. A segment
    that was sent again counts again. DNS, and a connection that was never made, do not.
    """
    if not hasattr(socket, "TCP_INFO") or sys.platform != "linux":
        return 0
    try:
        family = sock.family
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:  # closed
        return 0
    if len(told) < _TCP_INFO.size:  # before Linux 4.19
        return 0
    received, segments_out, segments_in, sent = _TCP_INFO.unpack(told)
    return int(sent + received + _HEADERS[family] * (segments_out + segments_in))


def wait(readers: list[Any], writers: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
    """Wait up to `timeout` seconds for any socket to become ready; return which can be read and written."""
    if not hasattr(select, "poll"):  # Windows; elsewhere select knows no descriptor above 1023
        readable, writable, _ = select.select(readers, writers, [], timeout)
        return readable, writable
    poll = select.poll()
    for sock in readers:
        poll.register(sock, select.POLLIN | (select.POLLOUT if sock in writers else 0))
    ready = dict(
        poll.poll(math.ceil(max(0.0, timeout) * 1000))
    )  # an end and an error show when that is read or written
    readable = [sock for sock in readers if ready.get(sock.fileno(), 0) & ~select.POLLOUT]
    return readable, [sock for sock in writers if ready.get(sock.fileno(), 0) & ~select.POLLIN]


def drain(sock: socket.socket) -> None:
    """Read what is there from a socket that does not block, and forget it."""
    with suppress(BlockingIOError):
        while len(sock.recv(_DRAINED)) == _DRAINED:
            continue


class Attempt:
    """A call that may block beyond every limit (DNS has none), in a thread of its own.

    Who waits for it waits on `finished`, which becomes readable, together with whatever else may happen.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._done = threading.Event()
        self.finished, self._finisher = socket.socketpair()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt-dial", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def result(self) -> bool:
        """Whether the call has returned; raises what it raised."""
        if self._done.is_set() and self._error is not None:
            raise self._error
        return self._done.is_set()

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            self._error = error
        finally:
            self._done.set()
            self._finisher.close()

    def close(self) -> None:
        """Wait no longer; the thread ends when its call does."""
        self.finished.close()


def explain(error: OSError | ValueError) -> str:
    """Say what kept us from connecting in words that lead to what has to be changed."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"TLS: {error.verify_message}; check ca_file and the name in the broker's url"
        case ssl.SSLError():
            return f"TLS: {_reason(error)}; does the broker speak TLS on this port?"
        case socket.gaierror():
            return f"DNS: {error.strerror}"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return (error.strerror or str(error) or type(error).__name__) + (
                f": {error.filename}" if error.filename else ""
            )
    return str(error)
