"""Each fault of the stand-in API server does to a client what it says, and ends when it is lifted."""

import functools
import http.client
import ssl
from itertools import pairwise

import pytest
import trustme

from tests.fakes.apiserver import ApiServer
from tests.fakes.apiserver_exchange import LIST, WATCH, Client, Reply, an_event, names_of, next_frame
from tests.fakes.apiserver_faults import (
    ODD_FRAMES,
    AnswerNext,
    CloseWatches,
    CutFrames,
    ExpireWatches,
    NullItems,
    SendFirst,
    SlowList,
    oversize_frame,
)
from tests.fakes.apiserver_watch import CutWithin

# Connections


def test_a_server_that_is_down_refuses_connections_and_has_closed_the_open_ones(
    server: ApiServer, client: Client
) -> None:
    response = client.open(WATCH)
    server.refuse_connections()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    with Client(server) as other, pytest.raises(ConnectionRefusedError):
        other.ask(LIST)
    assert (server.connection_count, server.watches) == (0, ())


def test_a_server_that_has_restarted_has_its_port_and_its_events(server: ApiServer) -> None:
    server.events.put(an_event())
    url = server.url
    for _ in range(3):
        server.restart()
    with Client(server) as client:
        assert names_of(client.ask(LIST).json()["items"]) == ["api.1"]
    assert server.url == url


def test_a_dropped_connection_is_cut_while_new_ones_are_taken(server: ApiServer, client: Client) -> None:
    response = client.open(WATCH)
    server.drop_connections()
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    with Client(server) as other:
        assert other.ask(LIST).status == 200


def test_a_hanging_server_takes_a_connection_and_never_answers(server: ApiServer) -> None:
    server.hang()
    with Client(server) as client:
        client.connection.timeout = 0.05
        with pytest.raises(TimeoutError):
            client.ask(LIST)
    assert server.connection_count == 1


def test_a_hanging_server_does_not_even_answer_the_greeting_of_tls() -> None:
    with ApiServer(ssl_context=_served_context()) as server:
        server.hang()
        with Client(server, ssl_context=ssl.create_default_context()) as client:
            client.connection.timeout = 0.05
            with pytest.raises(TimeoutError):
                client.ask(LIST)


def test_a_hanging_server_does_not_answer_on_an_old_connection_until_it_resumes(
    server: ApiServer, client: Client
) -> None:
    client.ask(LIST)
    server.hang()
    client.connection.request("GET", LIST)
    server.wait_until(lambda: len(server.requests) == 2)
    server.resume()
    assert client.connection.getresponse().status == 200


def test_a_watch_of_a_hanging_server_stays_open_and_says_nothing_until_it_resumes(
    server: ApiServer, client: Client
) -> None:
    response = client.open(WATCH)
    assert client.connection.sock is not None
    client.connection.sock.settimeout(0.05)
    server.hang()
    server.events.put(an_event())
    with pytest.raises(TimeoutError):
        client.connection.sock.recv(1)
    assert len(server.watches) == 1
    server.resume()
    assert client.connection.sock.recv(1) != b""
    response.close()


def test_a_server_goes_down_at_once_even_with_requests_that_wait_for_their_answer(server: ApiServer) -> None:
    server.inject(SlowList(3600))
    with Client(server) as slow, Client(server) as stuck:
        slow.connection.request("GET", LIST)
        server.wait_until(lambda: len(server.requests) == 1)
        server.hang()
        stuck.connection.connect()
        server.wait_until(lambda: server.connection_count == 2)
        server.restart()
    assert server.connection_count == 0


def test_a_hanging_server_can_be_stopped() -> None:
    with ApiServer() as server, Client(server) as watching, Client(server) as waiting:
        response = watching.open(WATCH)
        server.hang()
        server.events.put(an_event())
        waiting.connection.connect()
        server.wait_until(lambda: server.connection_count == 2)
    assert server.connection_count == 0
    response.close()


def test_a_server_that_was_never_started_or_is_stopped_twice_stops() -> None:
    ApiServer().stop()
    with ApiServer() as server:
        server.stop()


# Answers


@pytest.mark.parametrize("status", [401, 410, 500, 503, 504])
def test_the_next_requests_are_answered_with_a_status_and_those_after_them_are_not(
    server: ApiServer, client: Client, status: int
) -> None:
    server.inject(AnswerNext(status, times=2))
    replies = [client.ask(LIST), client.ask("/version"), client.ask(LIST)]
    assert [reply.status for reply in replies] == [status, status, 200]
    assert replies[0].json()["code"] == status


def test_too_many_requests_come_as_text_with_the_time_to_wait(server: ApiServer, client: Client) -> None:
    server.inject(AnswerNext(429, retry_after="7"))
    reply = client.ask(LIST)
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    assert reply.headers["content-type"].startswith("text/plain")


def test_a_fault_may_concern_lists_or_watches_only(server: ApiServer, client: Client) -> None:
    server.inject(AnswerNext(410, verb="watch"))
    assert client.ask(LIST).status == 200
    assert client.ask(WATCH).status == 410
    server.inject(AnswerNext(500, verb="list"))
    client.open(f"{WATCH}&timeoutSeconds=1").close()


def test_a_fault_is_over_when_its_context_is(server: ApiServer, client: Client) -> None:
    with server.faulty(AnswerNext(503, times=float("inf"))):
        assert [client.ask(LIST).status for _ in range(3)] == [503, 503, 503]
    assert client.ask(LIST).status == 200


def test_faults_work_together_in_the_order_in_which_they_were_injected(server: ApiServer, client: Client) -> None:
    for fault in (AnswerNext(500), SendFirst(b"odd\n"), CloseWatches(after_frames=1)):
        server.inject(fault)
    assert client.ask(WATCH).status == 500
    assert client.ask(WATCH).body == b"odd\n"


def test_after_a_rotation_only_the_new_token_is_taken() -> None:
    with (
        ApiServer(token="old") as server,
        Client(server, token="old") as old,
        Client(server, token="new") as new,
    ):
        response = old.open(WATCH)
        server.rotate_token("new")
        server.events.put(an_event())
        assert next_frame(response)["type"] == "ADDED"
        assert new.ask(LIST).status == 200
        with Client(server, token="old") as late:
            assert late.ask(LIST).status == 401


def test_every_page_of_a_slow_list_takes_its_time(server: ApiServer, client: Client) -> None:
    server.inject(SlowList(30))
    assert client.ask("/version").status == 200
    for page in (1, 2):
        client.connection.request("GET", LIST)
        server.wait_until(functools.partial(_has_been_asked, server, page))
        server.clock.advance(30)
        assert client.connection.getresponse().read() != b""
    first, second = (request.received_at for request in server.requests if request.is_list)
    assert (second - first).total_seconds() >= 30


def test_a_list_may_have_null_items(server: ApiServer, client: Client) -> None:
    server.inject(NullItems())
    assert client.ask(LIST).json()["items"] is None
    assert client.ask(LIST).json()["items"] == []


# Watches


def test_every_watch_ends_after_some_seconds(server: ApiServer, client: Client) -> None:
    server.inject(CloseWatches(after_seconds=1))
    for _ in range(3):
        response = client.open(WATCH)
        server.clock.advance(1)
        assert response.read() == b""


def test_every_watch_ends_after_some_frames_and_misses_none_when_resumed(
    server: ApiServer, client: Client
) -> None:
    server.inject(CloseWatches(after_frames=2))
    for name in "abcd":
        server.events.put(an_event(name))
    frames = client.ask(f"{WATCH}&resourceVersion=1").frames()
    version = frames[-1]["object"]["metadata"]["resourceVersion"]
    frames += client.ask(f"{WATCH}&resourceVersion={version}").frames()
    assert names_of([frame["object"] for frame in frames]) == list("abcd")
    assert _rises([int(frame["object"]["metadata"]["resourceVersion"]) for frame in frames])


def test_an_open_watch_can_be_closed_and_sends_first_what_is_due(server: ApiServer, client: Client) -> None:
    response = client.open(WATCH)
    server.events.put(an_event())
    server.watches[0].close()
    assert len(Reply(200, {}, response.read()).frames()) == 1


def test_in_a_storm_each_watch_expires_at_once_within_its_stream(server: ApiServer, client: Client) -> None:
    server.events.put(an_event())
    server.inject(ExpireWatches(times=2))
    for _ in range(2):
        frames = client.ask(f"{WATCH}&resourceVersion=1").frames()
        assert [(frame["type"], frame["object"]["code"]) for frame in frames] == [("ERROR", 410)]
    response = client.open(f"{WATCH}&resourceVersion=1")
    assert next_frame(response)["type"] == "ADDED"


def test_a_cut_frame_is_a_whole_chunk_with_half_a_line(server: ApiServer, client: Client) -> None:
    server.inject(CutFrames("frame"))
    response = client.open(WATCH)
    server.events.put(an_event())
    with pytest.raises(http.client.IncompleteRead) as broken:
        response.read()
    assert broken.value.partial.startswith(b'{"type":"ADDED"')
    assert not broken.value.partial.endswith(b"\n")


@pytest.mark.parametrize(("within", "is_whole"), [("frame", True), ("chunk", False)])
def test_a_cut_in_a_chunk_leaves_it_shorter_than_promised(
    server: ApiServer, client: Client, within: CutWithin, is_whole: bool
) -> None:
    server.inject(CutFrames(within))
    client.connection.connect()
    assert client.connection.sock is not None
    client.connection.sock.sendall(f"GET {WATCH} HTTP/1.1\r\n\r\n".encode())
    server.wait_until(lambda: len(server.watches) == 1)
    server.events.put(an_event())
    with client.connection.sock.makefile("rb") as raw:
        _, _, body = raw.read().partition(b"\r\n\r\n")
    size, _, data = body.partition(b"\r\n")
    assert (len(data) == int(size, 16) + len(b"\r\n")) is is_whole


def test_an_open_watch_can_be_cut_and_resumed_without_a_loss(server: ApiServer, client: Client) -> None:
    response = client.open(f"{WATCH}&resourceVersion=1")
    server.events.put(an_event("a"))
    version = next_frame(response)["object"]["metadata"]["resourceVersion"]
    server.watches[0].cut_next_frame("chunk")
    server.events.put(an_event("b"))
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    with Client(server) as again:
        frame = next_frame(again.open(f"{WATCH}&resourceVersion={version}"))
    assert frame["object"]["metadata"]["name"] == "b"


@pytest.mark.parametrize("line", ODD_FRAMES)
def test_an_odd_frame_comes_as_it_is_between_good_ones(server: ApiServer, client: Client, line: bytes) -> None:
    server.inject(SendFirst(line))
    response = client.open(f"{WATCH}&resourceVersion=1")
    assert response.readline() == line
    server.events.put(an_event())
    assert next_frame(response)["type"] == "ADDED"
    server.watches[0].send(line)
    assert response.readline() == line


def test_an_oversize_line_has_the_size_asked_for(server: ApiServer, client: Client) -> None:
    response = client.open(f"{WATCH}&resourceVersion=1")
    server.watches[0].send(oversize_frame(3_000_000))
    server.watches[0].close()
    body = response.read()
    assert len(body) == 3_000_000
    assert Reply(200, {}, body).frames()[0]["type"] == "ADDED"


def _has_been_asked(server: ApiServer, pages: int) -> bool:
    return sum(request.is_list for request in server.requests) == pages


def _rises(numbers: list[int]) -> bool:
    return all(before < after for before, after in pairwise(numbers))


def _served_context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
