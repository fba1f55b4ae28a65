import gzip
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_consumer.owner import (
    _WORDS,
    CONTROLLER,
    CRON_JOB,
    DEPLOYMENT,
    STATEFUL_SET,
    STATIC_POD,
    Owner,
    owner_of,
)

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"

# Names as Kubernetes makes them

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
#: What people call things: a label of DNS (RFC 1123).
LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,45}[a-z0-9])?", fullmatch=True)
RANDOM = st.text(ALPHABET, min_size=5, max_size=5)
HASHES = st.integers(10**5, 2**32 - 1).map(lambda number: _safe(str(number)))
MINUTES = st.datetimes(datetime(2016, 1, 1), datetime(2049, 12, 31)).map(  # noqa: DTZ001 - put into UTC below
    lambda at: int(at.replace(tzinfo=UTC).timestamp()) // 60
)


def _safe(text: str) -> str:
    """Return what apimachinery's SafeEncodeString makes of `text`."""
    return "".join(ALPHABET[ord(letter) % len(ALPHABET)] for letter in text)


def _generated(base: str, random: str) -> str:
    return base[:58] + random


def _pods(owner: str, ends: list[str]) -> set[Owner]:
    return {owner_of("Pod", _generated(f"{owner}-", end)) for end in ends}


MANY = st.lists(RANDOM, min_size=2, max_size=10, unique=True)
WORDLESS = st.lists(RANDOM.filter(lambda end: end not in _WORDS), min_size=2, max_size=10, unique=True)


@given(LABELS, HASHES.filter(lambda text: not text.isdecimal()), MANY)
def test_the_replicas_of_a_deployment_are_its_own(deployment: str, revision: str, ends: list[str]) -> None:
    owners = _pods(f"{deployment}-{revision}", ends)
    assert len(owners) == 1
    if len(deployment) + 1 + len(revision) <= 58:
        assert owners == {owner_of("ReplicaSet", f"{deployment}-{revision}"), Owner(DEPLOYMENT, deployment, True)}


@given(LABELS, st.lists(HASHES, min_size=2, max_size=2, unique=True), RANDOM)
def test_two_deployments_are_never_one(deployment: str, revisions: list[str], end: str) -> None:
    first, second = (
        owner_of("Pod", _generated(f"{name}-{revision}-", end))
        for name, revision in zip((f"a{deployment[:40]}", f"b{deployment[:40]}"), revisions, strict=True)
    )
    assert first != second


@given(st.from_regex(r"[a-z]{48,63}", fullmatch=True), HASHES, WORDLESS)
def test_replicas_whose_names_were_cut_have_one_owner(deployment: str, revision: str, ends: list[str]) -> None:
    (owner,) = _pods(f"{deployment}-{revision}", ends)
    assert owner.recognised
    assert deployment.startswith(owner.name) or owner.name.startswith(deployment)


@given(LABELS, WORDLESS)
def test_the_pods_of_a_daemon_set_or_a_job_are_its_own(controller: str, ends: list[str]) -> None:
    (owner,) = _pods(controller, ends)
    assert owner.recognised
    assert controller.startswith(owner.name)


@given(st.from_regex(r"[a-z]([a-z-]{0,50}[a-z])?", fullmatch=True), st.lists(MINUTES, min_size=2), MANY)
def test_the_jobs_of_a_cron_job_and_their_pods_are_its_own(
    cron_job: str, minutes: list[int], ends: list[str]
) -> None:
    jobs = [f"{cron_job}-{minute}" for minute in minutes]
    pods = {owner for job in jobs for owner in _pods(job, ends)}
    assert pods == {owner_of("Job", job) for job in jobs} == {Owner(CRON_JOB, cron_job, recognised=True)}


@given(MINUTES, st.integers(0, 99_999), RANDOM)
def test_the_index_of_a_job_of_a_cron_job_is_dropped(minutes: int, index: int, end: str) -> None:
    assert owner_of("Pod", f"report-{minutes}-{index}-{end}") == Owner(CRON_JOB, "report", recognised=True)


@given(LABELS, st.integers(0, 999))
def test_the_pods_of_a_stateful_set_are_its_own(stateful_set: str, ordinal: int) -> None:
    assert owner_of("Pod", f"{stateful_set}-{ordinal}") == Owner(STATEFUL_SET, stateful_set, recognised=True)


def test_the_mirror_pods_of_all_nodes_are_one_where_the_node_is_known() -> None:
    owner = Owner(STATIC_POD, "kube-apiserver", recognised=True)
    assert (
        owner_of("Pod", "kube-apiserver-pi-1", "pi-1") == owner_of("Pod", "kube-apiserver-a.lan", "a.lan") == owner
    )
    assert owner_of("Pod", "kube-apiserver-a.lan") == Owner("Pod", "kube-apiserver-a.lan", recognised=False)
    assert owner_of("Pod", "kube-apiserver-a.lan", "b.lan").kind == "Pod"


@pytest.mark.parametrize(("name", "node"), [("gateway-0", "0"), ("gateway-x2x7p", "x2x7p"), ("-pi", "pi")])
def test_a_node_whose_name_says_nothing_changes_nothing(name: str, node: str) -> None:
    assert owner_of("Pod", name, node) == owner_of("Pod", name)


@pytest.mark.parametrize("name", ["web", "web-x2x7p", "web-7c9f6d5b8-x2x7p", "web-0", "-", ""])
def test_an_object_of_another_kind_is_its_own(name: str) -> None:
    owner = owner_of("PersistentVolumeClaim", name)
    assert owner == Owner("PersistentVolumeClaim", name, recognised=False)
    assert not owner.recognised


def test_a_controllers_own_events_and_those_of_its_pods_have_one_owner() -> None:
    assert owner_of("Deployment", "api") == owner_of("Pod", "api-7c9f6d5b8-x2x7p")
    assert owner_of("StatefulSet", "gateway") == owner_of("Pod", "gateway-0")


# Names that only look alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("edge-https", "edge-mqtts"),  # five letters without a vowel
        ("report-2025", "report-2026"),  # years
        ("import-20261123", "import-20261124"),  # days
        ("import-20261123-x2x7p", "import-20261124-x2x7p"),
        ("import-1-x2x7p", "import-2-x2x7p"),  # Jobs, or indexes of one
        ("sensor-556677-x2x7p", "sensor-556678-x2x7p"),  # numbers of the digits of a hash
        ("flash-c0ffee-x2x7p", "flash-decade-x2x7p"),
        ("camera-07", "camera-08"),
        ("job-4294967296", "job-4294967297"),
        ("api-5c9f6d5b8f-x2x7p", "api-9c9f6d5b8f-x2x7p"),  # the latter is no number below 2^32
        ("x2x7p", "n96j9"),
        ("-x2x7p", "-n96j9"),
        ("a" * 60 + "-x2x7p", "a" * 60 + "-n96j9"),  # longer than a generated name
        ("api-aeiou", "api-uoiea"),
    ],
)
def test_what_only_looks_alike_is_not_put_together(one: str, other: str) -> None:
    assert owner_of("Pod", one) != owner_of("Pod", other)


@given(st.text(max_size=80), st.text(max_size=20))
def test_any_text_has_an_owner_that_it_begins_with(name: str, node: str) -> None:
    for kind in ("Pod", "ReplicaSet", "Job", "Node"):
        owner = owner_of(kind, name, node)
        assert name.startswith(owner.name)
        assert owner.recognised or owner == Owner(kind, name, recognised=False)


# Names that were recorded


def _said() -> Iterator[tuple[dict[str, Any], str]]:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            recorded = json.loads(line)["line"]["object"]
            yield recorded["involvedObject"], recorded["message"]


def _made(message: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what was made → by which object, from the events that say so."""
    made = {}
    for involved, said in _said():
        match = re.match(message, said)
        if match:
            made[match["kind"].lower(), match["name"]] = involved["kind"], involved["name"]
    return made


MADE = _made(
    r"(\(combined from similar events\): )?(Created|Deleted|Saw completed|Scaled up) "
    r"(?P<kind>pod|job|replica set):? (?P<name>[\w-]+)"
)
#: Of a CronJob as well, but lost where the recorder combined similar events.
UNTOLD = {("Job", f"heartbeat-{minutes}") for minutes in (29923820, 29923824, 29923826)}
KINDS = {"pod": "Pod", "job": "Job", "replica set": "ReplicaSet"}
SAID = {kind: said for said, kind in KINDS.items()}


@pytest.mark.parametrize("made", [made for made in MADE if MADE[made] not in UNTOLD], ids=lambda made: made[1])
def test_every_recorded_object_is_the_one_s_that_made_it(made: tuple[str, str]) -> None:
    kind, name = MADE[made]
    while (SAID.get(kind, ""), name) in MADE:
        kind, name = MADE[SAID[kind], name]
    owner = owner_of(KINDS[made[0]], made[1])
    assert owner.name == name
    assert owner.kind == (CONTROLLER if kind in {"DaemonSet", "Job"} else kind)


def test_recorded_pods_that_nobody_made_are_their_own() -> None:
    pods = {involved["name"] for involved, _ in _said() if involved["kind"] == "Pod"}
    bare = pods - {name for kind, name in MADE if kind == "pod"}
    assert {"early-bird", "bad-cmd", "needs-config", "disk-hog"} <= bare
    assert not [name for name in bare if owner_of("Pod", name).recognised]
