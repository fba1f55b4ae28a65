"""What docs/incidents.md says about defaults and recoveries, the code does."""

import re
from datetime import timedelta
from pathlib import Path

import yaml

from tests.consumer.desk import Desk
from tests.consumer.messages import event
from tests.docs.markdown import blocks, code_in
from tests.docs.test_docs import ROOT, placed
from tests.docs.test_promises import table
from tocsin_consumer import recovery
from tocsin_consumer.dispatch import Timing
from tocsin_consumer.notice import COMPONENT, KIND
from tocsin_consumer.owner import owner_of
from tocsin_consumer.recovery import ended_by
from tocsin_consumer.route import Route
from tocsin_consumer.settings import GROUP_BY, ConsumerSettings

DOCUMENT = ROOT / "docs" / "incidents.md"


def test_what_is_told_to_be_the_default_of_grouping_is(tmp_path: Path) -> None:
    (shown,) = blocks(DOCUMENT, "yaml")
    settings = ConsumerSettings.model_validate(yaml.safe_load(placed(shown, tmp_path)))
    top, critical = Route(settings.route, single=settings.single).nodes()
    assert (top.timing, top.group_by) == (Timing(), GROUP_BY)
    assert critical.group_by == ("cluster",)
    assert settings.single == ("dump", "ticket-system")


def test_owners_are_recognised_as_the_table_says() -> None:
    named = [row for row in table("incidents.md", "a Pod called") if code_in(row["a Pod called"])]
    assert len(named) == 5
    for row in named:
        name, *node = code_in(row["a Pod called"])
        kind, _, owner = row["is of the kind"].replace("*", "").replace("`", "").partition(" ")
        found = owner_of("Pod", name, *node)
        assert (found.kind, found.name) == (kind, owner)


def test_the_time_line_is_what_happens() -> None:
    desk = Desk()
    comes = {0: "api-0", 60: "api-1", 180: "web-0", 1800: "worker-0"}
    comes |= dict.fromkeys(range(3600, 16801, 1200), "api-0")  # to 14:40
    causes = []
    for second in range(0, 6 * 3600 + 1800, 10):
        if second % 1800 == 0:
            desk.state("online")
        if second in comes:
            desk.say(name=comes[second])
        causes += [(second + 10, report.cause) for report in desk.pass_(timedelta(seconds=10))]
    assert causes == [(10, "first"), (310, "news"), (1810, "news"), (16210, "repeat")]
    assert desk.store.live_incidents() == []


def test_the_table_of_recoveries_is_that_of_the_code() -> None:
    for row in table("incidents.md", "ends"):
        (reason,) = code_in(row["event"])
        for kind in re.split(r", ", row["event"].rpartition(" of a")[2].removeprefix("n").strip()):
            component = COMPONENT if kind == KIND else None
            said = event(type="Normal", reason=reason, kind=kind, **{"from": component})
            ended = [one.reason for one in ended_by(said) if one.object is not None]
            assert ended == code_in(row["ends"]) or (reason == "RemovingNode" and len(ended) == 5)


def test_no_recovery_is_left_out_of_the_table() -> None:
    told = {code_in(row["event"])[0] for row in table("incidents.md", "ends")}
    assert told == {reason for _, reason in recovery._ENDS} | {"ClusterOnline"}
