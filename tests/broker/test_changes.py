"""What `mosquitto/setup` changes while the broker runs: whom it concerns, and nobody else."""

import shutil
import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.broker.client import NOT_AUTHORIZED, SUCCESS, Client, by_certificate, by_password
from tests.broker.conftest import Fleet
from tests.broker.test_access import TAKEN, event_of
from tests.schemas.session_harness import Recorder, running
from tests.stage.broker import Broker
from tests.waiting import until
from tocsin_schemas.broker import BrokerSettings

pytestmark = pytest.mark.broker


def serial_number(broker: Broker) -> str:
    """Return that of the certificate that the broker shows."""
    context = ssl.create_default_context(cafile=broker.ca_file)
    with (
        socket.create_connection(("localhost", broker.port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        certificate = secured.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


def copy_of(folder: Path, name: str, to: Path) -> Path:
    """Copy what a client has been given, so that it stays what it is now."""
    return shutil.copytree(folder, to / name)


def test_an_account_works_as_soon_as_it_is_made(fleet: Fleet) -> None:
    with by_password(fleet.broker, fleet.broker.add_site("edge-3")) as site:
        assert site.publish("k8s/v1/edge-3/status") in TAKEN


def test_a_revoked_account_is_disconnected_and_refused_and_nobody_else_is(fleet: Fleet) -> None:
    password = fleet.site.password
    with (
        by_password(fleet.broker, fleet.site) as site,
        by_password(fleet.broker, fleet.other) as other,
        by_password(fleet.broker, fleet.consumer) as consumer,
    ):
        fleet.broker.setup("revoke", "edge-1")
        site.wait_until_lost()
        with Client(fleet.broker, username="edge-1", password=password) as again:
            assert again.answer == NOT_AUTHORIZED
        consumer.subscribe("k8s/v1/#")
        assert other.publish(event_of(fleet.other)) == SUCCESS
        consumer.wait_for(event_of(fleet.other))


def test_a_revoked_certificate_is_refused_and_a_connection_made_with_it_loses_every_right(
    fleet: Fleet, tmp_path: Path
) -> None:
    stolen = copy_of(fleet.site.folder, "stolen", tmp_path)
    with (
        by_certificate(fleet.broker, fleet.site.folder) as site,
        by_certificate(fleet.broker, fleet.other.folder) as other,
    ):
        assert site.publish(event_of(fleet.site)) in TAKEN
        fleet.broker.setup("revoke", "edge-1")
        until(lambda: site.publish(event_of(fleet.site)) == NOT_AUTHORIZED)
        with by_certificate(fleet.broker, stolen) as again:
            assert again.answer != SUCCESS
        assert other.publish(event_of(fleet.other)) in TAKEN


def test_a_revoked_consumer_that_is_connected_by_certificate_reads_nothing_more(fleet: Fleet) -> None:
    with (
        by_certificate(fleet.broker, fleet.consumer.folder) as revoked,
        by_password(fleet.broker, fleet.broker.add_consumer("ops-2")) as witness,
        by_password(fleet.broker, fleet.site) as site,
    ):
        revoked.subscribe("k8s/v1/#")
        witness.subscribe("k8s/v1/#")
        fleet.broker.setup("revoke", "ops")
        fleet.wait_for_reloads(2)
        site.publish(event_of(fleet.site))
        witness.wait_for(event_of(fleet.site))
        assert revoked.messages == []


def test_who_is_added_again_after_a_revocation_has_a_new_password_and_certificate(
    fleet: Fleet, tmp_path: Path
) -> None:
    stolen = copy_of(fleet.site.folder, "stolen", tmp_path)
    fleet.broker.setup("revoke", "edge-1")
    again = fleet.broker.add_site("edge-1", "--certificate")
    assert again.password != (stolen / "password").read_text(encoding="ascii").strip()
    for way in (by_password(fleet.broker, again), by_certificate(fleet.broker, again.folder)):
        with way as client:
            assert client.publish(event_of(again)) in TAKEN
    with by_certificate(fleet.broker, stolen) as thief:
        assert thief.answer != SUCCESS


def test_a_new_certificate_of_the_broker_is_shown_at_once_and_disturbs_nobody(fleet: Fleet) -> None:
    before = serial_number(fleet.broker)
    with by_password(fleet.broker, fleet.site) as site, by_certificate(fleet.broker, fleet.other.folder) as other:
        fleet.broker.setup("renew", "--now")
        until(lambda: serial_number(fleet.broker) != before)
        assert site.publish(event_of(fleet.site)) in TAKEN
        assert other.publish(event_of(fleet.other)) in TAKEN


def test_until_a_rotation_is_finished_the_old_password_works_and_then_the_new_one_alone(fleet: Fleet) -> None:
    old = fleet.site.password
    fleet.broker.setup("rotate", "edge-1")
    new = (fleet.site.folder / "next/password").read_text(encoding="ascii").strip()
    assert new != old
    answers = {}
    for stage in ("begun", "finished"):
        for password in (old, new):
            with Client(fleet.broker, username="edge-1", password=password) as client:
                answers[stage, password] = client.answer
        if stage == "begun":
            fleet.broker.setup("rotate", "edge-1", "--finish")
            fleet.wait_for_reloads(1)
    assert answers == {
        ("begun", old): SUCCESS,
        ("begun", new): NOT_AUTHORIZED,
        ("finished", old): NOT_AUTHORIZED,
        ("finished", new): SUCCESS,
    }


def test_until_a_rotation_is_finished_both_certificates_work_and_then_the_new_one_alone(
    fleet: Fleet, tmp_path: Path
) -> None:
    old = copy_of(fleet.site.folder, "old", tmp_path)
    fleet.broker.setup("rotate", "edge-1")
    new = copy_of(fleet.site.folder / "next", "new", tmp_path)
    for folder in (old, new):
        with by_certificate(fleet.broker, folder) as client:
            assert client.answer == SUCCESS
    fleet.broker.setup("rotate", "edge-1", "--finish")
    with by_certificate(fleet.broker, new) as client:
        assert client.publish(event_of(fleet.site)) in TAKEN
    with by_certificate(fleet.broker, old) as client:
        assert client.answer != SUCCESS


def test_a_running_side_goes_on_with_a_rotated_password_by_itself(fleet: Fleet, tmp_path: Path) -> None:
    """As the sessions of producer and consumer read their password file anew at each connect."""
    place = tmp_path / "password"
    place.write_text(fleet.site.password, encoding="ascii")
    settings = BrokerSettings.model_validate(fleet.broker.access(fleet.site) | {"password_file": str(place)})
    recorder = Recorder()
    with running(settings.connection(client_id="edge-1"), recorder):
        until(lambda: recorder.connections)
        fleet.broker.setup("rotate", "edge-1")
        place.write_bytes((fleet.site.folder / "next/password").read_bytes())
        assert recorder.lost == []
        fleet.broker.setup("rotate", "edge-1", "--finish")
        until(lambda: len(recorder.connections) == 2, otherwise="the session has not come back")
    assert len(recorder.lost) == 2  # by the rotation, and at the end


def test_what_was_changed_while_the_broker_was_away_holds_when_it_is_back(fleet: Fleet) -> None:
    password = fleet.site.password
    fleet.broker.stop()
    said = fleet.broker.setup("revoke", "edge-1")
    assert "has to read its files again (SIGHUP)" in said
    fleet.broker.start()
    with Client(fleet.broker, username="edge-1", password=password) as client:
        assert client.answer == NOT_AUTHORIZED


def test_only_a_broker_with_this_very_configuration_is_told_to_read_it_again(fleet: Fleet, tmp_path: Path) -> None:
    with Broker(tmp_path / "another", extra="log_type information") as another:
        assert f"process {another.pid})" in another.setup("renew", "--now")
        until(lambda: "Reloading config" in another.log())
        assert f"process {fleet.broker.pid})" in fleet.broker.setup("renew", "--now")
        fleet.wait_for_reloads(1)
    assert (fleet.reloads(), another.log().count("Reloading config")) == (1, 1)


def test_the_broker_survives_being_told_to_read_again_many_times(fleet: Fleet) -> None:
    with by_certificate(fleet.broker, fleet.site.folder) as site:
        for count in range(1, 6):
            fleet.broker.send_signal(signal.SIGHUP)
            fleet.wait_for_reloads(count)
            assert site.publish(event_of(fleet.site)) in TAKEN  # it is through with that
        with by_certificate(fleet.broker, fleet.other.folder) as other:
            assert other.publish(event_of(fleet.other)) in TAKEN
