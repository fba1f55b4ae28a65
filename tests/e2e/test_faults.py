"""One fault at a time: the link's, the broker's, and all at once before the start."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.demo.brokers import Amqtt
from tests.fakes.relay import Conditions, Way
from tests.producer.conftest import event
from tests.schemas.session_harness import Recorder, running
from tests.stage import names
from tests.stage.site import CLUSTER, Site
from tests.waiting import until

pytestmark = pytest.mark.broker

HASTY = {"connect_timeout": "1s", "keepalive": "10s"}
COUNT = 3  # of the Event that the tests make


def make(site: Site, *uids: str) -> None:
    """Let Events happen."""
    for uid in uids:
        site.api_server.events.put(event(uid))


def until_published(site: Site, count: int) -> None:
    """Wait until the broker has acknowledged so many events."""
    until(lambda: site.published() >= count, otherwise=f"only {site.published()} of {count} were published")


def start_working(site: Site) -> None:
    """Start, and let a first Event come all the way: a producer that has just connected holds the others back."""
    site.start()
    make(site, "first")
    until_all_arrived(site, "first")
    until_published(site, 1)


def until_all_arrived(site: Site, *uids: str) -> None:
    """Wait until each has arrived at each receiver, and see that none came twice."""
    wanted = sorted((uid, COUNT) for uid in uids)
    until(
        lambda: len(site.states()) >= len(wanted) and len(site.hooked()) >= len(wanted),
        within_seconds=40,
        otherwise=f"{site.states()} {site.producer.log[-2000:]}",
    )
    assert sorted(site.states()) == sorted(site.hooked()) == wanted


def end_session(site: Site, client_id: str) -> None:
    """Let the broker forget a session, as it does when it has expired."""
    usurper = Recorder()
    client = replace(site.client("ops"), client_id=client_id, session_expiry_seconds=0)
    with running(client, usurper):
        until(lambda: usurper.connections)


def hasten(site: Site) -> None:
    """Let both sides notice soon."""
    accounts, broker = site.accounts, site.broker
    site.configure_producer(broker=broker.access(accounts[CLUSTER], port=site.uplink.port) | HASTY)
    site.configure_consumer(broker=broker.access(accounts["ops"], port=site.downlink.port) | HASTY)


# The link


def test_a_link_that_refuses_connections_loses_nothing(site: Site) -> None:
    start_working(site)
    site.uplink.cut()
    make(site, "a", "b")
    site.producer.wait_for_log("Connection refused")
    site.uplink.restore()
    until_all_arrived(site, "first", "a", "b")


@pytest.mark.parametrize("limit", [300, 2600], ids="{} bytes".format)
def test_a_link_that_is_cut_in_the_middle_of_a_packet_loses_nothing(limit: int, site: Site) -> None:
    """The handshake and the events are cut in turn."""
    start_working(site)
    site.uplink.change(Conditions(cuts_after=limit))
    site.uplink.reset()
    uids = [str(number) for number in range(20)]
    make(site, *uids)
    until(lambda: len(site.uplink.passages[-1].sent) == limit)
    site.uplink.restore()
    until_all_arrived(site, "first", *uids)


def test_a_half_open_link_is_noticed_whether_idle_or_busy_and_loses_nothing(site: Site) -> None:
    hasten(site)
    start_working(site)
    for link in (site.uplink, site.downlink):  # the producer is busy then, the consumer idle
        link.change(Conditions(loses=frozenset(Way)))
        link.restore()
    make(site, "a", "b")
    site.producer.wait_for_log("Keep alive timeout", within_seconds=40)
    site.consumer.wait_for_log("Keep alive timeout", within_seconds=40)
    until_all_arrived(site, "first", "a", "b")


def test_a_link_of_16_kbit_and_2_seconds_there_and_back_is_enough(site: Site) -> None:
    site.start_consumer()
    site.uplink.change(Conditions(delay_seconds=1.0, bytes_per_second=2000.0))
    site.start_producer()
    make(site, "a", "b", "c")
    until_all_arrived(site, "a", "b", "c")
    assert len(site.uplink.passages) == 1


def test_a_link_that_comes_and_goes_loses_nothing(site: Site) -> None:
    start_working(site)
    uids = [str(number) for number in range(3)]
    for uid in uids:
        site.uplink.cut()
        make(site, uid)
        site.uplink.restore()
        passages = len(site.uplink.passages)
        until(lambda passages=passages: len(site.uplink.passages) > passages)  # type: ignore[misc]
    until_all_arrived(site, "first", *uids)


def test_a_name_that_does_not_resolve_is_tried_until_it_does(site: Site) -> None:
    gone = site.folder / "names-are-gone"
    resolver = {"PYTHONPATH": str(Path(names.__path__[0])), "NAMES_ARE_GONE": str(gone)}
    site.producer.environment |= resolver
    start_working(site)
    gone.touch()
    site.uplink.reset()
    make(site, "a")
    site.producer.wait_for_log("Temporary failure in name resolution")
    gone.unlink()
    until_all_arrived(site, "first", "a")


def test_a_handshake_that_stalls_is_given_up_and_tried_again(site: Site) -> None:
    hasten(site)
    start_working(site)
    site.uplink.change(Conditions(stalls_after=200))
    site.uplink.reset()
    make(site, "a")
    site.producer.wait_for_log("no answer in time")
    site.uplink.restore()
    until_all_arrived(site, "first", "a")


def test_a_certificate_that_has_expired_is_told_and_a_new_one_trusted(site: Site) -> None:
    site.start()
    site.broker.stop()
    site.broker.certify(expired=True)
    site.broker.start()
    make(site, "a")
    site.producer.wait_for_log("certificate has expired")
    site.broker.stop()
    site.broker.certify()
    site.broker.start()
    until_all_arrived(site, "a")


# The broker


def test_a_broker_that_is_stopped_keeps_what_it_has_and_gets_the_rest(site: Site) -> None:
    site.start()
    site.consumer.kill()
    make(site, "a")
    until_published(site, 1)
    site.broker.stop()
    make(site, "b")
    site.broker.start()
    site.start_consumer()
    until_all_arrived(site, "a", "b")


def test_a_broker_that_is_killed_as_soon_as_it_has_acknowledged_loses_nothing(site: Site) -> None:
    """Mosquitto acknowledges before it writes: what it may have forgotten, the producer sends again."""
    site.start()
    until((site.folder / "broker" / "data" / "mosquitto.db").exists)  # the consumer's session is in it
    site.consumer.kill()
    uids = [str(number) for number in range(50)]
    make(site, *uids)
    until_published(site, len(uids))
    site.broker.kill()
    site.broker.start()
    site.start_consumer()
    until_all_arrived(site, *uids)


def test_what_a_killed_broker_had_on_the_way_to_a_frozen_consumer_arrives(site: Site) -> None:
    """Mosquitto 2.0.11 does not count what is in flight to a connected client among the changes that it writes."""
    start_working(site)
    site.consumer.freeze()
    uids = [str(number) for number in range(5)]
    make(site, *uids)
    until_published(site, len(uids) + 1)
    site.downlink.reset()
    site.broker.kill()
    site.broker.start()
    site.consumer.thaw()
    until_all_arrived(site, "first", *uids)
    assert "have not come" not in site.consumer.log


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
def test_a_broker_whose_disk_is_full_goes_on_and_writes_down_what_it_has_when_there_is_room(site: Site) -> None:
    start_working(site)
    kept = site.folder / "broker" / "data" / "mosquitto.db"
    until(kept.exists)  # it has written once before its disk is full
    site.broker.fill_disk()
    make(site, "a")
    until_all_arrived(site, "first", "a")
    site.consumer.stop()
    make(site, "b")
    until_published(site, 3)
    assert b'"uid":"b"' not in kept.read_bytes()
    site.broker.free_disk()
    until(lambda: b'"uid":"b"' in kept.read_bytes())
    site.broker.kill()
    site.broker.start()
    site.start_consumer()
    until_all_arrived(site, "first", "a", "b")


@pytest.fixture
def small_queue(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, broker_extra="max_inflight_messages 1\nmax_queued_messages 5") as site:
        yield site


def test_what_a_broker_drops_from_a_full_queue_is_told(small_queue: Site) -> None:
    site = small_queue
    site.start()
    site.consumer.kill()
    make(site, *map(str, range(30)))
    until_published(site, 30)
    site.start_consumer()
    until(site.states)
    make(site, "next")
    until(lambda: ("next", COUNT) in site.states())
    dropped = 31 - len(site.states())
    assert dropped > 20
    site.consumer.wait_for_log(f"{dropped} of the events that it published have not come")


def test_what_a_broker_dropped_with_an_expired_session_is_told(site: Site) -> None:
    site.start()
    make(site, "a")
    until_all_arrived(site, "a")
    site.downlink.cut()
    end_session(site, "tocsin-consumer-ops")
    make(site, "b", "c")
    until_published(site, 3)
    site.downlink.restore()
    site.consumer.wait_for_log("the broker has forgotten our session")
    make(site, "d")
    site.consumer.wait_for_log("2 of the events that it published have not come")
    until(lambda: [uid for uid, _ in site.states()] == ["a", "d"])


def test_a_broker_that_speaks_only_mqtt_3_1_1_is_spoken_to_so(site: Site) -> None:
    with Amqtt(site.folder) as old:
        site.configure_producer(broker=old.section(CLUSTER, old.port))
        site.configure_consumer(broker=old.section("ops", old.port))
        site.start()
        make(site, "a", "b")
        until_all_arrived(site, "a", "b")
    assert "no answer in time" in site.producer.log  # to a CONNECT of MQTT 5


def test_a_site_that_starts_while_everything_is_down_waits_for_it(site: Site) -> None:
    make(site, "a", "b")
    site.broker.stop()
    site.api_server.refuse_connections()
    with site.webhook.refusing_connections():
        site.run_producer()
        site.run_consumer()
        site.producer.wait_for_log("broker localhost")
        site.producer.wait_for_log("API server: [Errno 111] Connection refused")
        site.consumer.wait_for_log("broker localhost")
        site.broker.start()
        site.consumer.wait_for_log("connected to")
        site.api_server.accept_connections()
        until(lambda: len(site.states()) == 2)
    until_all_arrived(site, "a", "b")
