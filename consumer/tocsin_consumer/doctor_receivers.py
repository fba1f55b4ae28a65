"""The steps of a checkup that lead to where notifications go. No message is sent, and no address is shown."""

import http.client
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from tocsin_consumer.receiver_settings import ReceiverSettings
from tocsin_consumer.receivers.http import Way, find_way
from tocsin_schemas.checkup import Checkup, Finding, ok
from tocsin_schemas.checkup_clock import check_clock
from tocsin_schemas.checkup_host import Host, check_host
from tocsin_schemas.checkup_state import check_folder

_PORTS: Final = {"http": 80, "https": 443}
#: Services that want a signature refuse one whose time is further off (Feishu, DingTalk).
_SIGNATURE_LIMIT: Final = timedelta(hours=1)


def check_receiver(
    checkup: Checkup,
    receiver: ReceiverSettings,
    place: str,
    *,
    seconds: float,
    now: Callable[[], datetime],
) -> None:
    """Take the steps to one receiver, which stands at `place` in the configuration."""
    kind = getattr(receiver, receiver.kind)
    if receiver.file is not None:
        path = receiver.file.path
        checkup.step(receiver.name, lambda: check_folder(path, f"{place}.file.path"))
    address = getattr(kind, "address", None)
    if address is None:
        return
    limit = _SIGNATURE_LIMIT if getattr(kind, "signing_key", None) else None
    _check_address(
        checkup,
        receiver.name,
        address,
        ca_file=getattr(kind, "ca_file", None),
        wherefrom=f"{place}.{receiver.kind}.url",
        limit=limit,
        seconds=seconds,
        now=now,
    )


def check_heartbeat(checkup: Checkup, address: str, *, seconds: float, now: Callable[[], datetime]) -> None:
    """Take the steps to where the heartbeat goes, and give none."""
    way = find_way(address)
    check_host(checkup, _host("heartbeat", urlsplit(address), way, "heartbeat.url", seconds), now=now)


def _check_address(
    checkup: Checkup,
    name: str,
    address: str,
    *,
    ca_file: Path | None,
    wherefrom: str,
    limit: timedelta | None,
    seconds: float,
    now: Callable[[], datetime],
) -> None:
    way = find_way(address, ca_file=ca_file)
    host = _host(name, urlsplit(address), way, wherefrom, seconds)
    reached = check_host(checkup, host, now=now)
    if way.proxy is not None:
        checkup.step(name, lambda _: ok("by way of the proxy: what is behind it shows with send-test"), reached)
    else:
        checkup.step(f"{name} clock", lambda _: ask_time(host, now, limit=limit), reached)


def _host(name: str, parts: SplitResult, way: Way, wherefrom: str, seconds: float) -> Host:
    """Return what is connected to: the proxy where there is one, whose TLS is not looked at."""
    if way.proxy is not None:
        proxy = urlsplit(way.proxy)
        port = proxy.port or _PORTS.get(proxy.scheme, 1080)
        return Host(f"{name} proxy", proxy.hostname or "", port, wherefrom="HTTPS_PROXY", seconds=seconds)
    return Host(
        name,
        parts.hostname or "",
        parts.port or _PORTS[parts.scheme],
        wherefrom=wherefrom,
        trust=way.trust,
        mend_trust="name the CA of a service of your own in ca_file; else find what changes TLS on the way",
        tls=(lambda: _context(way)) if parts.scheme == "https" else None,
        seconds=seconds,
    )


def _context(way: Way) -> ssl.SSLContext:
    if Path(way.trust).is_dir():
        return ssl.create_default_context(capath=way.trust)
    return ssl.create_default_context(cafile=way.trust)


def ask_time(host: Host, now: Callable[[], datetime], *, limit: timedelta | None) -> Finding[None]:
    """Ask for the front page's head, for its date: that has nothing to do with the bot, and no secret in it."""
    connection = (
        http.client.HTTPConnection(host.name, host.port, timeout=host.seconds)
        if host.tls is None
        else http.client.HTTPSConnection(host.name, host.port, timeout=host.seconds, context=host.tls())
    )
    try:
        connection.request("HEAD", "/", headers={"User-Agent": "tocsin-consumer"})
        date = connection.getresponse().headers.get("Date")
    except (OSError, http.client.HTTPException):
        return ok("the service does not tell its time")
    finally:
        connection.close()
    return check_clock(date, now(), whose="the service", limit=limit)
