"""How things are made to go wrong: each fault is a context that begins it and ends it."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from signal import SIGCONT, SIGSTOP
from typing import Final, TypeAlias

from tests.chaos.ledger import Window
from tests.chaos.schedule import Kinds
from tests.fakes import apiserver_faults, faults, feishu
from tests.fakes.http import HttpFake
from tests.fakes.relay import Conditions, Relay, Way
from tests.stage.process import Process
from tests.stage.site import Site

#: Who gets what the consumer delivers.
RECEIVERS: Final = ("record", "hook", "group", "pager")
#: Those whose requests the webhook takes.
HOOKED: Final = ("hook", "pager")
#: A delivery is noted 0.1 s after it was made, and behind the next one, which may take a second to fail.
_UNNOTED_SECONDS: Final = 0.1 + 1.0 + 0.5
_FLAP_SECONDS: Final = 0.3
_BOTH: Final = frozenset(Way)


class Scene:
    """A site in which things go wrong.

    Args:
        observe: called before something is killed, to note what has arrived by then.
    """

    def __init__(self, site: Site, observe: Callable[[], None]) -> None:
        self.site = site
        self.observe = observe
        self.windows: list[Window] = []
        self.broker_kills = 0

    def excuse(self, *receivers: str, before_seconds: float) -> None:
        """Note that what was taken just now may come again."""
        now = time.time()
        self.windows += [Window(receiver, now - before_seconds, now + 0.2) for receiver in receivers]


Context: TypeAlias = Callable[[Scene], AbstractContextManager[None]]
LinkContext: TypeAlias = Callable[[Relay], AbstractContextManager[None]]


# The link


def _conditions(
    conditions: Conditions, *, anew: bool = False, ends_with_reset: bool = False
) -> Callable[[Relay], AbstractContextManager[None]]:
    """Let the link be like this; `anew` begins with a reset, so that everybody has to connect under it."""

    @contextmanager
    def fault(link: Relay) -> Iterator[None]:
        link.change(conditions)
        if anew:
            link.reset()
        yield
        link.restore()
        if ends_with_reset:
            link.reset()

    return fault


@contextmanager
def _flap(link: Relay) -> Iterator[None]:
    over = threading.Event()

    def flap() -> None:
        while not over.wait(_FLAP_SECONDS):
            link.restore() if not link.is_up else link.cut()

    thread = threading.Thread(target=flap, name="flap")
    thread.start()
    yield
    over.set()
    thread.join()
    link.restore()


_LINK: Final[dict[str, LinkContext]] = {
    "reset": _conditions(Conditions(), anew=True),
    "refused": _conditions(Conditions(refuses=True), anew=True),
    "cut in the handshake": _conditions(Conditions(cuts_after=300), anew=True),
    "cut in a packet": _conditions(Conditions(cuts_after=1500), anew=True),
    "half-open": _conditions(Conditions(loses=_BOTH)),
    "half-open, then reset": _conditions(Conditions(loses=_BOTH), ends_with_reset=True),
    "half-open up, then reset": _conditions(Conditions(loses=frozenset({Way.UP})), ends_with_reset=True),
    "half-open down, then reset": _conditions(Conditions(loses=frozenset({Way.DOWN})), ends_with_reset=True),
    "mute": _conditions(Conditions(is_mute=True), anew=True),
    "stalled handshake": _conditions(Conditions(stalls_after=200), anew=True),
    "slow": _conditions(Conditions(delay_seconds=1.0)),
    "narrow": _conditions(Conditions(bytes_per_second=2000.0)),
    "flapping": _flap,
}


def _on(link: Callable[[Site], Relay], fault: LinkContext) -> Context:
    return lambda scene: fault(link(scene.site))


# The broker, the producer, the consumer


@contextmanager
def _broker_stopped(scene: Scene) -> Iterator[None]:
    scene.site.broker.stop()
    yield
    scene.site.broker.start()


@contextmanager
def _broker_killed(scene: Scene) -> Iterator[None]:
    scene.site.broker.kill()
    scene.broker_kills += 1
    yield
    scene.site.broker.start()


@contextmanager
def _broker_frozen(scene: Scene) -> Iterator[None]:
    scene.site.broker.send_signal(SIGSTOP)
    yield
    scene.site.broker.send_signal(SIGCONT)


@contextmanager
def _killed(process: Callable[[Site], Process], scene: Scene) -> Iterator[None]:
    process(scene.site).kill()
    yield
    process(scene.site).start()


@contextmanager
def _consumer_killed(scene: Scene) -> Iterator[None]:
    scene.observe()
    scene.site.consumer.kill()
    scene.observe()
    scene.excuse(*RECEIVERS, before_seconds=_UNNOTED_SECONDS)
    yield
    scene.site.consumer.start()


@contextmanager
def _store_locked(scene: Scene) -> Iterator[None]:
    """Let the consumer read its store and not write to it."""
    with closing(sqlite3.connect(scene.site.folder / "tocsin.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def _consumer_killed_while_kept_from_its_store(scene: Scene) -> Iterator[None]:
    began_at = time.time()
    with _store_locked(scene):
        yield
        with _consumer_killed(scene):
            scene.excuse(*RECEIVERS, before_seconds=_UNNOTED_SECONDS + time.time() - began_at)


@contextmanager
def _frozen(process: Callable[[Site], Process], scene: Scene) -> Iterator[None]:
    process(scene.site).freeze()
    yield
    process(scene.site).thaw()


# The API server


@contextmanager
def _api_down(scene: Scene) -> Iterator[None]:
    scene.site.api_server.refuse_connections()
    yield
    scene.site.api_server.accept_connections()


@contextmanager
def _api_hanging(scene: Scene) -> Iterator[None]:
    scene.site.api_server.hang()
    yield
    scene.site.api_server.resume()


def _api(fault: Callable[[], apiserver_faults.Fault], *, compacts: bool = False) -> Context:
    """Let the API server have a fault, with all connections made anew under it."""

    @contextmanager
    def context(scene: Scene) -> Iterator[None]:
        server = scene.site.api_server
        with server.faulty(fault()):
            if compacts:
                server.events.compact()
            server.drop_connections()
            yield

    return context


# The receivers


@contextmanager
def _receiver_down(receivers: Iterable[str], fake: Callable[[Site], HttpFake], scene: Scene) -> Iterator[None]:
    with fake(scene.site).refusing_connections():
        scene.excuse(*receivers, before_seconds=0.2)
        yield


def _receiver(fake: Callable[[Site], HttpFake], fault: Callable[[], faults.Fault]) -> Context:
    @contextmanager
    def context(scene: Scene) -> Iterator[None]:
        fake(scene.site).arm(fault(), times=None)
        yield
        fake(scene.site).clear_faults()

    return context


def _uplink(site: Site) -> Relay:
    return site.uplink


def _downlink(site: Site) -> Relay:
    return site.downlink


def _producer(site: Site) -> Process:
    return site.producer


def _consumer(site: Site) -> Process:
    return site.consumer


def _hook(site: Site) -> HttpFake:
    return site.webhook


def _group(site: Site) -> HttpFake:
    return site.feishu


_BUSY: Final = partial(faults.http_error, 429, headers={"Retry-After": "1"})

#: By part and kind.
FAULTS: Final[dict[str, dict[str, Context]]] = {
    "uplink": {kind: _on(_uplink, fault) for kind, fault in _LINK.items()},
    "downlink": {kind: _on(_downlink, fault) for kind, fault in _LINK.items()},
    "broker": {"stopped": _broker_stopped, "killed": _broker_killed, "frozen": _broker_frozen},
    "producer": {"killed": partial(_killed, _producer), "frozen": partial(_frozen, _producer)},
    "consumer": {
        "killed": _consumer_killed,
        "frozen": partial(_frozen, _consumer),
        "kept from its store": _store_locked,
        "killed while kept from its store": _consumer_killed_while_kept_from_its_store,
    },
    "API server": {
        "down": _api_down,
        "hanging": _api_hanging,
        "restarted": _api(apiserver_faults.Fault),
        "closing watches": _api(partial(apiserver_faults.CloseWatches, after_seconds=0.3)),
        "expiring watches": _api(partial(apiserver_faults.ExpireWatches, times=3), compacts=True),
        "compacted": _api(apiserver_faults.Fault, compacts=True),
        "cutting frames": _api(partial(apiserver_faults.CutFrames, "chunk", times=3)),
        "429": _api(partial(apiserver_faults.AnswerNext, 429, times=1000)),
        "503": _api(partial(apiserver_faults.AnswerNext, 503, times=1000)),
    },
    "hook": {
        "down": partial(_receiver_down, HOOKED, _hook),
        "hanging": _receiver(_hook, faults.hang),
        "closing": _receiver(_hook, faults.close),
        "garbage": _receiver(_hook, partial(faults.body, b"<html>Bad gateway", status=502)),
        "429": _receiver(_hook, _BUSY),
        "500": _receiver(_hook, partial(faults.http_error, 500)),
    },
    "group": {
        "down": partial(_receiver_down, ("group",), _group),
        "hanging": _receiver(_group, faults.hang),
        "garbage": _receiver(_group, partial(faults.body, b"<html>It works")),
        "429": _receiver(_group, partial(feishu.gateway_limited, 1)),
        "success with an error inside": _receiver(_group, feishu.frequency_limited),
    },
}

#: What a schedule may choose from.
KINDS: Final[Kinds] = {part: tuple(kinds) for part, kinds in FAULTS.items()}
