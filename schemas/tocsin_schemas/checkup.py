"""A checkup: steps that are taken one after another and told as they go, with what to do where one fails.

Each step is a function that returns a `Finding`. What later steps need of it, an address or a connection, is the
finding's value; a step whose needs have failed is skipped, and says which one to mend.
"""

import json
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from tocsin_schemas.configuration import ConfigurationError

T = TypeVar("T")

#: Of the step's name; a longer one pushes its text to the right.
_NAME_WIDTH: Final = 18
_UNUSABLE: Final = 2


class Mark(StrEnum):
    """How a step went; readable without colour."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


_WORKS: Final = frozenset({Mark.OK, Mark.WARNING})
_MARK_WIDTH: Final = max(map(len, Mark))


@dataclass(frozen=True, slots=True)
class Finding(Generic[T]):
    """What a step has found: in one line, the likely cause of what is wrong, and what to run next."""

    mark: Mark
    text: str
    value: T | None = field(default=None, repr=False)
    cause: str = ""
    run: str = ""


def ok(text: str, value: T | None = None) -> Finding[T]:
    """Return that all is well."""
    return Finding(Mark.OK, text, value)


def warning(text: str, *, cause: str, run: str, value: T | None = None) -> Finding[T]:
    """Return what works and should be looked at all the same."""
    return Finding(Mark.WARNING, text, value, cause, run)


def failed(text: str, *, cause: str, run: str) -> Finding[Any]:
    """Return what keeps tocsin from working."""
    return Finding(Mark.FAILED, text, None, cause, run)


@dataclass(frozen=True, slots=True)
class Step(Generic[T]):
    """A step that was taken; `blocker` is the step to mend before this one can work."""

    name: str
    finding: Finding[T]
    blocker: str = ""

    @property
    def works(self) -> bool:
        """Whether what needs this step can go on."""
        return self.finding.mark in _WORKS

    def lines(self) -> Iterator[str]:
        """Yield it as people read it; what a server says of itself does not act on a terminal."""
        finding = self.finding
        first, *more = _harmless(finding.text).splitlines() or [""]
        yield f"{finding.mark:<{_MARK_WIDTH}}  {self.name:<{_NAME_WIDTH}}  {first}"
        indent = " " * (_MARK_WIDTH + 2)
        yield from (f"{indent}{' ' * _NAME_WIDTH}  {line}" for line in more)
        if finding.cause:
            yield f"{indent}likely: {_harmless(finding.cause)}"
        if finding.run:
            yield f"{indent}next:   {_harmless(finding.run)}"

    def fields(self) -> dict[str, str]:
        """Return it as programs read it."""
        finding = self.finding
        told = {"step": self.name, "mark": finding.mark.value, "text": finding.text}
        return told | {key: text for key, text in (("likely", finding.cause), ("next", finding.run)) if text}


class Checkup:
    """Takes steps, tells each as soon as it is taken, and remembers them.

    Args:
        tell: gets each step.
    """

    def __init__(self, tell: Callable[[Step[Any]], object]) -> None:
        self._tell = tell
        self.steps: list[Step[Any]] = []

    def step(self, name: str, check: Callable[..., Finding[T]], *needs: Step[Any]) -> Step[T]:
        """Take a step: `check` is called with the values of what it needs, if all of that works."""
        blocker = next((need.blocker or need.name for need in needs if not need.works), "")
        finding = _skipped(blocker) if blocker else _found(check, [need.finding.value for need in needs])
        step = Step(name, finding, blocker or ("" if finding.mark in _WORKS else name))
        self.steps.append(step)
        self._tell(step)
        return step

    @property
    def exit_code(self) -> int:
        """0 when nothing failed, else 1."""
        return 1 if any(step.finding.mark == Mark.FAILED for step in self.steps) else 0

    def summary(self) -> str:
        """Return how many steps went how."""
        counts = Counter(step.finding.mark for step in self.steps)
        return ", ".join(f"{counts[mark]} {mark}" for mark in Mark if counts[mark])


def perform(
    load: Callable[[], T],
    examine: Callable[[Checkup, T], None],
    *,
    name: str,
    command: str,
    as_json: bool,
    echo: Callable[[str], object],
) -> int:
    """Take all steps of one side, and return the exit code.

    Args:
        load: reads the configuration, with everything that can be checked of it without connecting.
        examine: takes the steps after that.
        name: where the configuration is.
        command: the command of that side, such as tocsin-producer.
        as_json: whether programs read what is told.
        echo: prints a line.

    Returns:
        0 when nothing failed, 1 when something did, 2 when the configuration is wrong.
    """
    show = ndjson if as_json else text
    checkup = Checkup(lambda step: echo(show(step)))
    read = checkup.step("configuration", lambda: check_configuration(load, name, command))
    settings = read.finding.value
    if settings is not None:
        examine(checkup, settings)
    if not as_json:
        echo(checkup.summary())
    return _UNUSABLE if settings is None else checkup.exit_code


def check_configuration(load: Callable[[], T], name: str, command: str) -> Finding[T]:
    """Load a configuration from `name`, with the files that it names; `command` checks nothing else."""
    try:
        return ok(f"{name} is fine, and the files that it names can be read", load())
    except ConfigurationError as error:
        return failed(
            str(error),
            cause="a mistake in what is written there, or a file that is missing or not for us to read",
            run=f"{command} check --config {name}",
        )


def text(step: Step[Any]) -> str:
    """Return a step for people."""
    return "\n".join(step.lines())


def ndjson(step: Step[Any]) -> str:
    """Return a step for programs."""
    return json.dumps(step.fields(), ensure_ascii=False)


def _harmless(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _skipped(blocker: str) -> Finding[Any]:
    return Finding(Mark.SKIPPED, f"not looked at: it needs {blocker}")


def _found(check: Callable[..., Finding[T]], values: Sequence[Any]) -> Finding[T]:
    try:
        return check(*values)
    except Exception as error:  # noqa: BLE001 - one check that breaks must not keep the others from being told
        return failed(
            f"the check itself broke: {type(error).__name__}",
            cause="a mistake in tocsin; what the other steps say holds",
            run="report these lines, with the version that --version tells",
        )


def within(seconds: float, call: Callable[[], T], *, give_up: Callable[[], object] = lambda: None) -> T:
    """Return what `call` returns, or raise what it raises; it runs in a thread of its own.

    Raises:
        TimeoutError: it takes longer than `seconds`; `give_up` was called then, and the thread is left alone.
    """
    outcomes: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcomes.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            outcomes.put((None, error))

    threading.Thread(target=run, name="checkup", daemon=True).start()
    try:
        value, error = outcomes.get(timeout=seconds)
    except queue.Empty:
        give_up()
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value] # None only where the call returned it
