"""Who may do what at a broker that `mosquitto/` configures: the real Mosquitto, every rule of the ACL."""

from pathlib import Path

import pytest
import trustme

from tests.broker.client import (
    CERTIFICATE_PORT,
    NOT_AUTHORIZED,
    SUCCESS,
    Client,
    by_certificate,
    by_password,
)
from tests.broker.conftest import Fleet
from tests.stage.broker import Account, Broker
from tocsin_schemas import topics

ROOT = topics.DEFAULT_ROOT
#: The largest packet, as mosquitto.conf has it.
PACKET_LIMIT = 65_536
#: Codes of a PUBACK with which the broker has taken a message, whether or not anybody gets it.
TAKEN = (SUCCESS, "No matching subscribers")

pytestmark = pytest.mark.broker


def event_of(account: Account) -> str:
    return topics.event_topic(ROOT, account.username, namespace="production", kind="Pod", reason="BackOff")


def status_of(account: Account) -> str:
    return topics.status_topic(ROOT, account.username)


def both_ways(broker: Broker, account: Account) -> tuple[Client, Client]:
    return by_password(broker, account), by_certificate(broker, account.folder)


def test_a_site_publishes_events_and_its_status(shared_fleet: Fleet) -> None:
    site = shared_fleet.site
    for way in both_ways(shared_fleet.broker, site):
        with way as client:
            assert client.publish(event_of(site)) in TAKEN
            assert client.publish(status_of(site), retain=True) in TAKEN


def test_a_site_cannot_publish_as_another_nor_outside_of_its_name(shared_fleet: Fleet) -> None:
    broker, site, other = shared_fleet.broker, shared_fleet.site, shared_fleet.other
    foreign = [
        event_of(other),
        status_of(other),
        f"{ROOT}/edge-1-b/status",
        f"{ROOT}/status",
        "edge-1",
        "$SYS/broker",
    ]
    with by_password(broker, shared_fleet.consumer) as consumer:
        consumer.subscribe("#")
        for way in both_ways(broker, site):
            with way as client:
                assert [client.publish(topic) for topic in foreign] == [NOT_AUTHORIZED] * len(foreign)
                client.publish(event_of(site))
                consumer.wait_for(event_of(site))
        assert set(foreign).isdisjoint(consumer.topics())


def test_a_site_reads_its_own_status_and_nothing_else(shared_fleet: Fleet) -> None:
    broker, site, other = shared_fleet.broker, shared_fleet.site, shared_fleet.other
    with by_password(broker, other) as neighbour:
        neighbour.publish(status_of(other), b"retained", retain=True)
        for way in both_ways(broker, site):
            with way as client:
                client.subscribe("#", "$SYS/#", f"{ROOT}/+/event/#", f"{ROOT}/+/status", event_of(other))
                assert neighbour.publish(event_of(other)) in TAKEN
                client.publish(event_of(site))
                client.publish(status_of(site), b"last", retain=True)
                client.wait_for(status_of(site))  # whatever came before it is here as well
                assert set(client.topics()) == {status_of(site)}


def test_a_will_cannot_speak_for_another(shared_fleet: Fleet) -> None:
    broker, site, other = shared_fleet.broker, shared_fleet.site, shared_fleet.other
    with by_password(broker, shared_fleet.consumer) as consumer:
        consumer.subscribe(f"{ROOT}/#")
        for will in (status_of(other), status_of(site)):
            client = by_password(broker, site)
            client.set_will(will, b"last will")
            with client:
                client.cut()
        consumer.wait_for(status_of(site), b"last will")
        assert (status_of(other), b"last will") not in consumer.messages


def test_a_consumer_reads_every_site_and_how_the_broker_is(shared_fleet: Fleet) -> None:
    broker = shared_fleet.broker
    for way in both_ways(broker, shared_fleet.consumer):
        with way as consumer, by_password(broker, shared_fleet.site) as site:
            filters = [topics.event_filter(ROOT), topics.status_topic(ROOT, "+"), "$SYS/broker/version"]
            assert consumer.subscribe(*filters) == ["Granted QoS 1"] * 3
            site.publish(event_of(shared_fleet.site))
            site.publish(status_of(shared_fleet.site), retain=True)
            for topic in (event_of(shared_fleet.site), status_of(shared_fleet.site), "$SYS/broker/version"):
                consumer.wait_for(topic)


def test_a_consumer_publishes_nothing_not_even_under_its_own_name(shared_fleet: Fleet) -> None:
    broker, consumer = shared_fleet.broker, shared_fleet.consumer
    wanted = [
        event_of(shared_fleet.site),
        status_of(shared_fleet.site),
        event_of(consumer),
        status_of(consumer),
        "x",
    ]
    for way in both_ways(broker, consumer):
        with way as client:
            assert [client.publish(topic) for topic in wanted] == [NOT_AUTHORIZED] * len(wanted)


@pytest.mark.parametrize(
    ("username", "password"),
    [
        (None, None),
        ("edge-1", None),
        ("edge-1", ""),
        ("edge-1", "wrong"),
        ("nobody", "wrong"),
        ("", ""),
        ("ops", "ops"),
    ],
)
def test_whoever_has_no_account_or_not_its_password_is_refused(
    shared_fleet: Fleet, username: str | None, password: str | None
) -> None:
    with Client(shared_fleet.broker, username=username, password=password) as client:
        assert client.answer == NOT_AUTHORIZED


def test_the_password_of_one_account_does_not_open_another(shared_fleet: Fleet) -> None:
    stolen = shared_fleet.other.password
    with Client(shared_fleet.broker, username=shared_fleet.site.username, password=stolen) as client:
        assert client.answer == NOT_AUTHORIZED


def test_who_has_a_certificate_is_who_it_names_whatever_else_is_claimed(shared_fleet: Fleet) -> None:
    site, other = shared_fleet.site, shared_fleet.other
    with by_certificate(shared_fleet.broker, site.folder, username=other.username) as client:
        assert client.answer == SUCCESS
        assert client.publish(event_of(other)) == NOT_AUTHORIZED
        assert client.publish(event_of(site)) in TAKEN


def test_where_certificates_are_asked_for_a_password_is_not_enough(shared_fleet: Fleet) -> None:
    with by_password(shared_fleet.broker, shared_fleet.site, port=CERTIFICATE_PORT) as client:
        assert client.answer != SUCCESS


def test_a_certificate_of_another_ca_and_that_of_the_broker_open_nothing(
    shared_fleet: Fleet, tmp_path: Path
) -> None:
    forged = trustme.CA().issue_cert(common_name=shared_fleet.site.username)
    forged.private_key_pem.write_to_path(tmp_path / "client.key")
    forged.cert_chain_pems[0].write_to_path(tmp_path / "client.crt")
    brokers = tmp_path / "broker"
    brokers.mkdir()
    for name in ("crt", "key"):
        (brokers / f"client.{name}").write_bytes((shared_fleet.broker.folder / f"certs/tls.{name}").read_bytes())
    for folder in (tmp_path, brokers):
        with by_certificate(shared_fleet.broker, folder) as client:
            assert client.answer != SUCCESS


def test_a_packet_that_nobody_honest_sends_ends_the_connection_of_its_sender_alone(shared_fleet: Fleet) -> None:
    broker, site, other = shared_fleet.broker, shared_fleet.site, shared_fleet.other
    with (
        by_password(broker, site) as client,
        by_password(broker, other) as neighbour,
        by_password(broker, shared_fleet.consumer) as consumer,
    ):
        consumer.subscribe(f"{ROOT}/+/event/#")
        assert client.properties.MaximumPacketSize == PACKET_LIMIT
        assert client.publish(event_of(site), bytes(PACKET_LIMIT - 200)) == SUCCESS
        assert client.publish(event_of(site), bytes(PACKET_LIMIT)) not in TAKEN
        client.wait_until_lost()
        assert neighbour.publish(event_of(other)) == SUCCESS
        consumer.wait_for(event_of(other))
        assert consumer.topics() == [event_of(site), event_of(other)]


def test_clients_learn_that_qos_2_is_not_for_them(shared_fleet: Fleet) -> None:
    with by_password(shared_fleet.broker, shared_fleet.site) as client:
        assert client.properties.MaximumQoS == 1
