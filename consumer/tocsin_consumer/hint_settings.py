"""Hints of one's own, which go before the built-in ones."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tocsin_consumer.hints import PLACEHOLDERS, CommandTemplate, Override
from tocsin_consumer.labels import Language
from tocsin_consumer.match import MatchSettings, match_of, match_texts
from tocsin_schemas.configuration import Settings
from tocsin_schemas.event import EventPayload

_PLACEHOLDER: Final = re.compile(rf"{{({'|'.join(PLACEHOLDERS)})[^}}]*}}")


def _in_every_language(text: object) -> object:
    """Return a text alone as one of a language: in the other it is said as well, and is wrong once only."""
    return {"en": text} if isinstance(text, str) else text


def _check_command(command: str) -> str:
    CommandTemplate(command)
    return command


def _check_text(text: str) -> str:
    found = _PLACEHOLDER.search(text)
    if found is not None:
        raise ValueError(f"expected a text that is said as it stands; {found[0]} is filled in in a command only")
    return text


#: A command with placeholders; it has been parsed once.
CommandText = Annotated[str, AfterValidator(_check_command)]
#: What is said as it stands.
HintText = Annotated[str, Field(min_length=1), AfterValidator(_check_text)]


class HintTexts(Settings):
    """What to say in each language; one that is missing is said in the other. A text alone is for all of them."""

    zh: HintText | None = Field(default=None, description="In Chinese.")
    en: HintText | None = Field(default=None, description="In English.")

    @model_validator(mode="after")
    def _check_any(self) -> Self:
        if self.zh is None and self.en is None:
            raise ValueError("expected a text, or texts under zh and en")
        return self

    @property
    def by_language(self) -> dict[Language, str]:
        """The text for each language."""
        return {"zh": self.zh or self.en or "", "en": self.en or self.zh or ""}


class HintSettings(Settings):
    """What to say of the events that it matches, instead of the built-in hint; nothing, if it says nothing."""

    match: MatchSettings = Field(description="Of which events.")
    text: Annotated[HintTexts, BeforeValidator(_in_every_language)] | None = Field(
        default=None, description="What is likely behind it, and what to look at: one text, or zh and en."
    )
    command: CommandText | None = Field(
        default=None,
        description=f"What to run next; {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)} are filled in.",
    )


def overrides(hints: Sequence[HintSettings]) -> tuple[Override, ...]:
    """Return the same, for the code that looks for hints."""
    return tuple(
        Override(
            matches=_test(hint.match),
            texts=hint.text.by_language if hint.text else {},
            command=CommandTemplate(hint.command) if hint.command is not None else None,
        )
        for hint in hints
    )


def _test(settings: MatchSettings) -> Callable[[EventPayload], bool]:
    match = match_of(settings)
    return lambda event: match(match_texts(event))
