"""What the demo shows: cards as the group would see them, a line that says how it stands, a summary."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from rich.box import ROUNDED, SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tests.fakes.feishu import Message

#: Header template of a card → colour of a terminal.
_COLOURS = {"red": "red", "orange": "dark_orange", "green": "green", "blue": "blue", "carmine": "red"}
_CARD_WIDTH = 78
#: What Feishu draws as a label.
_TAGS = re.compile(r"</?text_tag[^>]*>")
#: A block of code, which a terminal shows as a command.
_CODE = re.compile(r"^```\w*\n(.*)\n```$", re.DOTALL)


@dataclass(frozen=True)
class Standing:
    """How it stands; everything counts event states but for `link_bytes`."""

    seconds: float
    served: int
    passed: int
    arrived: int
    cards: int
    link_bytes: int
    link_up: bool


class Screen:
    """The terminal; `show` and `say` may be called from any thread."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str, style: str = "bold") -> None:
        """Print a line of the story."""
        self._console.print(Text(text, style=style))

    def show(self, message: Message) -> None:
        """Print a message of the group."""
        self._console.print(card(message))

    def update(self, standing: Standing) -> None:
        """Renew the line at the bottom."""
        self._live.update(status_line(standing))

    def summarise(self, rows: list[tuple[str, str]]) -> None:
        """Print the last word."""
        table = Table(box=SIMPLE_HEAD, show_header=False, title="What the operator got", title_justify="left")
        table.add_column(style="dim")
        table.add_column(style="bold")
        for name, value in rows:
            table.add_row(name, value)
        self._console.print(table)


def card(message: Message) -> Panel:
    """Return a message as a terminal can draw it."""
    header = message.payload.get("card", {}).get("header", {})
    colour = _COLOURS.get(header.get("template", ""), "white")
    elements = message.payload.get("card", {}).get("body", {}).get("elements", [])
    lines = [Text(message.subtitle, style="dim"), *(line for element in elements for line in _lines(element))]
    return Panel(
        Group(*lines),
        box=ROUNDED,
        title=Text(message.title, style=f"bold {colour}"),
        title_align="left",
        subtitle=Text(" · ".join(message.tags), style=colour),
        subtitle_align="right",
        border_style=colour,
        width=_CARD_WIDTH,
    )


def _lines(element: dict[str, Any]) -> Iterator[Text]:
    """Yield what an element of a card shows: columns side by side, text as it is."""
    if element["tag"] == "column_set":
        columns = [[_text(inner) for inner in column["elements"]] for column in element["columns"]]
        yield Text("   ".join(" ".join(texts) for texts in columns), style="dim")
    else:
        yield Text(_text(element))


def _text(element: dict[str, Any]) -> str:
    text = element.get("text") or element
    return _CODE.sub(r"$ \1", _TAGS.sub("", str(text.get("content", ""))))


def status_line(standing: Standing) -> Text:
    """Return the line at the bottom."""
    link = ("● link up", "green") if standing.link_up else ("✂ link down", "bold red")
    return Text.assemble(
        link,
        f"  {standing.seconds:3.0f} s  seen {standing.served}  passed {standing.passed}  ",
        f"arrived {standing.arrived}  cards {standing.cards}  {standing.link_bytes / 1000:.0f} kB",
    )
