from datetime import UTC, datetime, timedelta

from tocsin_consumer.dispatch import Cause
from tocsin_consumer.incident import End, State
from tocsin_consumer.notice import Reason, facts_of
from tocsin_consumer.report import Report
from tocsin_consumer.samples import samples
from tocsin_consumer.severity import Severity, severity


def test_the_samples_show_every_severity_that_alerts_have() -> None:
    shown = {severity(notification.event) for notification in samples().values()}
    assert shown == {Severity.CRITICAL, Severity.WARNING, Severity.RECOVERED}


def test_the_samples_hold_what_templates_stumble_over() -> None:
    events = [notification.event for notification in samples().values()]
    assert any(event.ns is None for event in events)
    assert any(event.node is None for event in events)
    assert any(event.count > 1 for event in events)
    assert any(event.model_extra for event in events)
    assert any("<at id=all>" in event.msg for event in events)
    assert any(len(event.msg) == 10240 for event in events)
    assert any({"\x07", "\x1b", "\x9b", "\x00"} <= set(event.msg) for event in events)
    assert any(event.last == 253_402_300_799 and event.count == 2**63 - 1 for event in events)
    assert any(notification.delay > timedelta(hours=2) for notification in samples().values())


def test_the_samples_have_just_arrived_whenever_they_are_asked_for() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    arrived = {name: notification.received_at for name, notification in samples(now).items()}
    assert {at for name, at in arrived.items() if samples()[name].report is None} == {now}
    assert max(arrived.values()) == now


def test_the_samples_are_different_events() -> None:
    events = [notification.event for notification in samples().values() if notification.report is None]
    assert len({event.uid for event in events}) == len(events)


def test_the_samples_hold_every_notice_about_a_cluster() -> None:
    found = [facts_of(notification.event) for notification in samples().values()]
    assert {notice[0] for notice in found if notice} == set(Reason)


def test_the_samples_hold_an_incident_at_every_turn_of_its_life() -> None:
    reports = [sample.report for sample in samples().values() if isinstance(sample.report, Report)]
    assert {report.cause for report in reports} == set(Cause)
    assert {report.state for report in reports} == set(State)
    assert {line.end for report in reports for line in report.lines} == {None, *End}
    assert any(len(report.lines) == 60 and report.has_more and report.muted for report in reports)
