"""Who speaks for the cluster: the link, or nobody here while another producer does.

The thread that runs this holds one MQTT session after another: the link's own, and under another client id that of
a standby, so that two producers for one cluster do not take the session from each other for ever.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tocsin_producer.link import Link
from tocsin_producer.standby import Standby
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.session import Broker, Handler, Session, Will

_log = logging.getLogger(__name__)

#: What follows it is random: several that stand by for one cluster must not take the session from each other.
STANDBY_SUFFIX: Final = "-standby-"


class Tenure:
    """Holds the sessions of one producer, one at a time.

    Args:
        cluster: whose status is told on `status_topic`.
        broker: where and as whom the link connects.
        stop: ends it all.
        later_boot: gives, and keeps, a boot that is later than the one given.
        backoff: seconds to wait after so many failures to connect in a row.
    """

    def __init__(
        self,
        broker: Broker,
        stop: threading.Event,
        *,
        cluster: str,
        status_topic: str,
        later_boot: Callable[[int], int],
        backoff: Callable[[int], float] = backoff_seconds,
    ) -> None:
        self._broker = broker
        self._stop = stop
        self._cluster = cluster
        self._status_topic = status_topic
        self._later_boot = later_boot
        self._backoff = backoff
        self._end = threading.Event()
        self._session: Session | None = None

    @property
    def session(self) -> Session | None:
        """The session that is held now, or was last."""
        return self._session

    def wake(self) -> None:
        """Make the session take a turn now; any thread and any signal handler may call this at any time."""
        session = self._session
        if session is not None:
            session.wake()

    def leave(self) -> None:
        """End the session that is held now, not the tenure."""
        self._end.set()
        self.wake()

    def stop(self) -> None:
        """End it all; safe in a signal handler."""
        self._stop.set()
        self.leave()

    def run(self, link: Link) -> None:
        """Let `link` speak, as long as nobody else does, until `stop` is called."""
        while not self._stop.is_set():
            self._hold(link, self._broker, backoff=self._backoff, will=link.will)
            if link.superseded_by is not None and not self._stop.is_set():
                self._stand_by(link, rival=link.superseded_by)
            elif link.outdated_by is not None:
                _log.info("an earlier producer had boot %d; going on as a later one", link.outdated_by)
                link.begin_boot(self._later_boot(link.outdated_by))

    def _stand_by(self, link: Link, *, rival: int) -> None:
        """Watch the other producer, and take its place as a later boot when it is gone."""
        _log.error(
            "another producer speaks for cluster %s as client %s: its boot %d is later than this one's, %d."
            " This one steps back until the other is gone; stop one of them, or give it another cluster name",
            self._cluster,
            self._broker.client_id,
            rival,
            link.status.boot,
        )
        standby = Standby(self._status_topic, boot=link.status.boot, rival=rival, leave=self.leave)

        def pause(failures: int) -> float:
            standby.leave_if_gone()  # no turn is taken without a connection
            return self._backoff(failures)

        self._hold(standby, self._standby_broker(), backoff=pause)
        if not self._stop.is_set():
            _log.warning(
                "the other producer (boot %d) is gone; speaking for cluster %s again", rival, self._cluster
            )
            link.begin_boot(self._later_boot(standby.last_boot))

    def _standby_broker(self) -> Broker:
        """Return where and as whom the standby connects: the broker keeps nothing of a name that is used once."""
        client_id = f"{self._broker.client_id}{STANDBY_SUFFIX}{os.urandom(4).hex()}"
        return replace(self._broker, client_id=client_id, clean_start=True, session_expiry_seconds=0)

    def _hold(
        self,
        handler: Handler,
        broker: Broker,
        *,
        backoff: Callable[[int], float],
        will: Callable[[], Will] | None = None,
    ) -> None:
        self._end = threading.Event()
        self._session = Session(broker, handler, will=will, backoff=backoff)
        if not self._stop.is_set():  # a stop from now on finds this session
            self._session.run(self._end)
