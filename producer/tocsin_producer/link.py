"""The producer's end of the MQTT session: a small window from the outbox to the broker, and the status."""

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from tocsin_producer.answers import Answers
from tocsin_producer.budget import UNLIMITED, Allowance, Budget
from tocsin_producer.message import Message, Receipt, is_urgent
from tocsin_producer.outbox import Outbox
from tocsin_producer.payload import numbered
from tocsin_producer.rivalry import Look, Rivalry, Standing, Verdict
from tocsin_producer.settling import Settling
from tocsin_producer.status import OwnStatus
from tocsin_producer.suspects import Suspects
from tocsin_producer.traffic import Traffic
from tocsin_schemas.backoff import backoff_seconds
from tocsin_schemas.session import Connection, ConnectionLostError, Received, Will

_log = logging.getLogger(__name__)

#: How many messages are handed over before the first of them is acknowledged, unless the broker takes fewer.
WINDOW: Final = 16
#: With so many acknowledged and not settled nothing more is handed over: after a long outage some 100 events a
#: second leave, which floods no broker and no memory.
UNSETTLED: Final = 500
#: When the state cannot be written, it is tried again after this time.
STATE_PAUSE_SECONDS: Final = 10.0
#: What a broker says that will not take this very message, ever (MQTT 5: 0x90, 0x95 and 0x99).
HOPELESS: Final = frozenset({"Topic name invalid", "Packet too large", "Payload format invalid"})


@dataclass(slots=True)
class LinkCounters:
    """What became of events on the link, and what it took.

    Bytes are those of topics and payloads of events and statuses, again after a break. `unheard` are events that
    the broker took although nobody subscribes to them (told by MQTT 5 only). `traffic` is all that went over the
    link both ways, in bytes of IP packets as the kernel counts them; 0 where it does not (Linux does).
    """

    published: int = 0
    refused: int = 0
    unheard: int = 0
    connections: int = 0
    bytes: int = 0
    traffic: int = 0


@dataclass(slots=True)
class _Sent:
    """A message that was handed over, its number, and after how many refusals."""

    message: Message
    seq: int
    refusals: int


class Link:
    """Handler of the session (`tocsin_schemas.session.Handler`).

    Args:
        status_topic: where the producer's status is told.
        leave: called when the session has to end, see `outdated_by` and `superseded_by`.
        release: called at each turn, to put into the outbox what is due; it returns in how many seconds more is.
        budget: how much traffic there may be.
    """

    def __init__(
        self,
        outbox: Outbox,
        status: OwnStatus,
        *,
        status_topic: str,
        leave: Callable[[], None],
        release: Callable[[], float | None] = lambda: None,
        budget: Budget = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox = outbox
        self._status_topic = status_topic
        self._leave = leave
        self._release = release
        self.budget = budget
        self._clock = clock
        self._in_flight: dict[int, _Sent] = {}
        self._statuses: set[int] = set()
        self._settling = Settling(clock)
        self._suspects = Suspects(clock)
        self._answers = Answers(clock)
        #: How many bursts in a row ended in a refusal.
        self._refusals = 0
        self._status_refusal: str | None = None
        self._unheard_streak = 0
        #: Nothing is handed over and nothing settled before this time.
        self._not_before = 0.0
        #: What was given up in this turn may have kept others waiting.
        self._is_turn_due = False
        self._look = Look(clock)
        self._has_said_goodbye = False
        self._traffic = Traffic(budget, clock)
        self.status = status
        self.counters = LinkCounters()
        self.is_connected = False
        self.begin_boot(status.boot)

    def begin_boot(self, boot: int) -> None:
        """Begin, or go on as a later boot: in a new connection with a new will."""
        self.status.boot = boot
        self._rivalry = Rivalry(boot)
        self._has_warned = False
        self._seq = 0
        #: Numbers below it whose messages have to go again: readers would take one that never came for a loss.
        self._free: list[int] = []
        #: The boot of an earlier producer that ours has to be later than.
        self.outdated_by: int | None = None
        #: The boot of another producer that has taken our place.
        self.superseded_by: int | None = None

    def will(self) -> Will:
        """Return what the broker says for us when we break off."""
        return Will(self._status_topic, self.status.payload("offline"))

    def on_connected(self, connection: Connection, *, session_present: bool) -> None:  # noqa: ARG002
        """Tell that we are there, but look first who has told before."""
        self.counters.connections += 1
        self._answers.begin()
        self._traffic.begin_connection()
        self.is_connected = True
        with suppress(sqlite3.Error):  # the database has said it
            self._outbox.begin_connection()
        self._has_said_goodbye = False
        if self._look.begin(has_told=self._rivalry.has_told):
            connection.look(self._status_topic)
        else:
            self._tell_status(connection, "online")

    def on_disconnected(self, reason: str) -> None:  # noqa: ARG002 - the session logs it
        """Whatever was under way has to be handed over again."""
        self.is_connected = False
        self._look.end()
        under_way = [sent.message for sent in self._in_flight.values()]
        for seq in (*(sent.seq for sent in self._in_flight.values()), *self._settling.give_back()):
            heappush(self._free, seq)
        self._in_flight.clear()
        self._statuses.clear()
        self._outbox.put_all_back()
        if under_way and not self._is_leaving:
            self._note_break(under_way[0], alone=len(under_way) == 1)

    def _note_break(self, oldest: Message, *, alone: bool) -> None:
        """Suspect the oldest message under way, and give it up if it was suspected often enough."""
        if self._suspects.note_break(oldest.uid, oldest.size, alone=alone, urgent=is_urgent(oldest)):
            self._give_up(oldest, f"the broker hung up each time it came ({oldest.size} bytes)")

    def _give_up(self, message: Message, why: str) -> None:
        """Count a message as lost; as long as that cannot be written, it waits and is tried again."""
        try:
            self._outbox.give_up(message)
        except sqlite3.Error:  # the database has said it
            self._outbox.put_back(message)
            self._pause_for_state()
        else:
            self._suspects.forget(message.uid)
            self._is_turn_due = True
            _log.error("gave up %s: %s", message.topic, why)

    def _pause_for_state(self) -> None:
        self._not_before = max(self._not_before, self._clock() + STATE_PAUSE_SECONDS)

    def on_message(self, connection: Connection, message: Received) -> None:
        """Judge a status of our cluster; acknowledge what nobody asked for."""
        connection.acknowledge(message)
        if message.topic != self._status_topic or self._is_leaving:
            return
        self._look.note_found()
        found = Standing.read(message.payload)
        if self._rivalry.has_told and not message.retained and found != Standing(self.status.boot, online=True):
            self.status.note_overwritten()
        if found is not None:
            self._heed(self._rivalry.judge(found, retained=message.retained), found.boot)
        if self._look.is_under_way and message.retained and not self._is_leaving:
            self._look.end()
            self._tell_status(connection, "online")

    def _heed(self, verdict: Verdict, boot: int) -> None:
        match verdict:
            case Verdict.OUTDATED:
                self.outdated_by = boot
                self._leave()
            case Verdict.SUPERSEDED:
                self.superseded_by = boot
                self._leave()
            case Verdict.RIVAL if not self._has_warned:
                self._has_warned = True
                _log.warning(
                    "another producer speaks on %s, of an earlier boot (%d) than ours (%d): it should step back",
                    self._status_topic,
                    boot,
                    self.status.boot,
                )

    @property
    def _is_leaving(self) -> bool:
        return self.outdated_by is not None or self.superseded_by is not None

    def on_turn(self, connection: Connection) -> float | None:
        """Hand over what waits, as far as the window is open.

        Raises:
            ConnectionLostError: the broker owes us an answer that will not come.
        """
        self.counters.traffic += self._traffic.count(connection)
        if self._is_leaving or self._has_said_goodbye:
            return None
        if self._answers.left_seconds() == 0:
            raise ConnectionLostError("the broker has left a message without an answer")
        if self._look.is_under_way:
            if (left := self._look.left_seconds) > 0:
                return left
            self._end_look(connection)
        if self._settle_seconds() == 0:
            self._settle(self._settling.due())
        self._is_turn_due = False
        due_seconds = self._hand_over_waiting(connection) if self._may_hand_over() else None
        if not self.status.due_seconds():
            self._tell_status(connection, "online")
        return self._rest_seconds(due_seconds)

    def _settle_seconds(self) -> float | None:
        """Return in how many seconds something is to be settled, None if nothing is."""
        left = self._settling.left_seconds()
        return None if left is None else max(left, self._not_before - self._clock())

    def _may_hand_over(self) -> bool:
        """Whether it is time: until our first status is answered, our boot may turn out to be outdated."""
        is_first = bool(self._statuses) and not self._rivalry.has_told
        return not is_first and self._clock() >= self._not_before

    def _end_look(self, connection: Connection) -> None:
        """Go on without what we looked for: it is not there, or not for us to read."""
        if self._look.note_nothing(has_told=self._rivalry.has_told):
            _log.warning(
                "cannot read %s: a second producer for this cluster would not be noticed; let the account read it",
                self._status_topic,
            )
        self._tell_status(connection, "online")

    def _settle(self, due: list[Receipt]) -> None:
        """Take out of the outbox what is `due`; as long as that cannot be written, nothing more is handed over."""
        try:
            self._outbox.settle(due)
        except sqlite3.Error:  # the database has said it
            self._pause_for_state()
        else:
            self._settling.note_settled(len(due))

    def _hand_over_waiting(self, connection: Connection) -> float | None:
        """Fill the window, and return in how many seconds more will wait, as far as that is known."""
        try:
            due_seconds = self._release()
            if self._may_spend():
                self._fill_window(connection, urgent=self._is_near_budget())
        except sqlite3.Error:
            self._pause_for_state()
            return None
        return due_seconds

    def _may_spend(self) -> bool:
        return self.budget.allowance() is not Allowance.NOTHING

    def _is_near_budget(self) -> bool:
        return self.budget.allowance() is Allowance.URGENT

    def _fill_window(self, connection: Connection, *, urgent: bool) -> None:
        """Hand over what waits, many at a time rather than one for each acknowledgement."""
        window = max(1, min(WINDOW, connection.receive_maximum - 1))  # a status always finds room
        if len(self._in_flight) > window // 2:
            return
        room = min(window, UNSETTLED - len(self._settling)) - len(self._in_flight)
        if not self._suspects.is_overdue(urgent=urgent):
            for message in self._outbox.take(room, leave=self._suspects.uids, urgent=urgent):
                self._hand_over(connection, message)
        if not self._in_flight and not self._statuses:
            self._try_suspect(connection, urgent=urgent)

    def _try_suspect(self, connection: Connection, *, urgent: bool) -> None:
        """Hand over one message that may be what connections end on, and nothing beside it."""
        uid = self._suspects.due(urgent=urgent)
        if uid is None:
            return
        message = self._outbox.take_only(uid)
        if message is None:  # it has gone, or waits for an older condition, and goes after it like any other
            self._suspects.forget(uid)
            self._is_turn_due = True
        elif self._suspects.is_refused_for_good(uid) and self._outbox.is_waited_for(message):
            self._give_up(message, "the broker refuses it, and newer conditions of its node wait")
        else:
            self._hand_over(connection, message)

    def _rest_seconds(self, due_seconds: float | None) -> float:
        """Return when there will be something to do that no message and no acknowledgement announces."""
        due = [self.status.due_seconds()]
        others = (due_seconds, self._answers.left_seconds(), self._settle_seconds())
        due.extend(seconds for seconds in others if seconds is not None)
        if self._is_turn_due:
            due.append(0.0)
        if self._not_before > self._clock():
            due.append(self._not_before - self._clock())
        elif not self._in_flight and not self._statuses and self._may_spend():
            suspect_seconds = self._suspects.due_seconds(urgent=self._is_near_budget())
            due.extend(seconds for seconds in [suspect_seconds] if seconds is not None)
        return min(due)

    def on_acknowledged(self, connection: Connection, mid: int, refusal: str | None) -> None:
        """Let a message go that the broker has taken; keep one that it refused."""
        self._look.note_answered()
        self._answers.note(mid)
        if mid in self._statuses:
            self._statuses.remove(mid)
            self._note_status_answered(refusal)
        elif (sent := self._in_flight.pop(mid, None)) is None:
            return
        elif refusal is None:
            self._note_published(sent, unheard=connection.was_unheard(mid))
        else:
            self._note_refused(sent, refusal)

    def _note_status_answered(self, refusal: str | None) -> None:
        self._status_refusal = refusal
        if refusal is None:
            self._rivalry.note_told()
        else:
            _log.log(self._level(), "the broker refuses the status: %s; %s", refusal, self._advice)
            self._back_off()

    def _note_refused(self, sent: _Sent, refusal: str) -> None:
        """A refusal is the broker's condition more often than the message's: hold it back, and try it again.

        All refusals of one burst are one step on the way to longer pauses for all, and those of what is held back
        are none: it may be one topic that is forbidden.
        """
        self.counters.refused += 1
        heappush(self._free, sent.seq)
        if refusal in HOPELESS:
            self._give_up(sent.message, f"refused by the broker: {refusal}")
            return
        self._outbox.put_back(sent.message)
        level = self._level()
        if self._suspects.note_refused(sent.message.uid, refusal, urgent=is_urgent(sent.message)):
            _log.log(level, "the broker refuses %s: %s; %s", sent.message.topic, refusal, self._advice)
            if sent.refusals == self._refusals:
                self._back_off()

    def _level(self) -> int:
        """Warn of the first refusal only, until nothing is refused any more."""
        return logging.DEBUG if self._suspects.refusals or self._refusals else logging.WARNING

    @property
    def _advice(self) -> str:
        return f"may this account write below {self._status_topic.removesuffix('status')}?"

    def _back_off(self) -> None:
        self._refusals += 1
        self._not_before = max(self._not_before, self._clock() + backoff_seconds(self._refusals))

    @property
    def refusal(self) -> str | None:
        """What the broker refuses just now, and why, for people."""
        if self._status_refusal is not None:
            return f"the status: {self._status_refusal}"
        refusals = self._suspects.refusals
        return f"{len(refusals)} of the events that wait: {refusals[-1]}" if refusals else None

    def _note_published(self, sent: _Sent, *, unheard: bool) -> None:
        message = sent.message
        self._refusals = 0
        self.counters.published += 1
        if unheard:
            self._count_unheard(message)
        else:
            self._forget_unheard()
        self._suspects.note_taken(message.uid, message.size)
        self._settling.add(self._outbox.acknowledge(message), sent.seq)

    def _count_unheard(self, message: Message) -> None:
        """For MQTT this is a success; a person has to hear of it, once per streak."""
        self.counters.unheard += 1
        self._unheard_streak += 1
        if self._unheard_streak == 1:
            _log.warning("nobody subscribes to %s: the broker took an event that nobody gets", message.topic)

    def _forget_unheard(self) -> None:
        if self._unheard_streak:
            _log.info("events are heard again, after %d that were not", self._unheard_streak)
        self._unheard_streak = 0

    def on_stopping(self, connection: Connection) -> None:
        """Say goodbye ourselves, so that the status is true before the will could be."""
        self._settle(self._settling.due(after_seconds=0))
        self._look.end()
        self._has_said_goodbye = True
        if not self._is_leaving:
            self._tell_status(connection, "offline")

    def is_idle(self) -> bool:
        """Whether the broker has everything, or somebody else will bring it."""
        waits = self._outbox.waiting > self.status.held and not self._has_said_goodbye
        return self._is_leaving or not (waits or self._statuses)

    def _hand_over(self, connection: Connection, message: Message) -> None:
        seq = self._next_number()
        payload = numbered(message.payload, boot=self.status.boot, seq=seq)
        try:
            mid = connection.publish(message.topic, payload)
        except ValueError as error:  # a topic or a size that MQTT itself or this broker cannot carry
            heappush(self._free, seq)
            self._give_up(message, str(error))
            return
        self._in_flight[mid] = _Sent(message, seq, self._refusals)
        self._answers.expect(mid)
        self.counters.bytes += len(message.topic.encode()) + len(payload)

    def _next_number(self) -> int:
        if self._free:
            return heappop(self._free)
        self._seq += 1
        return self._seq

    def _tell_status(self, connection: Connection, state: str) -> None:
        payload = self.status.payload(state)
        mid = connection.publish(self._status_topic, payload, retain=True)
        self._statuses.add(mid)
        self._answers.expect(mid)
        self.status.note_told()
        self.counters.bytes += len(self._status_topic.encode()) + len(payload)
