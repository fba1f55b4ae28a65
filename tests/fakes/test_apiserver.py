"""The stand-in API server answers as the real one was recorded to, and keeps the rules in between."""

import json
import ssl
from urllib.parse import quote, urlencode

import pytest
import trustme

from tests.fakes.apiserver import ApiServer
from tests.fakes.apiserver_exchange import (
    LIST,
    NODE_FAILURES,
    WATCH,
    Client,
    Exchange,
    Reply,
    an_event,
    names_of,
    next_frame,
    recorded_exchange,
)
from tests.fakes.recording import read_recording

RECORDED_REVISION = 43236  # of the lists in the recorded exchanges


@pytest.fixture
def recorded(server: ApiServer) -> ApiServer:
    """The server in the state of the cluster when its exchanges were recorded."""
    server.events.load(read_recording(NODE_FAILURES))
    server.events.write_others(RECORDED_REVISION - server.events.revision)
    return server


def repeat(exchange: Exchange, client: Client) -> Reply:
    return client.ask(exchange.target, method=exchange.method)


# Held to the recordings


@pytest.mark.parametrize(
    "name",
    [
        "bad-field-selector",
        "list-empty",
        "list-node-normal",
        "list-page-1",
        "list-page-2",
        "readyz",
        "version",
    ],
)
def test_an_answer_is_byte_for_byte_the_recorded_one(recorded: ApiServer, client: Client, name: str) -> None:
    exchange = recorded_exchange(name)
    assert recorded.events.revision == RECORDED_REVISION
    assert repeat(exchange, client) == exchange.reply


@pytest.mark.parametrize("name", ["continue-expired", "watch-expired"])
def test_a_compacted_resource_version_is_refused_as_recorded(
    recorded: ApiServer, client: Client, name: str
) -> None:
    recorded.events.compact()
    exchange = recorded_exchange(name)
    assert repeat(exchange, client) == exchange.reply


def test_a_missing_or_wrong_token_is_refused_as_recorded() -> None:
    exchange = recorded_exchange("unauthorized")
    with ApiServer(token="right") as server:
        for token in (None, "wrong", ""):
            with Client(server, token=token) as client:
                assert repeat(exchange, client) == exchange.reply
        with Client(server, token="right") as client:
            assert repeat(exchange, client).status == 200


def test_a_missing_role_is_refused_as_recorded(server: ApiServer, client: Client) -> None:
    exchange = recorded_exchange("forbidden")
    server.forbid()
    assert repeat(exchange, client) == exchange.reply
    assert 'cannot watch resource "events"' in client.ask(WATCH).json()["message"]
    server.allow()
    assert repeat(exchange, client).status == 200


def test_a_watch_sends_a_change_and_ends_after_its_timeout_as_recorded(
    recorded: ApiServer, client: Client
) -> None:
    exchange = recorded_exchange("watch-ends-after-timeout")
    change = exchange.reply.frames()[0]["object"]
    response = client.open(exchange.target)
    recorded.events.write_others(int(change["metadata"]["resourceVersion"]) - RECORDED_REVISION - 1)
    recorded.events.put(change)
    recorded.clock.advance(20)
    assert response.read() == exchange.reply.body


def test_a_watch_from_the_future_is_silent_as_recorded(server: ApiServer, client: Client) -> None:
    exchange = recorded_exchange("watch-future-resource-version")
    response = client.open(exchange.target)
    server.events.put(an_event())
    server.clock.advance(3)
    assert response.status == exchange.reply.status
    assert response.read() == exchange.reply.body == b""


def test_a_watch_list_ends_its_initial_events_with_a_bookmark_as_recorded(
    recorded: ApiServer, client: Client
) -> None:
    exchange = recorded_exchange("watch-list")
    bookmark = exchange.reply.frames()[-1]["object"]
    recorded.events.write_others(int(bookmark["metadata"]["resourceVersion"]) - RECORDED_REVISION)
    response = client.open(exchange.target)
    recorded.clock.advance(2)
    assert response.read() == exchange.reply.body


# Lists


def test_the_pages_of_a_list_are_one_snapshot_whatever_is_written_in_between(
    server: ApiServer, client: Client
) -> None:
    for name in ("a", "b", "c"):
        server.events.put(an_event(name))
    first = client.ask(f"{LIST}?limit=2").json()
    server.events.put(an_event("c", count=9))
    server.events.put(an_event("d"))
    server.events.delete("uid-of-a")
    second = client.ask(f"{LIST}?limit=2&continue={first['metadata']['continue']}").json()
    assert names_of(first["items"] + second["items"]) == ["a", "b", "c"]
    assert [event["count"] for event in second["items"]] == [1]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_an_expired_list_goes_on_inconsistently_with_the_token_of_the_refusal(
    server: ApiServer, client: Client
) -> None:
    for name in ("a", "b"):
        server.events.put(an_event(name))
    token = client.ask(f"{LIST}?limit=1").json()["metadata"]["continue"]
    server.events.put(an_event("c"))
    server.events.compact()
    refusal = client.ask(f"{LIST}?limit=1&continue={token}")
    rest = client.ask(f"{LIST}?continue={refusal.json()['metadata']['continue']}").json()
    assert refusal.status == 410
    assert names_of(rest["items"]) == ["b", "c"]
    assert rest["metadata"]["resourceVersion"] == str(server.events.revision)


def test_a_list_tells_how_many_items_remain_only_without_a_selector(server: ApiServer, client: Client) -> None:
    for name in ("a", "b", "c"):
        server.events.put(an_event(name))
    assert client.ask(f"{LIST}?limit=1").json()["metadata"]["remainingItemCount"] == 2
    selected = client.ask(f"{LIST}?limit=1&fieldSelector=type%3DWarning").json()
    assert "remainingItemCount" not in selected["metadata"]


def test_the_last_page_is_empty_when_what_is_left_does_not_match(server: ApiServer, client: Client) -> None:
    server.events.put(an_event("a"))
    server.events.put(an_event("b", type="Normal"))
    query = f"{LIST}?limit=1&fieldSelector=type%3DWarning"
    first = client.ask(query).json()
    last = client.ask(f"{query}&continue={first['metadata']['continue']}").json()
    assert names_of(first["items"]) == ["a"]
    assert last["items"] == []
    assert "continue" not in last["metadata"]


def test_items_are_in_the_order_of_their_keys_in_etcd(server: ApiServer, client: Client) -> None:
    for namespace in ("edge", "edge-2", "default"):
        metadata = {"name": "same", "namespace": namespace, "uid": namespace}
        server.events.put({**an_event(), "metadata": metadata})
    items = client.ask(LIST).json()["items"]
    assert [item["metadata"]["namespace"] for item in items] == ["default", "edge-2", "edge"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("type=Warning", ["pod"]),
        ("type==Normal", ["node", "scheduled"]),
        ("type!=Normal", ["pod"]),
        ("involvedObject.kind=Node,type=Normal", ["node"]),
        ("involvedObject.kind!=Node,type=Normal", ["scheduled"]),
        ("involvedObject.fieldPath=spec.containers{api}", ["pod"]),
        ("involvedObject.namespace=", ["node"]),
        ("metadata.namespace=production,metadata.name=pod", ["pod"]),
        ("source=kubelet", ["node", "pod"]),
        ("source=default-scheduler", ["scheduled"]),
        ("reportingComponent=default-scheduler", ["scheduled"]),
        (r"reason=a\,b\=c\\", ["scheduled"]),
        (",", ["node", "pod", "scheduled"]),
        ("", ["node", "pod", "scheduled"]),
    ],
)
def test_a_field_selector_selects(server: ApiServer, client: Client, selector: str, names: list[str]) -> None:
    pod = {**an_event()["involvedObject"], "fieldPath": "spec.containers{api}"}
    server.events.put(an_event("pod", involvedObject=pod))
    server.events.put(an_event("node", type="Normal", involvedObject={"kind": "Node", "name": "pi-1"}))
    scheduler = {"source": {}, "reportingComponent": "default-scheduler", "reason": "a,b=c\\"}
    server.events.put(an_event("scheduled", type="Normal", **scheduler))
    assert names_of(client.ask(f"{LIST}?fieldSelector={quote(selector)}").json()["items"]) == names


def test_a_list_at_an_exact_resource_version_is_of_that_time_or_refused(server: ApiServer, client: Client) -> None:
    revision = server.events.put(an_event("a"))
    server.events.put(an_event("b"))
    exact = f"{LIST}?resourceVersion={revision}&resourceVersionMatch=Exact"
    not_older = f"{LIST}?resourceVersion={revision}&resourceVersionMatch=NotOlderThan"
    assert names_of(client.ask(exact).json()["items"]) == ["a"]
    assert names_of(client.ask(f"{LIST}?resourceVersion={revision}&limit=5").json()["items"]) == ["a"]
    assert names_of(client.ask(not_older).json()["items"]) == ["a", "b"]
    server.events.compact()
    assert client.ask(exact).status == 410
    future = client.ask(f"{LIST}?resourceVersion=99999")
    assert (future.status, future.headers["retry-after"]) == (504, "1")


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"limit": "many"}, 400, 'strconv.ParseInt: parsing "many": invalid syntax'),
        ({"timeoutSeconds": "1.5"}, 400, "invalid syntax"),
        ({"resourceVersion": "new"}, 400, "invalid resource version"),
        ({"resourceVersion": "-1", "watch": "1"}, 400, "invalid resource version"),
        ({"fieldSelector": "type"}, 400, "invalid selector: 'type'; can't understand 'type'"),
        ({"fieldSelector": "involvedObject.labels=x"}, 400, "field label not supported"),
        ({"continue": "rubbish"}, 400, "continue key is not valid"),
        ({"continue": "eyJ2Ijoib3RoZXIiLCJydiI6NX0"}, 400, "continue key is not valid"),
        ({"continue": "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiJhIn0", "resourceVersion": "7"}, 400, ""),
        ({"sendInitialEvents": "true"}, 422, "sendInitialEvents is forbidden for list"),
        ({"sendInitialEvents": "true", "watch": "1"}, 422, "requires setting resourceVersionMatch"),
        ({"resourceVersionMatch": "NotOlderThan", "watch": "1"}, 422, "unless sendInitialEvents"),
        ({"resourceVersionMatch": "Exact"}, 422, "forbidden unless resourceVersion is provided"),
    ],
)
def test_a_query_that_the_server_does_not_understand_is_refused(
    client: Client, query: dict[str, str], status: int, message: str
) -> None:
    reply = client.ask(f"{LIST}?{urlencode(query)}")
    refusal = reply.json()
    assert (reply.status, refusal["kind"], refusal["code"]) == (status, "Status", status)
    assert message in refusal["message"]


def test_a_label_selector_is_refused_because_the_stand_in_has_none(client: Client) -> None:
    assert client.ask(f"{LIST}?labelSelector=a").status == 501


def test_numbers_and_text_are_written_as_by_go(server: ApiServer, client: Client) -> None:
    server.events.put(an_event(message="<none> & 内存 \u2028"))
    assert "\\u003cnone\\u003e \\u0026 内存 \\u2028".encode() in client.ask(LIST).body


# Anything else


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("POST", "/api/v1/events", "create"),
        ("DELETE", "/api/v1/events", "deletecollection"),
        ("GET", "/api/v1/pods", "list"),
        ("GET", "/api/v1/pods?watch=true", "watch"),
        ("GET", "/api/v1/namespaces/production/events", "list"),
        ("POST", "/api/v1/namespaces/production/events", "create"),
        ("GET", "/api/v1/namespaces/production/events/api.1", "get"),
        ("DELETE", "/api/v1/namespaces/production/events/api.1", "delete"),
        ("GET", "/metrics", "get"),
        ("BREW", "/coffee", "brew"),
    ],
)
def test_all_that_the_role_does_not_allow_is_forbidden(client: Client, method: str, path: str, verb: str) -> None:
    reply = client.ask(path, method=method)
    assert (reply.status, reply.json()["reason"]) == (403, "Forbidden")
    assert f" cannot {verb} " in reply.json()["message"]


def test_what_is_not_http_1_1_is_refused_and_the_connection_closed(server: ApiServer, client: Client) -> None:
    client.connection.connect()
    assert client.connection.sock is not None
    client.connection.sock.sendall(b"EHLO example.com\r\n")
    assert client.connection.sock.recv(100).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    server.wait_until(lambda: server.connection_count == 0)


def test_a_connection_is_kept_for_the_next_request(server: ApiServer, client: Client) -> None:
    for _ in range(3):
        assert client.ask(LIST).status == 200
    response = client.open(f"{WATCH}&timeoutSeconds=5")
    server.clock.advance(5)
    response.read()
    assert client.ask(LIST).status == 200
    assert server.connection_count == 1
    assert len(server.requests) == 5


def test_a_request_is_recorded_without_its_token() -> None:
    with ApiServer(token="hush") as server, Client(server, token="hush") as client:
        client.ask(f"{LIST}?limit=5&fieldSelector=type%3DWarning")
        client.open(WATCH)
        listed, watched = server.requests
        assert (listed.method, listed.path) == ("GET", "/api/v1/events")
        assert listed.query == {"limit": "5", "fieldSelector": "type=Warning"}
        assert (listed.is_list, listed.is_watch) == (True, False)
        assert (watched.is_list, watched.is_watch) == (False, True)
        assert listed.headers["host"] == f"127.0.0.1:{server.port}"
        assert listed.received_at <= watched.received_at
        assert "hush" not in repr(server.requests)


def test_https_is_spoken_with_the_given_context() -> None:
    authority = trustme.CA()
    served, trusted = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusted)
    with ApiServer(ssl_context=served) as server, Client(server, ssl_context=trusted) as client:
        response = client.open(WATCH)
        server.events.put(an_event())
        assert server.url.startswith("https://")
        assert next_frame(response)["type"] == "ADDED"


def test_a_client_that_does_not_trust_the_certificate_does_no_harm() -> None:
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(served)
    trusting_others = ssl.create_default_context()
    with ApiServer(ssl_context=served) as server, Client(server, ssl_context=trusting_others) as client:
        with pytest.raises(ssl.SSLCertVerificationError):
            client.open(LIST)
        assert server.requests == ()


# Watches


def test_a_watch_tells_every_change_in_order_with_its_resource_version(server: ApiServer, client: Client) -> None:
    response = client.open(f"{WATCH}&resourceVersion={server.events.revision}")
    versions = [server.events.put(an_event()), server.events.put(an_event(count=2))]
    server.events.delete("uid-of-api.1")
    frames = [next_frame(response) for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["ADDED", "MODIFIED", "DELETED"]
    assert [frame["object"]["count"] for frame in frames] == [1, 2, 2]
    seen = [frame["object"]["metadata"]["resourceVersion"] for frame in frames]
    assert seen == [*versions, str(server.events.revision)]
    assert all(frame["object"]["kind"] == "Event" for frame in frames)


def test_an_object_that_begins_to_match_is_added_and_one_that_ceases_is_deleted(
    server: ApiServer, client: Client
) -> None:
    response = client.open(f"{WATCH}&fieldSelector=type%3DWarning")
    server.events.put(an_event(type="Normal"))
    server.events.put(an_event(type="Warning", count=2))
    server.events.put(an_event(type="Normal", count=3))
    server.events.delete("uid-of-api.1")
    server.clock.advance(1800)
    frames = Reply(response.status, {}, response.read()).frames()
    assert [frame["type"] for frame in frames] == ["ADDED", "DELETED"]
    assert [frame["object"]["count"] for frame in frames] == [2, 2]


@pytest.mark.parametrize("version", ["", "&resourceVersion=0", "&resourceVersion="])
def test_a_watch_without_a_resource_version_begins_with_all_there_is(
    server: ApiServer, client: Client, version: str
) -> None:
    server.events.put(an_event("a"))
    server.events.put(an_event("b"))
    response = client.open(f"{WATCH}{version}&allowWatchBookmarks=true")
    frames = [next_frame(response) for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["ADDED", "ADDED", "BOOKMARK"]
    server.events.put(an_event("c"))
    assert next_frame(response)["object"]["metadata"]["name"] == "c"


def test_a_watch_resumes_after_its_resource_version_and_misses_nothing(server: ApiServer, client: Client) -> None:
    server.events.put(an_event("a"))
    revision = client.ask(LIST).json()["metadata"]["resourceVersion"]
    server.events.put(an_event("b"))
    server.events.expire_events()
    response = client.open(f"{WATCH}&resourceVersion={revision}")
    frames = [next_frame(response) for _ in range(3)]
    told = [(frame["type"], frame["object"]["metadata"]["name"]) for frame in frames]
    assert told == [("ADDED", "b"), ("DELETED", "a"), ("DELETED", "b")]


def test_a_compaction_expires_what_was_listed_before_and_not_what_is_listed_after(
    server: ApiServer, client: Client
) -> None:
    before = client.ask(LIST).json()["metadata"]["resourceVersion"]
    server.events.compact()
    after = client.ask(LIST).json()["metadata"]["resourceVersion"]
    frames = client.ask(f"{WATCH}&resourceVersion={before}").frames()
    assert [(frame["type"], frame["object"]["code"]) for frame in frames] == [("ERROR", 410)]
    response = client.open(f"{WATCH}&resourceVersion={after}")
    server.events.put(an_event())
    assert next_frame(response)["type"] == "ADDED"


def test_a_bookmark_comes_on_demand_after_all_that_it_vouches_for(server: ApiServer, client: Client) -> None:
    response = client.open(f"{WATCH}&resourceVersion=1&allowWatchBookmarks=true")
    with server.clock.changed:
        server.watches[0].send_bookmark()
        version = server.events.put(an_event())
    assert next_frame(response)["type"] == "ADDED"
    bookmark = next_frame(response)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": version}


def test_a_client_that_did_not_ask_for_bookmarks_gets_none(server: ApiServer, client: Client) -> None:
    response = client.open(f"{WATCH}&resourceVersion=1&timeoutSeconds=5")
    server.watches[0].send_bookmark()
    server.clock.advance(5)
    assert response.read() == b""


def test_a_watch_is_over_when_its_client_has_closed(server: ApiServer, client: Client) -> None:
    response = client.open(WATCH)
    response.close()
    client.connection.close()
    server.wait_until(lambda: server.watches == () and server.connection_count == 0)


def test_each_frame_is_a_chunk_of_its_own(server: ApiServer, client: Client) -> None:
    client.connection.connect()
    assert client.connection.sock is not None
    client.connection.sock.sendall(f"GET {WATCH}&resourceVersion=1 HTTP/1.1\r\n\r\n".encode())
    server.events.put(an_event())
    with client.connection.sock.makefile("rb") as raw:
        while raw.readline() != b"\r\n":
            pass
        size = int(raw.readline(), 16)
        assert json.loads(raw.read(size))["type"] == "ADDED"
        assert raw.readline() == b"\r\n"


# The store


def test_the_ledger_has_every_state_that_was_put(server: ApiServer) -> None:
    server.events.put(an_event("a"))
    server.events.put(an_event("a", count=5))
    server.events.put(an_event("b", count=None, series={"count": 7}))
    server.events.delete("uid-of-a")
    served = server.events.served
    assert [(state.uid, state.count) for state in served] == [
        ("uid-of-a", 1),
        ("uid-of-a", 5),
        ("uid-of-b", 7),
    ]
    assert served[0].put_at <= served[-1].put_at


def test_what_a_test_changes_after_put_does_not_change_history(server: ApiServer, client: Client) -> None:
    event = an_event()
    server.events.put(event)
    event["involvedObject"]["kind"] = "Node"
    assert client.ask(LIST).json()["items"][0]["involvedObject"]["kind"] == "Pod"


def test_an_event_gets_the_metadata_that_the_server_gives(server: ApiServer, client: Client) -> None:
    event = {**an_event(), "metadata": {"name": "x", "namespace": "default"}}
    version = server.events.put(event)
    metadata = client.ask(LIST).json()["items"][0]["metadata"]
    assert metadata["resourceVersion"] == version
    assert {"uid", "creationTimestamp"} < metadata.keys()


def test_another_uid_under_the_same_name_needs_a_deletion_first(server: ApiServer) -> None:
    server.events.put(an_event())
    other = {**an_event(), "metadata": {**an_event()["metadata"], "uid": "other"}}
    with pytest.raises(ValueError, match="delete it before"):
        server.events.put(other)
    server.events.delete("uid-of-api.1")
    server.events.put(other)
    with pytest.raises(KeyError):
        server.events.delete("uid-of-api.1")


def test_a_recording_cannot_be_loaded_into_the_past(recorded: ApiServer) -> None:
    with pytest.raises(ValueError, match="is not after the current one"):
        recorded.events.load(read_recording(NODE_FAILURES))


def test_a_rebuilt_cluster_has_no_events_and_old_versions_are_of_its_future(
    server: ApiServer, client: Client
) -> None:
    server.events.put(an_event())
    version = server.events.put(an_event("b"))
    server.events.rebuild()
    assert client.ask(LIST).json()["items"] == []
    response = client.open(f"{WATCH}&resourceVersion={version}&timeoutSeconds=5")
    server.events.put(an_event("c"))
    server.clock.advance(5)
    assert response.read() == b""
