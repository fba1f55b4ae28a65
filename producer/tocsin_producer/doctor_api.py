"""The steps of a checkup that lead to the API server: the way there, the version, the permissions, the clock."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from http.client import FORBIDDEN
from typing import Any, Final
from urllib.parse import urlsplit

from tocsin_producer.api import NETWORK_ERRORS, ApiClient, tls_context
from tocsin_producer.credentials import RESOLVE_SECONDS
from tocsin_producer.errors import ApiError, ResolveError, TokenError
from tocsin_producer.plan import ApiServer
from tocsin_producer.watch import EVENTS
from tocsin_schemas.checkup import Checkup, Finding, failed, ok, within
from tocsin_schemas.checkup_clock import check_clock
from tocsin_schemas.checkup_host import Host, check_host, utc_now

#: A server that works answers these small requests in far less.
ANSWER_SECONDS: Final = 10.0
_USER: Final = re.compile(r'User "([^"]+)"')


def check_api(
    checkup: Checkup,
    resolve: Callable[[], ApiServer],
    selectors: Sequence[str],
    *,
    wherefrom: str,
    seconds: float = ANSWER_SECONDS,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Take the steps to the API server.

    Args:
        checkup: what takes them.
        resolve: finds the server.
        selectors: what is listed and watched.
        wherefrom: where its address is written.
        seconds: how long each step may take.
        now: the time of day.
    """
    found = checkup.step("API server", lambda: find(resolve, wherefrom))
    server = found.finding.value
    if server is None:
        checkup.step("list Events", lambda _: ok(""), found)
        return
    way = check_host(checkup, _host(server, wherefrom, seconds), now=now)
    client = ApiClient(server)
    try:
        answers = checkup.step("API server answers", lambda _: ask_version(client, seconds), way)
        if client.date is not None:  # it may have refused to say more, which a wrong clock leads to
            checkup.step("clock", lambda: check_clock(client.date, now(), whose="the API server"))
        listed = checkup.step("list Events", lambda _: list_events(client, selectors, seconds), answers)
        checkup.step("watch Events", lambda version: watch_events(client, selectors, version, seconds), listed)
    finally:
        client.close()


def find(resolve: Callable[[], ApiServer], wherefrom: str) -> Finding[ApiServer]:
    """Find out where the API server is and who we are to it, which is written in `wherefrom`."""
    try:
        server = within(RESOLVE_SECONDS, resolve)
    except TimeoutError:
        return failed(
            f"no credentials within {RESOLVE_SECONDS:.0f} s",
            cause="a command that the kubeconfig names hangs",
            run="kubectl auth whoami",
        )
    except ResolveError as error:
        if str(error).startswith(f"{wherefrom}: "):
            return failed(
                str(error),
                cause="the path is wrong here, or what the file names is not there",
                run=f"kubectl config view --kubeconfig {wherefrom}",
            )
        return failed(
            str(error),
            cause="in a Pod: its service account's token is not mounted; elsewhere: no kubeconfig is named",
            run="in a Pod: see automountServiceAccountToken in its spec; elsewhere: give --kubeconfig FILE",
        )
    return ok(f"at {server.url}{', with nothing to show who we are' if server.is_anonymous else ''}", server)


def _host(server: ApiServer, wherefrom: str, seconds: float) -> Host:
    parts = urlsplit(server.url)
    is_https = parts.scheme == "https"
    return Host(
        "API server",
        parts.hostname or "",
        parts.port or (443 if is_https else 80),
        wherefrom=wherefrom,
        trust=f"the CA of {wherefrom}",
        renew="on the node: systemctl restart k3s, which renews what is due",
        mend_trust="take the kubeconfig anew; a Pod: delete it, so that it gets the CA of today",
        tls=(lambda: tls_context(server)) if is_https else None,
        server_name=server.server_name,
        seconds=seconds,
    )


def ask_version(client: ApiClient, seconds: float) -> Finding[None]:
    """Ask for the version, which everyone may who is known."""
    try:
        version = within(seconds, lambda: client.get("/version"), give_up=client.abort)
    except ApiError as error:
        return ok("it does not tell its version") if error.status == FORBIDDEN else _wrong(error, "get /version")
    except (*NETWORK_ERRORS, TokenError, ResolveError) as error:
        return _wrong(error, "get /version")
    return ok(f"it is Kubernetes {version.get('gitVersion', 'of an unknown version')}")


def list_events(client: ApiClient, selectors: Sequence[str], seconds: float) -> Finding[str]:
    """List one Event with each selector; the value is the resource version from which to watch."""
    version = ""
    for selector in selectors:
        query = _selecting(selector) | {"limit": 1}
        try:
            page = within(seconds, lambda: client.get(EVENTS, query), give_up=client.abort)  # noqa: B023 - called now
        except (*NETWORK_ERRORS, ApiError, TokenError, ResolveError) as error:
            return _wrong(error, "list")
        version = str(page.get("metadata", {}).get("resourceVersion", ""))
    return ok(_allowed(selectors), version)


def watch_events(client: ApiClient, selectors: Sequence[str], version: str, seconds: float) -> Finding[None]:
    """Begin to watch with each selector, and leave."""
    for selector in selectors:
        query = _selecting(selector) | {"watch": 1, "resourceVersion": version, "timeoutSeconds": 1}
        try:
            within(
                seconds,
                lambda: client.stream(EVENTS, query, timeout=seconds),  # noqa: B023 - called now
                give_up=client.abort,
            )
        except (*NETWORK_ERRORS, ApiError, TokenError, ResolveError) as error:
            return _wrong(error, "watch")
        client.close()
    return ok(_allowed(selectors))


def _selecting(selector: str) -> dict[str, str | int]:
    return {"fieldSelector": selector} if selector else {}


def _allowed(selectors: Sequence[str]) -> str:
    return f"allowed: {'; '.join(selector or 'all' for selector in selectors)}"


def _wrong(error: Exception, verb: str) -> Finding[Any]:
    match error:
        case ApiError(status=401):
            return _unknown(str(error))
        case ApiError(status=403):
            return _forbidden(error, verb)
        case ApiError():
            return failed(
                f"the API server answers {error}",
                cause="it is starting, overloaded, or has lost its database",
                run="kubectl get --raw '/readyz?verbose'",
            )
        case TokenError() | ResolveError():
            return _unknown(str(error))
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return failed(
        f"the API server does not answer: {reason}",
        cause="it hangs: its node has no memory or disk left, or its database does not answer",
        run="kubectl get --raw '/readyz?verbose'; on the node: systemctl status k3s; dmesg | tail",
    )


def _unknown(why: str) -> Finding[Any]:
    return failed(
        f"the API server does not know us: {why}",
        cause="the token has expired or its service account was deleted; or a clock is wrong, see the step clock",
        run="in a Pod: delete the Pod, and see kubectl get serviceaccounts -A; else: kubectl auth whoami",
    )


def _forbidden(error: ApiError, verb: str) -> Finding[Any]:
    user = _USER.search(error.message)
    name = user[1] if user else "USER"
    return failed(
        f"{name} may not {verb} Events",
        cause="the ClusterRole or its binding is missing, or the binding names another service account",
        run=f"kubectl auth can-i {verb} events -A --as={name}; kubectl get clusterrolebindings -o wide",
    )
