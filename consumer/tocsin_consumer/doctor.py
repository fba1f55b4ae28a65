"""`tocsin-consumer doctor`: what a consumer needs, step by step, and what to do where it is missing.

It runs beside a consumer that is at work and disturbs nothing: at the broker it has a session of its own, which
takes no message from anyone's queue, and no receiver is sent anything.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tocsin_consumer.decode import decode
from tocsin_consumer.doctor_receivers import check_heartbeat, check_receiver
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.store_lock import holder
from tocsin_schemas import topics
from tocsin_schemas.checkup import Checkup, Finding, failed, ok, warning
from tocsin_schemas.checkup_broker import check_broker, hung_up
from tocsin_schemas.checkup_host import utc_now
from tocsin_schemas.checkup_state import check_database, check_folder
from tocsin_schemas.session import ConnectionLostError, Received
from tocsin_schemas.status import StatusPayload
from tocsin_schemas.visit import Visit

#: What Mosquitto tells of its queues, for those who may read it.
_QUEUES: Final = "$SYS/broker/+/messages/+"
_STORED: Final = "$SYS/broker/store/messages/count"
_DROPPED: Final = "$SYS/broker/publish/messages/dropped"
#: How many names of clusters fit into a line.
_SHOWN: Final = 8


def examine(
    checkup: Checkup,
    settings: ConsumerSettings,
    *,
    seconds: float = 10.0,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Take all steps.

    Args:
        checkup: what takes them.
        settings: the configuration.
        seconds: how long each step with a receiver may take.
        now: the time of day.
    """
    _check_store(checkup, settings.store)
    login, visit = check_broker(checkup, settings.broker.connection(client_id=settings.client_id), now=now)
    try:
        checkup.step("events", lambda at: check_events(at, settings.topic_root), login)
        checkup.step("clusters", lambda at: check_clusters(at, settings), login)
        checkup.step("broker queues", check_queues, login)
    finally:
        visit.close()
    for index, receiver in enumerate(settings.receivers):
        check_receiver(checkup, receiver, f"receivers[{index}]", seconds=seconds, now=now)
    if settings.heartbeat is not None:
        check_heartbeat(checkup, settings.heartbeat.address, seconds=seconds, now=now)


def _check_store(checkup: Checkup, store: str) -> None:
    path = Path(urlsplit(store).path.removeprefix("/"))
    folder = checkup.step("store folder", lambda: check_folder(path, "store"))
    checkup.step("store", check_database, folder)
    checkup.step("store in use", lambda _: _tell_holder(path), folder)


def _tell_holder(path: Path) -> Finding[None]:
    process = holder(path)
    return ok("no consumer is running with it" if process is None else f"a consumer is running with it{process}")


def check_events(visit: Visit, root: str) -> Finding[None]:
    """Subscribe to the events, and leave them to the session that is durable."""
    topic_filter = topics.event_filter(root)
    try:
        refusal = visit.subscribe(topic_filter)
    except ConnectionLostError as lost:
        return hung_up(f"let us subscribe to {topic_filter}", lost)
    if refusal is not None:
        return _may_not_read(topic_filter, refusal)
    return ok(f"the broker takes a subscription to {topic_filter}")


def _may_not_read(topic_filter: str, refusal: str) -> Finding[None]:
    return failed(
        f"{topic_filter} may not be subscribed to: {refusal}",
        cause="the broker's ACL has no block for this account, or topic_root is not the one of the ACL",
        run="on the broker: mosquitto/setup add-consumer with the name of this account",
    )


def check_clusters(visit: Visit, settings: ConsumerSettings) -> Finding[None]:
    """See which clusters tell their status: that is also how it shows whether we may read.

    Mosquitto takes every subscription and then keeps to itself what the ACL forbids.
    """
    topic_filter = topics.status_topic(settings.topic_root, "+")
    try:
        refusal, found = visit.look(topic_filter)
    except ConnectionLostError as lost:
        return hung_up(f"let us subscribe to {topic_filter}", lost)
    if refusal is not None:
        return _may_not_read(topic_filter, refusal)
    statuses = _statuses(found, settings.topic_root)
    if not statuses:
        return warning(
            "no cluster has told a status",
            cause="no producer has started yet; or the ACL gives this account nothing, and Mosquitto is silent",
            run="on an edge: tocsin-producer doctor; on the broker: mosquitto/setup list, for this account",
        )
    return _judge_clusters(statuses, settings.presence.clusters)


def _statuses(found: Sequence[Received], root: str) -> dict[str, bool]:
    """Return whether each cluster is online."""
    read = (decode(message.topic, message.payload, root=root) for message in found)
    return {status.cluster: status.state == "online" for status in read if isinstance(status, StatusPayload)}


def _judge_clusters(statuses: dict[str, bool], expected: Collection[str]) -> Finding[None]:
    offline = sorted(name for name, online in statuses.items() if not online)
    missing = sorted(set(expected) - statuses.keys())
    text = f"{len(statuses) - len(offline)} online" + (f", offline: {_some(offline)}" if offline else "")
    if missing:
        return warning(
            f"{text}, never seen: {_some(missing)}",
            cause="presence.clusters names them, and no producer of theirs has reached this broker",
            run=f"on {missing[0]}: tocsin-producer doctor",
        )
    return ok(text)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_queues(visit: Visit) -> Finding[None]:
    """See what the broker tells of its queues, which it does not have to."""
    try:
        refusal, found = visit.look(_QUEUES)
    except ConnectionLostError:
        refusal, found = "the broker hung up", []
    told = {message.topic: message.payload.decode("ascii", "replace") for message in found}
    stored, dropped = told.get(_STORED, ""), told.get(_DROPPED, "")
    if refusal is not None or not (stored.isdecimal() and dropped.isdecimal()):
        return ok("not for us to see; Mosquitto shows them to accounts with: topic read $SYS/broker/#")
    if int(dropped):
        return warning(
            f"{stored} messages are kept, and {dropped} were dropped since the broker started",
            cause="a client was away for longer than max_queued_messages lasts; it need not be this one",
            run="on the broker: look for 'are being dropped' in its log; then raise max_queued_messages",
        )
    return ok(f"{stored} messages are kept, none was dropped since the broker started")
