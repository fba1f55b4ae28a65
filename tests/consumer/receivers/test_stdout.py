import io
import json
from typing import Any

import pytest

from tests.consumer.views import SHANGHAI, view
from tocsin_consumer.errors import RenderError, TemporaryError
from tocsin_consumer.notification import Notification
from tocsin_consumer.receiver_settings import StdoutSettings
from tocsin_consumer.receivers.receiver import Receipt
from tocsin_consumer.receivers.stdout import StdoutReceiver
from tocsin_consumer.samples import samples


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _receiver(stream: Any, environment: dict[str, str] | None = None, **settings: Any) -> StdoutReceiver:
    return StdoutReceiver(
        "out",
        StdoutSettings(**settings),
        time_zone=SHANGHAI,
        language="en",
        stream=stream,
        environment=environment or {},
    )


def _written(name: str, stream: io.StringIO | None = None, **options: Any) -> str:
    stream = stream or io.StringIO()
    receiver = _receiver(stream, **options)
    assert receiver.deliver(receiver.render(samples()[name])) == Receipt("written")
    return stream.getvalue()


def test_an_event_is_a_line_with_its_message_indented_below() -> None:
    assert _written("back-off") == (
        "2026-11-24 03:18:52 warning   edge-042  Pod BackOff · production/api-7c9f6d5b8-x2x7p ×14\n"  # noqa: RUF001
        "    Back-off restarting failed container api in pod api-7c9f6d5b8-x2x7p_production(6f1c0d8e)\n"
        f"    → {view().hint} $ kubectl -n production logs api-7c9f6d5b8-x2x7p -c api --previous --tail=50\n"
    )


def test_a_delay_is_told() -> None:
    assert "sensors/recorder-0 (late by 2 h 5 min)\n" in _written("held-back")


@pytest.mark.parametrize("template", [None, "{{ message }}", "{{ event.msg }}"])
def test_a_hostile_message_does_nothing_to_a_terminal(template: str | None) -> None:
    written = _written("hostile", template=template)
    assert "\\x1b[31mred" in written
    assert not any(active in written for active in ("\x1b", "\u202e", "\r"))
    assert all(line.startswith("    ") for line in written.splitlines()[1:])


def test_colour_is_for_terminals_that_want_it() -> None:
    coloured = _written("node-not-ready", _Terminal())
    assert "\x1b[1;31mcritical \x1b[0m" in coloured
    assert "\x1b" not in _written("node-not-ready", _Terminal(), environment={"NO_COLOR": "1"})
    assert "\x1b" not in _written("node-not-ready")


def test_a_template_of_ones_own_is_written_as_it_says() -> None:
    written = _written("back-off", template="{{ cluster }}\n  {{ last_at | time('%H:%M') }} {{ reason }}")
    assert written == "edge-042\n  03:18 BackOff\n"


def test_json_is_the_whole_event_on_one_line() -> None:
    written = _written("hostile", format="json")
    assert written.count("\n") == 1
    said = json.loads(written)
    assert said["msg"] == samples()["hostile"].event.msg
    assert said["received_at"] == "2026-11-23T19:18:54.000Z"


def test_a_stream_that_cannot_say_a_character_spells_it() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    receiver = _receiver(stream)
    receiver.deliver(receiver.render(samples()["back-off"]))
    assert b"\\xd714" in raw.getvalue()


def test_a_reader_that_has_gone_is_temporary() -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(TemporaryError, match="standard output takes nothing: Broken pipe"):
        _written("back-off", Gone())


def test_a_template_that_does_not_fit_an_event_is_told() -> None:
    receiver = _receiver(io.StringIO(), template="{{ 10 // (count - 5) }}")
    sample = samples()["back-off"]
    with pytest.raises(RenderError, match="line 1: integer division"):
        receiver.render(Notification(sample.event.model_copy(update={"count": 5}), sample.received_at))


def test_an_incident_is_a_line_with_what_has_changed_and_its_problems_indented_below() -> None:
    head, *problems = _written("incident-group").splitlines()
    assert head == "2026-11-24 03:18:52 warning   edge-042  BackOff · 9 objects in production ×132"  # noqa: RUF001
    messages = [line.message for line in view("incident-group").lines]
    assert problems == [
        "    Since it was last told (11-24 03:13): 2 new, 1 gone quiet, 31 more occurrences.",
        f"    [new] Deployment checkout (2 objects) ×9: {messages[0]}",  # noqa: RUF001
        f"    [new] StatefulSet ledger ×2: {messages[1]}",  # noqa: RUF001
        f"    Deployment api (5 objects) ×114: {messages[2]}",  # noqa: RUF001
        f"    [quiet] Deployment billing ×7: {messages[3]}",  # noqa: RUF001
        f"    → {view('incident-group').hint} $ {view('incident-group').command}",
    ]


def test_an_incident_of_one_problem_has_its_message_below() -> None:
    written = _written("incident-replicas").splitlines()
    assert written[0].endswith("edge-042  Deployment BackOff · production/api (5 objects) ×57")  # noqa: RUF001
    assert [line[:5] for line in written[1:]] == ["    B", "    →"]


def test_a_long_incident_is_cut_and_says_by_how_much() -> None:
    written = _written("incident-long").splitlines()
    assert len(written) == 23
    assert written[-2].startswith("    and 40 more, ×860 in all; ")  # noqa: RUF001 - the sign itself


def test_no_text_of_an_incident_begins_a_line_of_its_own() -> None:
    written = _written("incident-hostile")
    assert len(written.splitlines()) == 5
    assert not any(active in written for active in ("\x1b", "\u202e", "\r", "\x9b"))
