import io
from zoneinfo import ZoneInfo

from tocsin_consumer.preview import preview_text
from tocsin_consumer.receiver_settings import StdoutSettings
from tocsin_consumer.receivers.stdout import StdoutReceiver
from tocsin_consumer.samples import samples


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_text_of_standard_output_is_shown_and_not_how_it_is_coloured() -> None:
    shown = {}
    for stream in (Terminal(), io.StringIO()):
        receiver = StdoutReceiver(
            "dump", StdoutSettings(), time_zone=ZoneInfo("UTC"), language="en", stream=stream, environment={}
        )
        coloured = "\x1b[" in receiver.render(samples()["hostile"]).content
        shown[coloured] = list(preview_text(receiver, samples()["hostile"]))
    assert shown[True] == shown[False]
    assert not any("\x1b" in line for line in shown[True])
