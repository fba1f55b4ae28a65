"""Shows the path of a warning from a cluster at the edge to the people on call, with the link cut on the way.

A recording of a real cluster is played to a stand-in of its API server, faster than it happened. Producer,
broker and consumer are the real ones; the Feishu group is a stand-in that checks what Feishu would check.
"""

import argparse
import copy
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

from tests.demo.installation import Installation
from tests.demo.screen import Screen, Standing
from tests.fakes.recording import Notification, play, read_recording
from tocsin_producer.event import read_event
from tocsin_producer.filter import EventFilter
from tocsin_producer.settings import EventSettings

RECORDING: Final = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"
#: Half an hour of trouble in as many seconds, and a quiet pace for who stays.
SPEED, QUIET_SPEED = 85.0, 15.0
#: When the link goes away and comes back, in seconds.
CUT_AT, RESTORED_AT = 9.0, 14.0
#: After the recording has ended, how long the last events may take.
SETTLE_SECONDS: Final = 12.0


class Demo:
    """One showing."""

    def __init__(self, installation: Installation, screen: Screen) -> None:
        self._parts = installation
        self._screen = screen
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._wanted: set[tuple[str, int]] = set()
        events = EventSettings()
        self._filter = EventFilter(
            [rule.rule() for rule in events.include],
            [rule.rule() for rule in events.exclude],
        )

    def run(self, *, stay: bool) -> None:
        """Show it: once, or until Ctrl-C."""
        rounds = count() if stay else range(1)
        player = threading.Thread(target=self._play, args=(rounds,), name="player", daemon=True)
        try:
            player.start()
            while player.is_alive():
                self._look()
        except KeyboardInterrupt:
            self._screen.say("stopping once all has arrived …")
        finally:
            self._stop.set()
        if player.is_alive():  # Ctrl-C can come before it has begun
            player.join()
        self._settle()

    def _settle(self) -> None:
        """Wait for what is still on its way."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (self.missing() or self._parts.untold()) and time.monotonic() < deadline:
            self._look()

    def missing(self) -> int:
        """Return how many Events have not arrived with their newest count."""
        arrived = _newest((event["uid"], event["count"]) for event in self._parts.recorded())
        newest = _newest(self._passed())
        return sum(arrived.get(uid, 0) < count for uid, count in newest.items())

    def passed(self) -> int:
        """Return how many of the states that the API server has told the filter lets through."""
        return len(self._passed())

    def _passed(self) -> set[tuple[str, int]]:
        return {(state.uid, state.count) for state in self._parts.api_server.events.served} & self._wanted

    def _play(self, rounds: Iterable[int]) -> None:
        for number in rounds:
            play(
                self._parts.api_server.events,
                (self._noted(notification, number) for notification in read_recording(RECORDING)),
                speed=SPEED if number == 0 else QUIET_SPEED,
                stop=self._stop,
                shift_to=datetime.now(UTC),
            )
            if self._stop.is_set():
                return

    def _noted(self, notification: Notification, number: int) -> Notification:
        """Note whether the filter lets it through; in later rounds the same troubles happen to new Events."""
        notification = _in_round(notification, number)
        state = read_event(notification.event)
        if self._filter.passes(state):
            self._wanted.add((state.uid, state.count))
        return notification

    def _look(self) -> None:
        """Do what is due, and renew the line at the bottom."""
        seconds = time.monotonic() - self._began
        if self._parts.link.is_up and CUT_AT < seconds < RESTORED_AT:
            self._screen.say("✂  the 5G link goes away; the cluster goes on failing", "bold red")
            self._parts.link.cut()
        if not self._parts.link.is_up and seconds > RESTORED_AT:
            self._screen.say("●  the link is back: what was held back arrives, the oldest first", "bold green")
            self._parts.link.restore()
        self._screen.update(self._standing(seconds))
        time.sleep(0.1)

    def _standing(self, seconds: float) -> Standing:
        parts = self._parts
        return Standing(
            seconds=seconds,
            served=len(parts.api_server.events.served),
            passed=self.passed(),
            arrived=len(parts.recorded()),
            cards=len(parts.feishu.messages),
            link_bytes=parts.link.sent + parts.link.received,
            link_up=parts.link.is_up,
        )


def _newest(states: Iterable[tuple[str, int]]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for uid, occurrences in states:
        newest[uid] = max(occurrences, newest.get(uid, 0))
    return newest


def _in_round(notification: Notification, number: int) -> Notification:
    if number == 0:
        return notification
    event = copy.deepcopy(notification.event)
    for name in ("uid", "name"):
        event["metadata"][name] += f"-{number}"
    return replace(notification, event=event)


def main() -> None:
    """Show the demo; exit code 1 when something did not arrive."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--stay", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--embedded", action="store_true", help="use the embedded broker, not Mosquitto")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever ends it so wants no process of it to go on either
        signal.signal(number, signal.default_int_handler)
    try:
        missing = _show(stay=options.stay, embedded=options.embedded)
    except KeyboardInterrupt:  # not at once enough for who pressed Ctrl-C a second time
        sys.exit(128 + signal.SIGINT)
    sys.exit(1 if missing else 0)


def _show(*, stay: bool, embedded: bool) -> int:
    """Show the demo, and return how many Events have not arrived."""
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder,
        Screen() as screen,
        Installation(Path(folder), screen.show, embedded=embedded) as parts,
    ):
        screen.say(f"broker: {parts.broker.title}", "dim")
        demo = Demo(parts, screen)
        demo.run(stay=stay)
        parts.stop()
        screen.summarise(summary(parts, demo))
        return demo.missing()


def summary(parts: Installation, demo: Demo) -> list[tuple[str, str]]:
    """Return what there is to say at the end."""
    served = len(parts.api_server.events.served)
    producer, arrived = parts.producer_sums(), len(parts.recorded())
    return [
        ("event states at the API server", str(served)),
        ("filtered at the edge", str(served - demo.passed())),
        ("published", f"{producer['published']} ({producer['bytes'] / 1000:.0f} kB of topics and JSON)"),
        ("of those sent again after the cut", f"{max(0, producer['published'] - arrived)}, and told once"),
        ("repeats folded into later ones", str(demo.passed() - arrived)),
        ("over the link, TLS and all", f"{(parts.link.sent + parts.link.received) / 1000:.0f} kB"),
        ("alerts: recorded in a file", str(arrived)),
        ("alerts: cards in the Feishu group", str(len(parts.feishu.messages))),
        ("refused by Feishu", str(len(parts.feishu.refused))),
        ("losses", str(demo.missing() + producer["lost"])),
    ]


if __name__ == "__main__":
    main()
