"""What documents say of routes, templates, metrics, log lines and Go's names is what the code does."""

import ast
import re
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2.filters
import pytest
import yaml

from tests.docs.markdown import blocks, code_in, tables
from tests.docs.test_docs import ROOT, placed
from tests.mosquitto import free_port
from tests.stage.probes import Probes
from tests.stage.site import Site
from tests.waiting import until
from tocsin_consumer.document import document
from tocsin_consumer.go_template import go_hint
from tocsin_consumer.line_view import LineView
from tocsin_consumer.render import Template, _environment
from tocsin_consumer.report import Report
from tocsin_consumer.route import Route
from tocsin_consumer.samples import samples
from tocsin_consumer.settings import ConsumerSettings
from tocsin_consumer.view import View
from tocsin_schemas.event import EventPayload

DOCS = ROOT / "docs"
#: Those that Jinja brings and that documents need not name.
JINJA = set(jinja2.filters.FILTERS)


# Routing


def table(document: str, column: str) -> list[dict[str, str]]:
    """Return the rows of all tables of a document that have a column."""
    return [row for rows in tables(DOCS / document) if rows and column in rows[0] for row in rows]


@pytest.fixture
def route(tmp_path: Path) -> Route:
    (text,) = blocks(DOCS / "routing.md", "yaml")
    return Route(ConsumerSettings.model_validate(yaml.safe_load(placed(text, tmp_path))).route)


@pytest.mark.parametrize(
    "row", table("routing.md", "goes to"), ids=lambda row: f"{row['cluster']}-{row['reason']}"
)
def test_an_event_goes_where_the_table_says(route: Route, row: dict[str, str]) -> None:
    namespace = None if row["namespace"] == "_cluster" else row["namespace"]
    event = EventPayload(
        v=1,
        cluster=row["cluster"],
        type="Normal" if row["kind"] == "Node" else "Warning",
        reason=row["reason"],
        kind=row["kind"],
        ns=namespace,
        name="x",
        msg="m",
        count=1,
        first=0,
        last=0,
        uid="u",
        boot=1,
        seq=1,
    )
    assert ", ".join(route.decide(event).receivers) == row["goes to"].replace("nobody", "")


# Templates

BACK_OFF, GROUP = (
    View.of(samples()[name], ZoneInfo("UTC"), language="en") for name in ("back-off", "incident-group")
)


def test_every_name_that_a_template_knows_is_told_and_no_other() -> None:
    told = {name for row in table("templates.md", "name") for name in code_in(row["name"])}
    assert told == set(View.__dataclass_fields__)


def test_every_name_of_a_line_is_told_and_no_other() -> None:
    (shared,) = re.findall(
        r"(?s)### A line of an incident\n\n(.*?) mean what", (DOCS / "templates.md").read_text("utf-8")
    )
    own = {name for row in table("templates.md", "of a line") for name in code_in(row["of a line"])}
    assert own | set(code_in(shared)) == set(LineView.__dataclass_fields__)
    assert set(code_in(shared)) == set(LineView.__dataclass_fields__) & set(View.__dataclass_fields__)


def test_what_machines_are_given_of_an_incident_is_told() -> None:
    said = [document(sample)["incident"] for sample in samples().values() if isinstance(sample.report, Report)]
    told = {name for row in table("templates.md", "in `incident`") for name in code_in(row["in `incident`"])}
    assert told == {name for incident in said for name in incident}
    column = "in a line of `incident`"
    of_lines = {name for row in table("templates.md", column) for name in code_in(row[column])}
    assert of_lines == {name for incident in said for line in incident["lines"] for name in line}


def test_the_filters_that_are_told_are_ours() -> None:
    told = {name for row in table("templates.md", "filter") for name in code_in(row["filter"])}
    filters = _environment(str).filters
    assert told <= set(filters)
    assert set(filters) - JINJA <= told


EXAMPLES = list(zip(blocks(DOCS / "templates.md", "jinja"), blocks(DOCS / "templates.md", "text"), strict=True))


@pytest.mark.parametrize(("template", "said"), EXAMPLES)
def test_a_template_says_what_is_shown_below_it(template: str, said: str) -> None:
    view = GROUP if "in lines" in template else BACK_OFF
    assert Template(template.rstrip("\n")).render(view).rstrip("\n") == said.rstrip("\n")


def test_the_form_of_a_time_is_the_one_shown() -> None:
    assert isinstance(BACK_OFF.last_at, datetime)
    shown = Template("{{ last_at | time }} {{ last_at | date }} {{ lasting | duration }}").render(BACK_OFF)
    assert shown == "2026-11-23 19:18:52 2026-11-23 1 h 32 min"
    assert "`1 h 32 min`" in (DOCS / "templates.md").read_text(encoding="utf-8")


# Migration


@pytest.mark.parametrize("row", table("migration.md", "Go"), ids=lambda row: row["Go"])
def test_a_name_of_gos_is_written_here_as_the_table_says(row: dict[str, str]) -> None:
    (go,), (here,) = code_in(row["Go"]), code_in(row["Jinja"])
    assert (go_hint(go) or "").endswith(f"here it is {here}")
    Template(here).render(BACK_OFF)


def test_what_is_replaced_is_quoted_as_it_is() -> None:
    (old, *_), text = blocks(DOCS / "migration.md", ""), (DOCS / "migration.md").read_text(encoding="utf-8")
    assert yaml.safe_load(old)["receivers"][1]["name"] == "feishu"
    assert go_hint(
        yaml.safe_load(old)["receivers"][1]["webhook"]["layout"]["card"]["elements"][0]["text"]["content"]
    )
    assert "tocsin-consumer import" not in text  # there is none


# Operations


def names_in(column: str, prefix: str) -> set[str]:
    told = {name for row in table("operations.md", column) for name in code_in(row[column])}
    return {name for name in told if name.startswith(prefix)}


def answered(probes: Probes) -> set[tuple[str, str]]:
    until(lambda: probes.ask("/metrics")[0] == 200)
    _, page = probes.ask("/metrics")
    found = set(re.findall(r"(?m)^# TYPE (\S+) (\w+)$", page))
    return {(name, kind) for name, kind in found if not name.endswith("_created")}


@pytest.mark.broker
def test_the_metrics_that_are_told_are_those_that_both_sides_answer(tmp_path: Path) -> None:
    told = {(code_in(row["metric"])[0], row["kind"]) for row in table("operations.md", "metric")}
    port = free_port()
    with Site(tmp_path) as site:
        site.configure_consumer(http={"listen": f"127.0.0.1:{port}"})
        site.start()
        assert answered(site._probes) | answered(Probes(port)) == told


def test_alerts_are_on_metrics_that_there_are() -> None:
    known = names_in("metric", "tocsin_")
    used = {name for row in table("operations.md", "when") for name in re.findall(r"tocsin_\w+", row["when"])}
    assert used
    assert used <= known


SOURCES = [
    path for side in ("producer", "consumer", "schemas") for path in sorted((ROOT / side).glob("tocsin_*/**/*.py"))
]


def texts() -> list[str]:
    """Return every text in the code, with one sign for each value that is put into it."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[sdg]|\{\w*\}", "…", node.value))
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(map(str, parts)))
    return found


@pytest.mark.parametrize("line", [line for row in table("operations.md", "line") for line in code_in(row["line"])])
def test_a_line_of_the_log_that_is_explained_is_one_that_the_code_writes(line: str) -> None:
    fragments = [fragment.strip() for fragment in line.split("…") if len(fragment.strip(" :;()")) > 3]
    found = " \n ".join(texts())
    assert fragments or line == "broker …: …"
    assert [fragment for fragment in fragments if fragment not in found] == []
