"""What the document about tuning says of the recorded cluster is so: how few messages, and nothing lost."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import yaml

from tests.consumer.produced import produced
from tests.docs.markdown import code_in, tables
from tests.docs.test_docs import ROOT
from tocsin_consumer.incident import ProblemKey, key_of
from tocsin_consumer.recording import Recorded
from tocsin_consumer.recovery import is_recovery
from tocsin_consumer.replay import Replay
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.tally import Fate, ProblemFate, Tally
from tocsin_schemas.event import EventPayload

DOCUMENT = ROOT / "docs" / "tuning.md"
#: One message per so many occurrences, or fewer.
OCCURRENCES = 20
BASE: dict[str, Any] = {
    "broker": {"url": "mqtt://localhost:1", "username": "ops"},
    "receivers": [{"name": "ops", "feishu": {"url": "https://open.feishu.cn/open-apis/bot/v2/hook/0"}}],
    "route": {"receivers": ["ops"]},
}


@dataclass(frozen=True)
class Told:
    """What became of the recording with a configuration."""

    messages: int
    occurrences: int
    #: Every distinct problem, with the best of its fates.
    problems: dict[ProblemKey, ProblemFate]

    def count(self, fate: Fate) -> int:
        return sum(one.fate == fate for one in self.problems.values())

    def row(self) -> dict[str, str]:
        return {
            "messages": str(self.messages),
            "Warnings per message": f"{self.occurrences / self.messages:.0f}",
            "problems named": str(self.count(Fate.NAMED)),
            "counted in a digest": str(self.count(Fate.DIGESTED)),
            "held by another": str(self.count(Fate.HELD)),
        }


@cache
def recorded() -> tuple[Recorded, ...]:
    """Return what the real producer publishes of the recording with its defaults."""
    return tuple(produced())


def events() -> list[EventPayload]:
    return [one.said for one in recorded() if isinstance(one.said, EventPayload)]


@cache
def warnings() -> int:
    """Return how many occurrences of Warnings the recording has."""
    highest: Counter[str] = Counter()
    for event in events():
        if event.type == "Warning":
            highest[event.uid] = max(highest[event.uid], event.count)
    return highest.total()


@cache
def told(changes: str) -> Told:
    """Run the recording through the defaults with some `changes`, as the document writes them."""
    values = yaml.safe_load(changes) or {}
    route = {"group_by": values.pop("group_by")} if "group_by" in values else {}
    settings = ConsumerSettings.model_validate({**BASE, **values, "route": {**BASE["route"], **route}})
    replay, tally = Replay(settings, recorded(), run_on=timedelta(hours=2)), Tally(["ops"])
    for message in replay.run():
        tally.add(message)
    tally.settle(replay.outcome(), events())
    replay.close()
    fates = sorted(tally.problems, key=lambda one: list(Fate).index(one.fate), reverse=True)
    return Told(tally.received["ops"].messages, warnings(), {one.key: one for one in fates})


ROWS = next(rows for rows in tables(DOCUMENT) if "messages" in rows[0])


def changes_of(row: dict[str, str]) -> str:
    return "{" + ", ".join(code_in(row["configuration"])) + "}"


def test_with_the_defaults_there_is_fewer_than_one_message_per_twenty_warnings() -> None:
    assert 0 < told("{}").messages * OCCURRENCES < warnings()


def test_with_the_defaults_every_distinct_problem_is_named_in_a_message_or_explained_by_one_that_is() -> None:
    found = told("{}")
    assert_nothing_is_lost(found)
    assert {one.fate for one in found.problems.values()} == {Fate.NAMED, Fate.HELD}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["configuration"])
def test_the_recording_is_told_as_the_table_says_and_nothing_of_it_is_lost(row: dict[str, str]) -> None:
    found = told(changes_of(row))
    assert {"configuration": row["configuration"], **found.row()} == row
    assert found.messages * OCCURRENCES < warnings()
    assert_nothing_is_lost(found)


def assert_nothing_is_lost(found: Told) -> None:
    """See that each problem of the recording stands in a message, in a digest, or behind one that does."""
    assert found.problems.keys() == {key_of(event) for event in events() if not is_recovery(event)}
    was_told = {key for key, one in found.problems.items() if one.fate in (Fate.NAMED, Fate.DIGESTED)}
    sources = {f"{key.reason} of {key.kind} {key.owner}" for key in was_told}
    for key, one in found.problems.items():
        assert key in was_told or str(one.held_by).partition(" (")[0] in sources, (key, one)


def test_the_document_tells_what_was_recorded() -> None:
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    assert f"{len(told('{}').problems)} distinct problems, {warnings():,} occurrences of Warnings" in text
