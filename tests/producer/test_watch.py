import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import pytest

from tests.fakes import apiserver_faults as faults
from tests.fakes.apiserver import ApiServer
from tests.fakes.recording import Notification
from tests.producer.conftest import Event, MakePipeline, Pipeline, event
from tests.waiting import until
from tocsin_producer import api as api_module
from tocsin_producer import watch as watch_module
from tocsin_producer.api import ANSWER_SECONDS, OPENING_SECONDS, ApiClient
from tocsin_producer.credentials import Credentials
from tocsin_producer.errors import ResolveError
from tocsin_producer.event import read_event
from tocsin_producer.plan import ApiServer as Server
from tocsin_producer.watch import PAGE_SIZE, Watch
from tocsin_schemas.event import EventPayload

LIST: Final = "list"
WATCH: Final = "watch"


class Renewals(Credentials):
    """What looking for credentials comes to, one time after the other."""

    def __init__(self, outcomes: list[Server | ResolveError]) -> None:
        super().__init__([])
        self.outcomes = outcomes

    def resolve(self) -> Server:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, ResolveError):
            raise outcome
        return outcome


class Followed:
    """A watch in a thread, whose pauses take no time and are noted."""

    def __init__(self, server: ApiServer, pipeline: Pipeline, watch: Watch) -> None:
        self.server, self.pipeline, self.watch = server, pipeline, watch
        self.stop = threading.Event()
        self.pauses: list[float] = []
        self.thread = threading.Thread(target=self.run, name="followed")

    def run(self) -> None:
        while not self.stop.is_set():
            self.pauses.append(self.watch.step())

    def until(self, *told: tuple[str, int]) -> None:
        """Wait until exactly this was told, in any order."""
        until(lambda: sorted(self.pipeline.told()) == sorted(told))

    def until_following(self) -> None:
        until(lambda: bool(self.server.watches))

    def verbs(self) -> list[str]:
        return [WATCH if "watch" in dict(request.query) else LIST for request in self.server.requests]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@contextmanager
def followed(
    server: ApiServer,
    pipeline: Pipeline,
    *,
    selector: str = "type=Warning",
    source: Server | None = None,
    credentials: Credentials | None = None,
    hold_back: Callable[[], bool] = lambda: False,
    backoff: Callable[..., float] = lambda failures, **_: float(failures),
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Followed]:
    watch = Watch(
        ApiClient(source or Server(server.url), credentials),
        pipeline.intake,
        pipeline.checkpoint,
        selector=selector,
        hold_back=hold_back,
        backoff=backoff,
        clock=clock,
    )
    running = Followed(server, pipeline, watch)
    running.thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        while running.thread.is_alive():
            watch.abort()
            running.thread.join(0.05)
        watch._client.close()


def test_what_happened_before_and_what_happens_now_is_told(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("before"))
    with followed(server, make_pipeline()) as following:
        following.until(("before", 3))
        server.events.put(event("now"))
        server.events.put(event("before", count=9))
        following.until(("before", 9), ("now", 3))
        assert following.verbs() == [LIST, WATCH]


def test_a_long_list_is_read_page_by_page(
    server: ApiServer,
    make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "PAGE_SIZE", 4)
    for number in range(10):
        server.events.put(event(str(number)))
    with followed(server, make_pipeline()) as following:
        following.until(*((str(number), 3) for number in range(10)))
        following.until_following()
        assert following.verbs() == [LIST, LIST, LIST, WATCH]


def test_the_server_filters_by_the_selector(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("normal", type="Normal"))
    server.events.put(event("warning"))
    with followed(server, make_pipeline()) as following:
        following.until(("warning", 3))
        assert following.pipeline.intake.sums()["filtered"] == 0


def test_an_empty_selector_watches_everything(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("normal", type="Normal"))
    server.events.put(event("warning"))
    with followed(server, make_pipeline(), selector="") as following:
        following.until(("warning", 3), ("normal", 3))


def test_a_watch_that_the_server_ends_is_resumed_without_a_list(
    server: ApiServer,
    make_pipeline: MakePipeline,
) -> None:
    with followed(server, make_pipeline()) as following, server.faulty(faults.CloseWatches(after_frames=1)):
        for number in range(5):
            following.until_following()
            server.events.put(event(str(number)))
        following.until(*((str(number), 3) for number in range(5)))
        assert following.verbs().count(LIST) == 1
        assert set(following.pauses) <= {0.0}


def test_a_watch_that_ends_at_once_again_and_again_is_resumed_ever_more_slowly(
    server: ApiServer,
    make_pipeline: MakePipeline,
) -> None:
    with server.faulty(faults.CloseWatches(after_seconds=0)), followed(server, make_pipeline()) as following:
        until(lambda: len(following.pauses) >= 4)
        assert following.pauses[:4] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("times", [1, 3])
def test_an_expired_version_in_the_stream_leads_to_a_new_list_and_nothing_is_missed(
    server: ApiServer,
    make_pipeline: MakePipeline,
    times: int,
) -> None:
    server.events.put(event("a"))
    server.inject(faults.ExpireWatches(times=times))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.events.put(event("b"))
        following.until(("a", 3), ("b", 3))
        until(lambda: following.verbs().count(LIST) == 1 + times)
        assert following.pauses[:times] == [0.0, 2.0, 3.0][:times]


def test_an_expired_version_as_http_status_leads_to_a_new_list(
    server: ApiServer,
    make_pipeline: MakePipeline,
) -> None:
    server.events.put(event("a"))
    server.inject(faults.AnswerNext(410, verb=WATCH))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        following.until(("a", 3))
        assert following.verbs() == [LIST, WATCH, LIST, WATCH]


def test_a_continue_token_that_expires_between_two_pages_begins_the_list_again(
    server: ApiServer,
    make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "PAGE_SIZE", 2)
    for number in range(5):
        server.events.put(event(str(number)))
    pipeline = make_pipeline()
    offer = pipeline.intake.offer
    compacted: list[bool] = []

    def compact_after_the_first_page(values: list[object], name: str) -> None:
        offer(values, name)
        if not compacted:
            server.events.compact()
            compacted.append(True)

    monkeypatch.setattr(pipeline.intake, "offer", compact_after_the_first_page)
    with followed(server, pipeline) as following:
        following.until(*((str(number), 3) for number in range(5)))
        following.until_following()
        assert following.verbs() == [LIST, LIST, LIST, LIST, LIST, WATCH]


@pytest.mark.parametrize("within", ["frame", "chunk"])
def test_a_line_that_is_cut_off_is_read_again(
    server: ApiServer,
    make_pipeline: MakePipeline,
    within: Literal["frame", "chunk"],
) -> None:
    server.inject(faults.CutFrames(within))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.events.put(event("a"))
        following.until(("a", 3))
        assert following.pipeline.intake.sums()["malformed"] == 0
        assert following.verbs().count(LIST) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"this is not json\n",
        b"[]\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":7}\n',
        b'{"type":"UNHEARD-OF","object":{}}\n',
        b"[" * 200_000 + b"\n",
        faults.oversize_frame(9 * 1024**2),
    ],
    ids=["text", "list", "no object", "odd object", "unknown type", "nested too deeply", "oversize"],
)
def test_an_odd_line_is_counted_and_the_watch_goes_on(
    server: ApiServer,
    make_pipeline: MakePipeline,
    line: bytes,
) -> None:
    server.inject(faults.SendFirst(line))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.events.put(event("a"))
        following.until(("a", 3))
        until(lambda: following.pipeline.intake.sums()["malformed"] == 1)
        assert following.verbs() == [LIST, WATCH]


def of_node(uid: str, name: str, reason: str, count: int = 1) -> Event:
    """Return a condition of a node, in an Event object of this name."""
    made = event(uid, type="Normal", reason=reason, count=count, involvedObject={"kind": "Node", "name": "pi-1"})
    made["metadata"] |= {"name": name, "namespace": "default"}
    return made


def test_conditions_of_nodes_are_told_in_the_order_in_which_they_were_written_whatever_page_they_are_on(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    server.events.put(of_node("down", "pi-1.0001", "NodeNotReady"))
    for number in range(PAGE_SIZE + 10):
        server.events.put(of_node(f"start-{number}", f"pi-1.1{number:03}", "NodeHasSufficientMemory"))
    server.events.put(of_node("up", "pi-1.2000", "NodeReady"))
    server.events.put(of_node("down", "pi-1.0001", "NodeNotReady", 2))
    with followed(server, make_pipeline(), selector="involvedObject.kind=Node,type=Normal") as following:
        following.until_following()
        told = [uid for uid, _ in following.pipeline.told() if uid in ("down", "up")]
    assert told == ["up", "down"]


def test_a_list_without_items_is_an_empty_one(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.inject(faults.NullItems())
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.events.put(event("a"))
        following.until(("a", 3))


class Odd(ApiClient):
    """Answers every list with one and the same object."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(Server("http://127.0.0.1:1"), None)
        self.answer = answer

    def get(self, path: str, query: Mapping[str, str | int] | None = None, *, limit: int = 0) -> dict[str, Any]:  # noqa: ARG002 - as the real one
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "ok"},
        {"items": []},
        {"items": {}, "metadata": {"resourceVersion": "7"}},
        {"metadata": {"resourceVersion": "7"}},
    ],
    ids=["odd", "no version", "odd items", "no items"],
)
def test_an_answer_that_is_no_list_makes_nothing_forgotten(
    make_pipeline: MakePipeline, answer: dict[str, Any]
) -> None:
    pipeline = make_pipeline()
    pipeline.intake.offer([event("a")], "type=Warning")
    watch = Watch(Odd(answer), pipeline.intake, pipeline.checkpoint, selector="type=Warning")
    assert watch.step() > 0
    assert pipeline.checkpoint.seen("a").count == 3
    assert not watch.has_listed


def test_a_deleted_event_is_forgotten_and_not_told(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("a"))
    with followed(server, make_pipeline()) as following:
        following.until(("a", 3))
        following.until_following()
        server.events.delete("a")
        until(lambda: following.pipeline.checkpoint.seen("a").count == 0)
        assert following.pipeline.told() == [("a", 3)]


@pytest.mark.parametrize(("status", "retry_after"), [(429, "7"), (500, None), (503, "7"), (504, None)])
def test_a_server_that_is_overloaded_is_asked_again_when_it_says(
    server: ApiServer,
    make_pipeline: MakePipeline,
    status: int,
    retry_after: str | None,
) -> None:
    server.events.put(event("a"))
    server.inject(faults.AnswerNext(status, retry_after=retry_after))
    with followed(server, make_pipeline()) as following:
        following.until(("a", 3))
        assert following.pauses[0] == float(retry_after or 1)


def test_a_server_cannot_ask_for_an_endless_pause(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.inject(faults.AnswerNext(429, retry_after="99999999999"))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        assert following.pauses == [300.0]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_server_is_not_asked_for_a_list_as_well(
    server: ApiServer, make_pipeline: MakePipeline, status: int
) -> None:
    server.inject(faults.AnswerNext(status, times=3, verb=WATCH))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        assert following.verbs() == [LIST, WATCH, WATCH, WATCH, WATCH]


def test_a_version_that_the_server_never_serves_leads_to_a_new_list(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    server.inject(faults.AnswerNext(504, times=9, verb=WATCH))
    with followed(server, make_pipeline()) as following:
        following.until_following()
        assert following.verbs() == [LIST, *[WATCH] * 9, LIST, WATCH]


BOOKMARK: Final = b'{"type":"BOOKMARK","object":{"kind":"Event","metadata":{"resourceVersion":"1"}}}\n'
EXPIRED: Final = b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version"}}\n'


def test_expiries_that_follow_one_another_slow_down_whatever_comes_before_each_of_them(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    server.inject(faults.SendFirst(BOOKMARK + EXPIRED, times=5))
    with followed(server, make_pipeline()) as following:
        until(lambda: len(following.pauses) >= 5)
        following.until_following()
        assert following.pauses == [0.0, 2.0, 3.0, 4.0, 5.0]


def test_an_expiry_after_a_watch_that_lived_costs_no_pause(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.inject(faults.ExpireWatches(times=3))
    seconds = itertools.count(0, 10)  # each look at the clock is 10 s after the one before
    with followed(server, make_pipeline(), clock=lambda: float(next(seconds))) as following:
        until(lambda: len(following.pauses) >= 3)
        following.until_following()
        assert following.pauses == [0.0, 0.0, 0.0]


def test_watches_that_say_nothing_but_bookmarks_and_end_are_resumed_ever_more_slowly(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    with server.faulty(faults.CloseWatches(after_frames=1)):
        server.inject(faults.SendFirst(BOOKMARK, times=3))
        with followed(server, make_pipeline()) as following:
            until(lambda: len(following.pauses) >= 3)
            assert following.pauses[:3] == [1.0, 2.0, 3.0]


def test_a_list_of_large_events_is_read_in_pages_small_enough_to_hold(
    server: ApiServer, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PAGE_BYTES", 20_000)
    for number in range(6):
        server.events.put(event(f"large-{number}", message="x" * 15_000))
    server.events.put(event("larger", message="x" * 30_000))
    expected = [*((f"large-{number}", 3) for number in range(6)), ("larger", 3)]
    with followed(server, make_pipeline()) as following:
        following.until(*expected)
        following.until_following()
        assert len(following.verbs()) < 30
    limits = [int(query["limit"]) for query in (dict(r.query) for r in server.requests) if "limit" in query]
    assert (limits[0], min(limits)) == (watch_module.PAGE_SIZE, 1)


def test_a_list_is_taken_in_portions_for_which_there_is_room(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    for number in range(50):
        server.events.put(event(str(number)))
    pipeline = make_pipeline()
    waiting: list[int] = []

    def hold_back() -> bool:
        waiting.append(pipeline.outbox.waiting)
        return len(waiting) % 2 == 1

    with followed(server, pipeline, hold_back=hold_back) as following:
        following.until_following()
        assert waiting == [0, 0, 20, 20, 40, 40]


def test_a_stop_ends_a_list_that_waits_for_room(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("a"))
    pipeline = make_pipeline()
    held = threading.Event()

    def hold_back() -> bool:
        held.set()
        return True

    with followed(server, pipeline, hold_back=hold_back):
        assert held.wait(20)
    assert pipeline.told() == []


def test_an_ordinary_stop_is_nothing_to_warn_of(
    server: ApiServer, make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), followed(server, make_pipeline()) as following:
        following.until_following()
    assert caplog.text == ""


def test_a_connection_that_breaks_off_is_told_in_words(
    server: ApiServer, make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.drop_connections()
        until(lambda: following.pauses)
    assert "API server: the connection broke off in the middle of an answer" in caplog.text


def test_credentials_that_cannot_be_renewed_yet_are_looked_for_at_the_pace_of_failures(
    make_pipeline: MakePipeline,
) -> None:
    with ApiServer(token="new") as server:
        source = Server(server.url, token="old")
        credentials = Renewals([ResolveError("not yet"), source, Server(server.url, token="new")])
        with followed(server, make_pipeline(), source=source, credentials=credentials) as following:
            following.until_following()
            assert following.pauses == [1.0, 2.0, 3.0]
            server.events.put(event("a"))
            following.until(("a", 3))


def test_a_server_that_goes_down_and_comes_up_again_is_followed_from_where_it_was(
    server: ApiServer,
    make_pipeline: MakePipeline,
) -> None:
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.refuse_connections()
        server.events.put(event("meanwhile"))
        server.accept_connections()
        following.until(("meanwhile", 3))
        assert following.verbs().count(LIST) == 1


def test_a_rebuilt_cluster_is_listed_anew(server: ApiServer, make_pipeline: MakePipeline) -> None:
    server.events.put(event("old"))
    with followed(server, make_pipeline()) as following:
        following.until(("old", 3))
        server.events.rebuild()
        server.drop_connections()
        server.events.put(event("new"))
        server.events.compact()
        server.drop_connections()
        following.until(("old", 3), ("new", 3))


def test_a_missing_role_is_told_with_what_to_grant(
    server: ApiServer,
    make_pipeline: MakePipeline,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.forbid()
    server.events.put(event("a"))
    with caplog.at_level(logging.WARNING), followed(server, make_pipeline()) as following:
        until(lambda: len(following.pauses) >= 3)
        server.allow()
        following.until(("a", 3))
    assert caplog.text.count("403") == 1
    assert "grant get, list and watch on events to this account in a ClusterRole" in caplog.text


def test_a_rotated_token_is_read_anew(tmp_path: Path, make_pipeline: MakePipeline) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    with ApiServer(token="first") as server:
        source = Server(server.url, token_file=str(token))
        with followed(server, make_pipeline(), source=source) as following:
            following.until_following()
            server.rotate_token("second")
            server.drop_connections()
            server.events.put(event("a"))
            until(lambda: any(pause >= 2 for pause in following.pauses))
            token.write_text("second\n")
            following.until(("a", 3))


def test_a_silent_server_counts_as_dead_after_a_while(
    server: ApiServer,
    make_pipeline: MakePipeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "SILENCE_SECONDS", 0.05)
    with followed(server, make_pipeline()) as following:
        following.until_following()
        server.hang()
        until(lambda: 1.0 in following.pauses)
        server.resume()
        server.events.put(event("a"))
        following.until(("a", 3))


def test_a_state_that_cannot_be_written_is_listed_again(
    server: ApiServer,
    make_pipeline: MakePipeline,
) -> None:
    pipeline = make_pipeline()
    with pipeline.database.transaction() as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END"
        )
    with followed(server, pipeline) as following:
        following.until_following()
        server.events.put(event("a"))
        until(lambda: len(following.pauses) >= 3)
        with pipeline.database.transaction() as connection:
            connection.execute("DROP TRIGGER full")
        following.until(("a", 3))


def test_in_a_storm_of_410s_lists_grow_rarer_up_to_five_minutes_and_nothing_is_missed(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    limits: list[float] = []

    def backoff(failures: int, *, limit: float) -> float:
        limits.append(limit)
        return float(failures)

    storm = faults.ExpireWatches(times=math.inf)
    pipeline = make_pipeline()
    with server.faulty(storm), followed(server, pipeline, backoff=backoff) as following:
        until(lambda: len(following.pauses) >= 30)
        server.events.put(event("a"))
        following.until(("a", 3))
    assert following.pauses[:5] == [0.0, 2.0, 3.0, 4.0, 5.0]
    assert set(limits[:25]) == {watch_module.LIST_PAUSE_LIMIT_SECONDS}
    assert pipeline.intake.sums()["malformed"] == 0


def test_a_watch_that_is_closed_every_second_is_resumed_each_time_with_nothing_missed_or_told_twice(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    with followed(server, make_pipeline()) as following:
        for number in range(60):
            following.until_following()
            server.events.put(event(f"event-{number % 20}", count=1 + number // 20))
            for watch in server.watches:
                watch.close()
        following.until(*((f"event-{number}", 3) for number in range(20)))
        assert following.verbs().count(LIST) == 1
        assert following.pipeline.intake.sums()["repeated"] == 0


def test_a_slow_list_is_waited_for_and_the_watch_is_not_late_meanwhile(
    server: ApiServer, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "PAGE_SIZE", 2)
    for number in range(6):
        server.events.put(event(str(number)))
    with server.faulty(faults.SlowList(0.2)), followed(server, make_pipeline()) as following:
        until(lambda: following.server.requests)
        assert (following.watch.pulse.late_seconds, following.watch.has_listed) == (0, False)
        following.until(*((str(number), 3) for number in range(6)))
        following.until_following()
        assert following.watch.has_listed


def test_an_api_server_that_hangs_in_a_list_is_given_up_and_asked_again(
    server: ApiServer, make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "READ_TIMEOUT_SECONDS", 0.1)
    server.hang()
    server.events.put(event("a"))
    with followed(server, make_pipeline()) as following:
        until(lambda: len(following.pauses) >= 3)
        assert following.watch.contact_seconds is None
        server.resume()
        following.until(("a", 3))
        assert following.watch.contact_seconds is not None


def test_a_watch_that_hangs_beyond_its_limits_is_late(make_pipeline: MakePipeline) -> None:
    time = [0.0]
    late: list[float] = []

    class Hanging(ApiClient):
        def get(self, *_: object, **_options: object) -> NoReturn:
            time[0] = OPENING_SECONDS + ANSWER_SECONDS + 61
            late.append(watch.pulse.late_seconds)
            raise TimeoutError

    pipeline = make_pipeline()
    client = Hanging(Server("http://127.0.0.1:9"))
    watch = Watch(client, pipeline.intake, pipeline.checkpoint, selector="", clock=lambda: time[0])
    watch.step()
    assert late == [61]


@pytest.mark.parametrize("hours", [-24 * 365 * 60, -1, 1, 24 * 365 * 500])
def test_events_of_nodes_whose_clocks_are_ahead_or_behind_are_told_as_they_are(
    server: ApiServer, make_pipeline: MakePipeline, hours: int
) -> None:
    odd = (datetime(2026, 11, 24, tzinfo=UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
    with followed(server, make_pipeline()) as following:
        server.events.put(event("odd", count=1, firstTimestamp=odd, lastTimestamp=odd))
        server.events.put(event("right"))
        server.events.put(event("odd", count=2, firstTimestamp="2026-11-24T00:00:00Z", lastTimestamp=odd))
        following.until(("odd", 2), ("right", 3))
        payloads = following.pipeline.waiting()
    odd_one, _ = sorted(payloads, key=lambda payload: str(payload["uid"]))
    assert 0 <= odd_one["first"] <= odd_one["last"]
    EventPayload.model_validate(odd_one | {"boot": 1, "seq": 1})


def test_what_a_list_names_is_told_in_the_order_in_which_it_was_written(
    server: ApiServer, make_pipeline: MakePipeline
) -> None:
    """Lists are in the order of names; a node that is down is not to be told to be ready by an older state."""
    for uid, count in (("a", 1), ("b", 1), ("a", 2)):
        server.events.put(event(uid, count=count))
    with followed(server, make_pipeline()) as following:
        following.until(("a", 2), ("b", 1))
        assert [payload["uid"] for payload in following.pipeline.waiting()] == ["b", "a"]


def test_every_state_of_the_recording_is_offered_while_watches_are_cut_and_expire(
    server: ApiServer,
    make_pipeline: MakePipeline,
    recording: list[Notification],
) -> None:
    newest = {
        state.uid: state.count
        for state in (read_event(notification.event) for notification in recording)
        if state.type == "Warning"
    }
    with followed(server, make_pipeline()) as following:
        for position, notification in enumerate(recording):
            server.events.put(notification.event)
            if position % 200 == 100:
                server.drop_connections()
            if position % 500 == 250:
                server.events.compact()
        until(lambda: dict(following.pipeline.told()) == newest)
        assert following.pipeline.intake.sums()["malformed"] == 0
