import gzip
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given

from tests.consumer.messages import event
from tests.consumer.test_hint_command import HOSTILE
from tocsin_consumer.hints import PLACEHOLDERS, TABLE, CommandTemplate, Entry, Hint, Override, hint_of
from tocsin_consumer.labels import Language
from tocsin_consumer.notice import Reason
from tocsin_consumer.samples import samples
from tocsin_schemas.event import EventPayload

RECORDING = Path(__file__).parents[1] / "data" / "node-failures.watch.ndjson.gz"
NAMES = dict.fromkeys(PLACEHOLDERS, "x")


def hint(**fields: Any) -> Hint:
    found = hint_of(event(**fields), (), "en")
    assert found is not None
    return found


def test_a_command_has_the_names_of_the_event() -> None:
    said = hint(ns="production", name="api-7c9f6d5b8-x2x7p", field="spec.containers{api}")
    assert said.command == "kubectl -n production logs api-7c9f6d5b8-x2x7p -c api --previous --tail=50"


#: What can be on the wire: a lone surrogate cannot.
SENT = HOSTILE.filter(lambda text: "\ud800" not in text and text.encode("utf-8", "ignore").decode() == text)


@given(SENT, SENT, SENT, SENT)
def test_nothing_of_a_message_is_in_a_command(message: str, namespace: str, name: str, container: str) -> None:
    fields = {"ns": namespace or None, "name": name, "field": f"spec.containers{{{container}}}"}
    plain = hint_of(event(**fields, msg="Back-off restarting"), (), "en")
    told = hint_of(event(**fields, msg=f"Back-off restarting {message}"), (), "en")
    assert plain == told


# The tables


def test_no_entry_is_said_twice_or_lacks_a_language() -> None:
    keys = [(reason, entry.kind, entry.message) for entry in TABLE for reason in entry.reasons]
    assert len(set(keys)) == len(keys)
    assert all(entry.zh[-1] in "。：" and re.search(r"[\u4e00-\u9fff]", entry.zh) for entry in TABLE)  # noqa: RUF001
    assert all(entry.en[-1] in ".:?" and entry.en.isascii() for entry in TABLE)


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.reasons[0]}-{entry.message}")
def test_a_hint_is_short_and_its_command_can_be_filled_in(entry: Entry) -> None:
    assert len(entry.en) <= 110
    assert len(entry.zh) <= 70
    assert not entry.command or CommandTemplate(entry.command).filled(NAMES)


def test_no_entry_hides_behind_one_that_takes_all_of_its_reason() -> None:
    hidden = [
        (entry.reasons, entry.message)
        for index, entry in enumerate(TABLE)
        for before in TABLE[:index]
        if not before.message and before.kind in {None, entry.kind} and set(before.reasons) & set(entry.reasons)
    ]
    assert hidden == []


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("language", get_args(Language))
def test_what_tocsin_says_itself_has_a_hint(reason: Reason, language: Language) -> None:
    assert hint_of(event(reason=reason, kind="Cluster", ns=None, **{"from": "tocsin"}), (), language)


def _recorded() -> list[EventPayload]:
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        objects = [json.loads(line)["line"]["object"] for line in lines]
    return [
        event(
            type=said["type"],
            reason=said["reason"],
            kind=said["involvedObject"]["kind"],
            ns=said["involvedObject"].get("namespace"),
            name=said["involvedObject"]["name"],
            field=said["involvedObject"].get("fieldPath"),
            msg=said["message"],
            node=said["source"].get("host"),
        )
        for said in objects
    ]


def test_every_recorded_warning_has_a_hint() -> None:
    warnings = [said for said in _recorded() if said.type == "Warning"]
    assert len(warnings) > 100
    assert {(said.reason, said.msg) for said in warnings if hint_of(said, (), "zh") is None} == set()


@pytest.mark.parametrize(
    ("fields", "text", "command"),
    [
        ({"msg": 'Back-off pulling image "reg/x:1"', "type": "Normal"}, "tries grow rare", "jsonpath"),
        ({"msg": "Back-off restarting failed container api in pod api"}, "keeps exiting", "--previous"),
        (
            {"reason": "Failed", "msg": 'Failed to pull image "r/x:1": NotFound desc = not found'},
            "no such image",
            "jsonpath",
        ),
        (
            {"reason": "Failed", "msg": 'Failed to pull image "r/x": dial tcp: no such host'},
            "does not reach",
            "jsonpath",
        ),
        (
            {"reason": "Failed", "msg": 'Failed to pull image "r/x": 401 Unauthorized'},
            "refuses access",
            "imagePullSecrets",
        ),
        ({"reason": "Failed", "msg": "Error: ImagePullBackOff"}, "Without its image", "describe"),
        ({"reason": "Failed", "msg": 'Error: secret "mqtt" not found'}, "a Secret or a key", "configmaps,secrets"),
        (
            {"reason": "Failed", "msg": "Error: failed to create containerd task: exec format error"},
            "another CPU",
            "arch",
        ),
        (
            {"reason": "Failed", "msg": "Error: failed to create containerd task: x"},
            "could not be created",
            "describe",
        ),
        (
            {"reason": "FailedMount", "msg": 'MountVolume.SetUp failed for volume "c" : configmap "a" not found'},
            "ConfigMap",
            "configmaps",
        ),
        (
            {"reason": "FailedMount", "msg": 'MountVolume.SetUp failed for volume "c" : secret "a" not found'},
            "Secret",
            "secrets",
        ),
        ({"reason": "FailedMount", "msg": "MountVolume.MountDevice failed"}, "not mounted", "describe"),
        (
            {
                "reason": "FailedScheduling",
                "msg": "0/3 nodes are available: 1 node(s) had untolerated taint {x: }, 2 Insufficient cpu.",
            },
            "enough left",
            "nodes",
        ),
        (
            {"reason": "FailedScheduling", "msg": "0/1 nodes are available: 1 node(s) had untolerated taint(s)."},
            "taints",
            "TAINTS",
        ),
        (
            {"reason": "FailedScheduling", "msg": "pod has unbound immediate PersistentVolumeClaims."},
            "waits for a volume",
            "pvc",
        ),
        ({"reason": "NodeNotReady", "msg": "Node is not ready"}, "node that it runs on", "get pod api-0"),
        (
            {"reason": "NodeNotReady", "kind": "Node", "ns": None, "name": "pi-3"},
            "no longer reports",
            "describe node pi-3",
        ),
        ({"reason": "Evicted", "msg": 'Usage of EmptyDir volume "s" exceeds the limit'}, "sizeLimit", "describe"),
        (
            {"reason": "FailedCreate", "kind": "ReplicaSet", "msg": "Error creating: exceeded quota: small"},
            "quota",
            "resourcequota",
        ),
        (
            {
                "reason": "ProvisioningFailed",
                "kind": "PersistentVolumeClaim",
                "msg": 'storageclass.storage.k8s.io "f" not found',
            },
            "storage class",
            "storageclass",
        ),
    ],
)
def test_the_hint_is_the_one_for_what_the_message_says(fields: dict[str, Any], text: str, command: str) -> None:
    said = hint(**fields)
    assert text in said.text
    assert command in said.command


@pytest.mark.parametrize("reason", ["", "backoff", "SomethingNew", "Scheduled", "NodeReady"])
def test_a_reason_that_nobody_knows_or_that_is_no_trouble_has_none(reason: str) -> None:
    assert hint_of(event(reason=reason), (), "en") is None


def test_a_hint_speaks_the_language_of_the_receiver_and_its_command_all() -> None:
    sample = samples()["back-off"].event
    zh, en = hint_of(sample, (), "zh"), hint_of(sample, (), "en")
    assert zh
    assert en
    assert zh.command == en.command
    assert "退出" in zh.text
    assert "exit" in en.text


# Hints of one's own


def override(*, text: str = "", command: str = "", matches: bool = True) -> Override:
    template = CommandTemplate(command) if command else None
    return Override(matches=lambda _: matches, texts={"en": text}, command=template)


def test_the_first_override_that_matches_goes_before_the_built_in_hint() -> None:
    never = override(matches=False, text="never")
    first, second = override(text="first"), override(text="second")
    assert hint_of(event(), [never, first, second], "en") == Hint("first", "")
    assert hint_of(event(), [never], "en") == hint()


def test_an_override_that_says_nothing_removes_the_hint() -> None:
    assert hint_of(event(), [override()], "en") is None


def test_a_command_alone_is_a_hint() -> None:
    run_this = override(command="runbook {cluster} {name}")
    assert hint_of(event(), [run_this], "zh") == Hint("", "runbook edge-1 api-0")
    assert hint_of(event(name="-x"), [run_this], "zh") is None
