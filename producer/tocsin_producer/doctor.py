"""`tocsin-producer doctor`: what a producer needs, step by step, and what to do where it is missing.

It runs beside a producer that is at work and disturbs nothing: at the broker it has a client id of its own and no
will, and what it publishes to find out whether it may, consumers do not subscribe to.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError

from tocsin_producer.doctor_api import ANSWER_SECONDS, check_api
from tocsin_producer.filter import field_selectors
from tocsin_producer.plan import ApiServer
from tocsin_producer.settings import ProducerSettings
from tocsin_schemas import topics
from tocsin_schemas.checkup import Checkup, Finding, failed, ok, warning
from tocsin_schemas.checkup_broker import check_broker, hung_up
from tocsin_schemas.checkup_host import utc_now
from tocsin_schemas.checkup_state import check_database, check_folder
from tocsin_schemas.session import ConnectionLostError
from tocsin_schemas.status import StatusPayload
from tocsin_schemas.visit import Visit

#: Below the cluster's name, where its account may write, and beside `event` and `status`, which consumers read.
_LEVEL: Final = "doctor"


def examine(
    checkup: Checkup,
    settings: ProducerSettings,
    resolve: Callable[[], ApiServer],
    wherefrom: str,
    *,
    api_seconds: float = ANSWER_SECONDS,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Take all steps.

    Args:
        checkup: what takes them.
        settings: the configuration.
        resolve: finds the API server.
        wherefrom: where that one's address is written.
        api_seconds: how long each step with the API server may take.
        now: the time of day.
    """
    _check_outbox(checkup, settings)
    selectors = field_selectors([rule.rule() for rule in settings.events.include])
    check_api(checkup, resolve, selectors, wherefrom=wherefrom, seconds=api_seconds, now=now)
    broker = settings.connection
    login, visit = check_broker(checkup, broker, now=now)
    try:
        account = broker.username or ""
        checkup.step("publish", lambda at: check_publishing(at, settings, account), login)
        checkup.step("status", lambda at: check_status(at, settings), login)
    finally:
        visit.close()


def _check_outbox(checkup: Checkup, settings: ProducerSettings) -> None:
    path = settings.outbox.path
    if path is None:
        checkup.step(
            "outbox", lambda: ok("in memory: a restart lists anew, and forgets what Kubernetes has forgotten")
        )
        return
    folder = checkup.step("outbox folder", lambda: check_folder(path, "outbox.path"))
    checkup.step("outbox", check_database, folder)


def check_publishing(visit: Visit, settings: ProducerSettings, account: str) -> Finding[None]:
    """See whether the account may write below the cluster's name, with a message that no consumer receives."""
    place = f"{settings.topic_root}/{settings.cluster}"
    try:
        refusal = visit.publish(f"{place}/{_LEVEL}", b"tocsin-producer doctor")
    except ConnectionLostError as lost:
        return hung_up(f"publish below {place}/", lost)
    if refusal is not None:
        return _may_not_publish(f"{place}/{_LEVEL}", settings.cluster, account, refusal=refusal)
    if not visit.speaks_5:
        return warning(
            f"{place}/{_LEVEL} was taken, which with MQTT 3.1.1 says nothing",
            cause="before MQTT 5 a broker acknowledges also what it throws away",
            run="see the broker's log for this moment: Mosquitto with log_type all writes Denied PUBLISH",
        )
    return ok(f"{account} may write below {place}/")


def _may_not_publish(topic: str, cluster: str, account: str, *, refusal: str) -> Finding[None]:
    cause = (
        f"the account is {account} and the cluster {cluster}: an account may write below its own name only"
        if account != cluster
        else "the broker's ACL lacks the line for sites, or topic_root is not the one of the ACL"
    )
    return failed(
        f"{account} may not publish to {topic}: {refusal}",
        cause=cause,
        run="on the broker: see its acl_file for: pattern write k8s/v1/%u/#",
    )


def check_status(visit: Visit, settings: ProducerSettings) -> Finding[None]:
    """See what is retained as the status of this cluster, by which a second producer would be noticed."""
    topic = topics.status_topic(settings.topic_root, settings.cluster)
    try:
        refusal, found = visit.look(topic)
    except ConnectionLostError as lost:
        return hung_up(f"let us read {topic}", lost)
    if refusal is not None:
        return warning(
            f"{topic} may not be read: {refusal}",
            cause="the broker's ACL lacks that line; a second producer for this cluster would not be noticed",
            run="on the broker: add to its acl_file: pattern read k8s/v1/%u/status",
        )
    if not found:
        return ok("none is retained: no producer has started yet for this cluster, or we may not read it")
    return _tell_status(topic, found[-1].payload)


def _tell_status(topic: str, payload: bytes) -> Finding[None]:
    try:
        status = StatusPayload.model_validate_json(payload)
    except ValidationError:
        return warning(
            f"what is retained on {topic} is no status",
            cause="something else publishes there, or a producer of a later version",
            run="stop what it is; a producer tells its status anew within the hour, and when it starts",
        )
    since = f"{datetime.fromtimestamp(status.since, UTC):%Y-%m-%d %H:%M} UTC"
    what = f"a producer ({status.version}) that started at {since} is {status.state}"
    held = f" ({status.held} of them for the budget)" if status.held else ""
    return ok(f"{what}; {status.waiting} events waited{held}, {status.lost} were lost")
