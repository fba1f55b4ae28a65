"""The steps of a checkup that lead to the broker: the password, the way there, the login."""

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import Final

from tocsin_schemas.certificate import read_own
from tocsin_schemas.checkup import Checkup, Finding, Step, failed, ok, warning
from tocsin_schemas.checkup_host import Host, check_host, days, utc_now
from tocsin_schemas.dial import Broker
from tocsin_schemas.session import ConnectionLostError
from tocsin_schemas.visit import Visit

#: How a broker says that it does not know us, in MQTT 5 and 3.1.1.
_UNKNOWN: Final = frozenset({"Not authorized", "Bad user name or password"})
#: Other refusals: the likely cause, and what to do.
_REFUSALS: Final = {
    "Client identifier not valid": (
        "the broker takes certain client ids only, and ours has a suffix for this visit",
        "on the broker: allow those that begin with broker.client_id (Mosquitto: clientid_prefixes)",
    ),
    "Banned": ("the broker has blocked this account or address", "on the broker: see its list of bans"),
    "Unsupported protocol version": (
        "the broker speaks neither MQTT 5 nor 3.1.1",
        "on the broker: accept_protocol_versions 4,5",
    ),
}
_OVERLOADED: Final = (
    "the broker is overloaded, or has reached a limit on its connections",
    "on the broker: see its log, and max_connections",
)


def check_broker(
    checkup: Checkup, broker: Broker, *, now: Callable[[], datetime] = utc_now
) -> tuple[Step[Visit], Visit]:
    """Take the steps to the broker; return the last, whose value is a visit, and the visit, to be closed."""
    checkup.step("broker password", lambda: check_password(broker))
    if broker.cert_file is not None:
        checkup.step("broker cert_file", lambda: check_own_certificate(broker, now()))
    host = Host(
        "broker",
        broker.host,
        broker.port,
        wherefrom="broker.url",
        **_trust(broker),
        renew="on the broker: mosquitto/setup renew",
        tls=broker.tls_context if broker.tls else None,
        seconds=broker.connect_timeout_seconds,
    )
    way = check_host(checkup, host, now=now)
    if not broker.tls:
        checkup.step("broker TLS", lambda _: judge_plain(broker), way)
    visit = Visit(broker)
    return checkup.step("broker login", lambda _: log_in(broker, host, visit), way), visit


def _trust(broker: Broker) -> dict[str, str]:
    """Return who vouches for the broker, and how to change that."""
    if broker.ca_file is None:
        return {"mend_trust": f"copy the CA's certificate from {broker.host} here, and name it in broker.ca_file"}
    return {
        "trust": broker.ca_file,
        "mend_trust": f"copy the CA's certificate from {broker.host} anew to {broker.ca_file}",
    }


def check_password(broker: Broker) -> Finding[None]:
    """Read the password as it will be read, and see what often goes wrong with its file."""
    if broker.password_file is None:
        return _without_file(broker)
    try:
        password = broker.read_password() or ""
    except (OSError, ValueError) as error:
        return failed(
            f"broker.password_file cannot be read: {error}",
            cause="the file belongs to another user, or was taken away",
            run=f"ls -l {broker.password_file}",
        )
    if password != password.strip() or len(password.splitlines()) > 1:
        return warning(
            f"the password in {broker.password_file} has blanks around it, or more than one line",
            cause="something was copied into the file besides the password; all of it is sent",
            run=f"wc {broker.password_file}",
        )
    return ok(f"read from {broker.password_file}")


def _without_file(broker: Broker) -> Finding[None]:
    if broker.password is not None:
        return ok("from the configuration or the environment")
    if broker.cert_file is not None:
        return ok("none: the certificate says who we are")
    return warning(
        "there is none, and no certificate either",
        cause="the broker takes everyone, or broker.password_file is missing",
        run="set broker.password_file, unless the broker is for trying things out",
    )


def check_own_certificate(broker: Broker, now: datetime) -> Finding[None]:
    """See whether the certificate that we show is valid, and for how long."""
    run = f"on the broker: mosquitto/setup rotate {broker.username or 'ACCOUNT'}, which says what to copy here"
    try:
        own = read_own(broker.cert_file or "", broker.key_file or "")
    except (OSError, ValueError) as error:
        return failed(
            f"{broker.cert_file} cannot be used with its key: {error}",
            cause="one of the two files was changed or taken away",
            run=f"ls -l {broker.cert_file} {broker.key_file}",
        )
    clock = f"the clock of this machine is wrong: it says {now:%Y-%m-%d %H:%M} UTC"
    if own.valid_until <= now:
        when = f"{own.valid_until:%Y-%m-%d %H:%M} UTC"
        return failed(f"{own.name} expired on {when}", cause=f"it was not renewed; or {clock}", run=run)
    until = f"{own.valid_until:%Y-%m-%d} ({days(own.valid_until - now)})"
    if own.expires_soon(now):
        return warning(f"{own.name} expires on {until}", cause="it is not renewed by itself", run=run)
    return ok(f"{own.name}, by {own.issuer}, until {until}")


def judge_plain(broker: Broker) -> Finding[None]:
    """Judge that TLS is not spoken."""
    if _is_here(broker.host):
        return ok("not spoken, and nothing leaves this machine")
    return warning(
        "not spoken: the password and every event can be read on the way",
        cause="broker.url begins with mqtt:// or ws://",
        run=f"write mqtts://{broker.host}:8883 there, and broker.ca_file where the CA is one of your own",
    )


def _is_here(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def log_in(broker: Broker, host: Host, visit: Visit) -> Finding[Visit]:
    """Log in as the running process does, but under a name of our own."""
    try:
        visit.open()
    except ConnectionLostError as lost:
        return _not_logged_in(broker, host, refusal=visit.refused, lost=lost)
    version = "5" if visit.speaks_5 else "3.1.1"
    return ok(f"the broker takes {broker.username or 'us, without a name'} and speaks MQTT {version}", visit)


def _not_logged_in(
    broker: Broker, host: Host, *, refusal: str | None, lost: ConnectionLostError
) -> Finding[Visit]:
    account = broker.username or "(none)"
    if refusal in _UNKNOWN:
        where = broker.password_file or "the configuration"
        return failed(
            f"the broker refuses the account {account}: {refusal}",
            cause=f"the password in {where} is not the one of {account}, or the broker does not know {account}",
            run=f"copy the password anew to {where}, from the broker's private/clients/{account}/password",
        )
    if refusal is not None:
        cause, run = _REFUSALS.get(refusal, _OVERLOADED)
        return failed(f"the broker refuses: {refusal}", cause=cause, run=run)
    return failed(
        str(lost),
        cause=f"the broker wants {_wanted(broker)}, is no MQTT broker, or has too many connections",
        run=f"see the broker's log for this moment{f'; {host.openssl}' if broker.tls else ''}",
    )


def _wanted(broker: Broker) -> str:
    if broker.websocket_path is not None:
        return f"WebSockets elsewhere than at {broker.websocket_path}"
    return "a certificate of ours (broker.cert_file)" if broker.tls else "TLS on this port (mqtts://)"


def hung_up(what: str, lost: ConnectionLostError) -> Finding[None]:
    """Return that the broker ended the visit instead of an answer."""
    return failed(
        f"the broker ended the connection when asked to {what}: {lost}",
        cause="some brokers answer what is forbidden by hanging up: the account lacks a permission",
        run="see the broker's log for this moment, and its ACL",
    )
