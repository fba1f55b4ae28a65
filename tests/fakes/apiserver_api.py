"""Which request gets which answer: authentication, the one role of tocsin, and the few paths it reads."""

import re

from tests.fakes.apiserver_answer import (
    USER,
    Answer,
    RefusedError,
    forbidden,
    healthy,
    unauthorized,
    version,
)
from tests.fakes.apiserver_clock import Clock
from tests.fakes.apiserver_list import list_events
from tests.fakes.apiserver_options import asks_for_watch, parse_list_options
from tests.fakes.apiserver_request import EVENTS_PATH, Request
from tests.fakes.apiserver_store import EventStore
from tests.fakes.apiserver_watch import Watch

_CORE_RESOURCE = re.compile(
    r"/api/v1/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class EventsApi:
    """What a client may do whose ClusterRole is `get,list,watch` on Events: list and watch all of them."""

    def __init__(self, store: EventStore, clock: Clock, *, token: str | None) -> None:
        self.token = token
        self.is_forbidden = False
        self._store = store
        self._clock = clock

    def answer(self, request: Request) -> Answer | Watch:
        """Answer as the real one would; never raises for what a client did."""
        try:
            self._authenticate(request)
            return self._authorized_answer(request)
        except RefusedError as refused:
            return refused.answer

    def _authenticate(self, request: Request) -> None:
        """Ask for the token on every path, as a server without anonymous access (the K3s default) does."""
        if self.token is not None and not request.token.is_for(self.token):
            raise RefusedError(unauthorized())

    def _authorized_answer(self, request: Request) -> Answer | Watch:
        if request.method == "GET" and request.path == "/version":
            return version()
        if request.method == "GET" and request.path in {"/readyz", "/livez", "/healthz"}:
            return healthy()
        if request.method == "GET" and request.path == EVENTS_PATH and not self.is_forbidden:
            return self._events(request)
        return _forbidden(request)

    def _events(self, request: Request) -> Answer | Watch:
        options = parse_list_options(request.query)
        if options.watch:
            return Watch(self._store, self._clock, options)
        return list_events(self._store, options)


def _forbidden(request: Request) -> Answer:
    """403 with the words of the RBAC authorizer, for a resource or for another path."""
    match = _CORE_RESOURCE.fullmatch(request.path)
    if match is None:
        verb = request.method.lower()
        return forbidden(f'forbidden: User "{USER}" cannot {verb} path "{request.path}"', {})
    return _forbidden_resource(request, **match.groupdict())


def _forbidden_resource(request: Request, *, namespace: str | None, resource: str, name: str | None) -> Answer:
    subject = f'{resource} "{name}"' if name else resource
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    what = f'{_verb(request, is_named=bool(name))} resource "{resource}" in API group ""'
    details = {"name": name, "kind": resource} if name else {"kind": resource}
    return forbidden(f'{subject} is forbidden: User "{USER}" cannot {what} {scope}', details)


def _verb(request: Request, *, is_named: bool) -> str:
    """The verb that roles speak of (apiserver `RequestInfoFactory`)."""
    if request.method == "GET" and not is_named:
        return "watch" if asks_for_watch(request.query) else "list"
    if request.method == "DELETE" and not is_named:
        return "deletecollection"
    return _VERBS.get(request.method, request.method.lower())
