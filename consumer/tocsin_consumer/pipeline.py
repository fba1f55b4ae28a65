"""What happens to each message, stage after stage."""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from tocsin_consumer import sequence
from tocsin_consumer.board import Board
from tocsin_consumer.clock import Clock, utc_now
from tocsin_consumer.counters import Counters
from tocsin_consumer.dead_letter import DeadLetter, Kind, Search
from tocsin_consumer.decode import Rejection, Said, decode
from tocsin_consumer.dedupe import Fresh, dedupe, key_of
from tocsin_consumer.errors import StoreError
from tocsin_consumer.inbox import Arrival
from tocsin_consumer.inert import one_line
from tocsin_consumer.intake import Uplink
from tocsin_consumer.mute import Mutes
from tocsin_consumer.notice import Notice
from tocsin_consumer.presence import Rules
from tocsin_consumer.records import DeadPayload, Entry, IncidentChanges
from tocsin_consumer.roster import Changes, Roster
from tocsin_consumer.route import Route
from tocsin_consumer.sequence import Position
from tocsin_consumer.store import Store
from tocsin_consumer.storm import StormRules, Storms
from tocsin_consumer.throttle import ThrottledLog
from tocsin_consumer.wording import event_of
from tocsin_schemas.event import EventPayload
from tocsin_schemas.session import Received

_log = logging.getLogger(__name__)

#: Messages that are taken through all stages again at a time, so that what comes meanwhile does not wait for long.
_AGAIN_LIMIT: Final = 100


class Pipeline:
    """Takes messages from the broker to deliveries in the store.

    Args:
        root: the topics' root.
        route: the top of the routing tree.
        rules: when a cluster is told to be gone, and to be back.
        mutes: what keeps incidents from being told.
        storm_rules: when incidents are told together.
        store: where it ends.
        notify: called with the names of receivers that have something new to deliver.
        clock: the time, aware.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        root: str,
        route: Route,
        *,
        rules: Rules,
        mutes: Mutes,
        storm_rules: StormRules,
        store: Store,
        notify: Callable[[Collection[str]], None],
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._root = root
        self._route = route
        self._rules = rules
        self._mutes = mutes
        self._storm_rules = storm_rules
        self._store = store
        self._notify = notify
        self._clock = clock
        self._monotonic = monotonic
        self._dead_letters = ThrottledLog(_log)
        #: Whether there is something that people have done to the store and that is not taken over yet.
        self._is_commanded = False
        #: Whether a commit failed that may have been done all the same.
        self._is_unsure = False
        self._expected: Collection[str] = ()
        self._recall()
        self.board.look_at_all(self._clock())

    def _recall(self) -> None:
        """Go on from what the store holds.

        Raises:
            StoreError: it does not tell.
        """
        now, monotonic = self._clock(), self._monotonic
        self._positions = self._store.positions()
        self.roster = Roster(
            self._rules, self._store.presences(), self._store.losses(), now=now, monotonic=monotonic
        )
        self.roster.expect(self._expected, now)
        self._mutes.end_all()
        self.board = Board(
            self._route,
            self._store.live_incidents(),
            next_id=self._store.next_incident(),
            mutes=self._mutes,
            now=now,
            monotonic=monotonic,
        )
        self.storms = Storms(
            self._storm_rules,
            self._store.live_storms(),
            receivers=self._route.all_grouped(),
            now=now,
            monotonic=monotonic,
        )
        self._is_unsure = False

    def _make_sure(self) -> None:
        """Where a commit has failed, see what is kept: it may have been done all the same.

        Raises:
            StoreError: the store does not tell.
        """
        if self._is_unsure:
            self._recall()

    def process(self, arrivals: Sequence[Arrival]) -> None:
        """Take `arrivals` through the stages up to their incidents; when this returns, they may be acknowledged.

        decode → number → dedupe → presence → route → group → store

        Raises:
            StoreError: nothing of this is kept, and nothing is counted; it may be tried again.
        """
        self._make_sure()
        now = self._clock()
        decoded = [(arrival, self._decode(arrival)) for arrival in arrivals]
        said = [(arrival, one) for arrival, one in decoded if not isinstance(one, Rejection)]
        dead = [_dead(arrival, one.reason) for arrival, one in decoded if isinstance(one, Rejection)]
        events = [(arrival, one) for arrival, one in said if isinstance(one, EventPayload)]
        moved, missing = sequence.advance(self._positions, (event for _, event in events))
        fresh, repeats, stale = dedupe(events, self._store.highest_counts({key_of(event) for _, event in events}))
        changes = self.roster.hear(said, missing, now=now)
        incidents = IncidentChanges()
        entries = self._route_and_group(fresh, changes, incidents, now=now)
        counted = Counters(
            seen=len(arrivals),
            statuses=len(said) - len(events),
            rejected=len(dead),
            repeats=repeats,
            stale=stale,
            missing=sum(missing.values()),
            events=len(fresh),
            dropped=sum(not entry.is_wanted for entry in entries[: len(fresh)]),
        )
        self._commit(changes, incidents, entries, dead=dead, moved=moved, counted=counted, now=now)
        for cluster, count in missing.items():
            _log.warning("cluster %s: %d of the events that it published have not come", cluster, count)

    def decide(self, uplink: Uplink | None, *, is_current: bool = True) -> None:
        """Tell what time makes worth telling; each receiver's worker takes it from there.

        presence → quiet → inhibit → silence → tell → storm → store, then render → deliver → record (deliver.py)

        While more has come than was processed, nothing is taken for silence: that may be about to end.

        Args:
            uplink: our connection to the broker.
            is_current: whether all that has come was processed.

        Raises:
            StoreError: nothing is decided yet; it may be tried again.
        """
        self._make_sure()
        waiting = self._store.backlog() if self._heed() else {}
        now = self._clock()
        changes = self.roster.elapse(uplink, now) if is_current else Changes()
        heard_since = partial(self.roster.heard_since, now=now) if is_current else _never
        incidents = IncidentChanges()
        self.board.elapse(incidents, self._store.recall, heard_since, now=now)
        self.storms.gather(incidents, now=now)
        self.storms.elapse(incidents, now=now)
        if changes or incidents:
            entries = self._route_and_group((), changes, incidents, now=now)
            self._commit(changes, incidents, entries, now=now)
        if waiting:  # only now, as what is muted by now was withdrawn
            self._notify(waiting.keys())

    @property
    def is_behind(self) -> bool:
        """Whether more may be due than the last decision was about, so that another one should follow at once."""
        return self.board.is_behind

    def expect(self, clusters: Collection[str]) -> None:
        """Watch out for `clusters`, and no longer for others that were never seen.

        Raises:
            StoreError: they are not kept.
        """
        self._make_sure()
        now = self._clock()
        self._expected = clusters
        changes, incidents = self.roster.expect(clusters, now), IncidentChanges()
        if changes:
            entries = self._route_and_group((), changes, incidents, now=now)
            self._commit(changes, incidents, entries, now=now)

    def reject(self, arrival: Arrival, reason: str) -> None:
        """Make a dead letter of a message that no stage may look at again.

        Raises:
            StoreError: it is not kept; it may be tried again.
        """
        self._make_sure()
        dead, counted = [_dead(arrival, reason)], Counters(seen=1, rejected=1)
        self._commit(Changes(), IncidentChanges(), [], dead=dead, counted=counted, now=self._clock())

    def _decode(self, arrival: Arrival) -> Said | Rejection:
        return decode(arrival.message.topic, arrival.message.payload, root=self._root)

    def _route_and_group(
        self, fresh: Sequence[Fresh], changes: Changes, incidents: IncidentChanges, *, now: datetime
    ) -> list[Entry]:
        """Let events and notices go where the routes say: to receivers by themselves, and into incidents."""
        entries = [self._route_one(one, incidents, now) for one in fresh]
        for cluster in (name for name, known in changes.presences.items() if known is None):
            self.board.forget(incidents, cluster, now=now)
        notices = [_of_notice(notice) for notice in changes.notices]
        return entries + [self._route_one(one, incidents, now) for one in notices]

    def _route_one(self, fresh: Fresh, incidents: IncidentChanges, now: datetime) -> Entry:
        decision = self._route.decide(fresh.event)
        self.board.take(incidents, fresh.event, fresh.occurred, decision.taken, now=now)
        is_wanted = bool(decision.receivers)
        return Entry(fresh.event, fresh.payload, fresh.received_at, decision.single, is_wanted=is_wanted)

    def _commit(
        self,
        changes: Changes,
        incidents: IncidentChanges,
        entries: Sequence[Entry],
        *,
        now: datetime,
        dead: Sequence[DeadPayload] = (),
        moved: Mapping[str, Position] = MappingProxyType({}),
        counted: Counters | None = None,
    ) -> None:
        """Commit it all at once; only then is it told, counted, and the starting point of what comes next."""
        self._is_unsure = True
        self._store.record(
            entries,
            dead,
            positions=moved,
            presences=changes.presences,
            losses=changes.losses,
            incidents=incidents,
            now=now,
        )
        self._is_unsure = False
        self._positions = sequence.merge(self._positions, moved)
        self.roster.keep(changes, now)
        self.board.keep(incidents, now)
        self.storms.keep(incidents, now)
        self._tell(dead, entries[len(entries) - len(changes.notices) :])
        self.counters.add(counted or Counters())
        self.counters.add(_called_for(changes, incidents, entries))
        self._notify(
            {receiver for entry in entries for receiver in entry.receivers}
            | {order.receiver for order in incidents.orders}
            | {order.receiver for order in incidents.digests}
        )

    def _heed(self) -> bool:
        """Heed commands, and tell whether there are any.

        Again if the store fails, but not if anything else does, as it would do so for ever.
        """
        is_commanded, self._is_commanded = self._is_commanded or self._store.changed_elsewhere(), False
        if is_commanded:
            try:
                self._is_commanded = self._heed_commands()
            except StoreError:
                self._is_commanded = True
                raise
        return is_commanded

    def _heed_commands(self) -> bool:
        """Take over what people have done to the store in processes of their own; tell whether there is more."""
        self._mutes.renew(self._store.silences(self._clock()))
        self.board.look_again()
        letters = self._store.dead_letters(Search(kind=Kind.REPLAY), limit=_AGAIN_LIMIT, newest=False)
        for letter in letters:
            self._process_again(letter)
        return len(letters) == _AGAIN_LIMIT

    def _process_again(self, letter: DeadLetter) -> None:
        """Take a message through all stages that was not understood before: alone, as it may be to blame.

        What was said of a cluster then is old, as if it were retained.
        """
        message = Received(letter.topic or "", letter.payload or b"", 0, retained=True)
        arrival = Arrival(message, letter.at, None)
        try:
            self.process([arrival])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one bad message must not keep all else from being decided
            _log.exception("a message failed again")
            self.reject(arrival, f"internal error: {type(error).__name__}")
        self._store.drop(Search(ids=(letter.id,)))

    def _tell(self, dead: Iterable[DeadPayload], notices: Iterable[Entry]) -> None:
        for letter in dead:
            self._dead_letters.error("dead letter: %s: %s", one_line(letter.topic[:200]), letter.reason)
        for notice in notices:
            log = _log.info if notice.event.type == "Normal" else _log.warning
            log("cluster %s: %s: %s", notice.event.cluster, notice.event.reason, notice.event.msg)


def _never(_cluster: str) -> None:
    """Hear of no cluster."""


def _called_for(changes: Changes, incidents: IncidentChanges, entries: Sequence[Entry]) -> Counters:
    """Return what is to be told of all that was kept."""
    return Counters(
        deliveries=sum(len(entry.receivers) for entry in entries),
        notifications=len(incidents.orders),
        digested=len(incidents.enrolled),
        needless=incidents.needless,
        notices=len(changes.notices),
    )


def _of_notice(notice: Notice) -> Fresh:
    event = event_of(notice, uid=str(uuid.uuid4()))
    return Fresh(event, event.model_dump_json(by_alias=True, exclude_none=True).encode(), notice.at, 1)


def _dead(arrival: Arrival, reason: str) -> DeadPayload:
    return DeadPayload(arrival.message.topic, arrival.message.payload, reason, arrival.received_at)
