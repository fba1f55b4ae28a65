import io
import json
from typing import Any

import pytest

from tests.consumer.views import SHANGHAI
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
