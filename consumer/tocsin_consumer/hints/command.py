"""Commands for people to copy: a template whose names an event fills in, safe in a shell. Pure.

A template is split into words as a shell would split it, when it is read. Each word is filled and then quoted as
a whole, so whatever a name holds stays within its word; a `|` that stands alone is a pipe. So `$HOME`, `*` and
`$(…)` in a template are text: it is a command with its arguments, and no script.

Quoting does not help against all that a name can hold. No command is given where one

- begins with `-`: the program would take it for an option, quoted or not;
- holds control characters or others that act (inert.py): within quotes they are one argument still, and yet they
  act on the terminal that it is pasted into, or make people read another command than they run;
- holds anything that needs quotes, in a command that passes its words to another shell, such as `ssh`: that one
  reads them again, without the quotes.

Names in Kubernetes have none of this; a cluster that sends such a name is broken or taken over.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from string import Formatter
from typing import Final

from tocsin_consumer.inert import one_line

#: What a template can name.
PLACEHOLDERS: Final = ("cluster", "namespace", "kind", "name", "container", "node")
#: What an event may lack; the option before it is then left out.
_OPTIONAL: Final = frozenset({"{namespace}", "{container}", "{node}"})
_PIPE: Final = "|"
#: Programs that pass their arguments to a shell.
_SHELLS: Final = frozenset({"bash", "dash", "eval", "sh", "ssh", "su", "watch", "xargs", "zsh"})
_PLAIN: Final = re.compile(r"[\w@%+=:,./-]*", re.ASCII)


class CommandTemplate:
    """A command with `{name}` and the like in it; `{{` is a brace.

    Raises:
        ValueError: it is no such command.
    """

    def __init__(self, source: str) -> None:
        if one_line(source) != source:
            raise ValueError("expected one line without control characters")
        words = _words(source)
        self._groups = [
            (group, {name for word in group for name in _placeholders(word)}) for group in _grouped(words)
        ]
        self._placeholders = set[str]().union(*(names for _, names in self._groups))
        self._needs_plain = not _SHELLS.isdisjoint(words)
        for program in _programs(words):
            if not program or any(_placeholders(program)):
                raise ValueError("expected a program to run, at the start and behind each |")

    def filled(self, names: Mapping[str, str]) -> str | None:
        """Return the command for `names`, which have a text for each placeholder; an empty one is lacking.

        An option whose value is lacking is left out. Where anything else is, or a name is not safe to run,
        there is no command.
        """
        if not all(self._is_safe(names[name]) for name in self._placeholders):
            return None
        words: list[str] = []
        for group, needed in self._groups:
            if all(names[name] for name in needed):
                words += (word if word == _PIPE else shlex.quote(word.format_map(names)) for word in group)
            elif not group[0].startswith("-"):
                return None
        return " ".join(words)

    def _is_safe(self, value: str) -> bool:
        if value.startswith("-") or one_line(value) != value:
            return False
        return not self._needs_plain or _PLAIN.fullmatch(value) is not None


def _words(source: str) -> list[str]:
    """Return the words that a shell would split a template into.

    Raises:
        ValueError: it would wait for more.
    """
    try:
        return shlex.split(source)
    except ValueError as error:
        what = "backslash with nothing behind it" if "escaped" in str(error) else "quote that is not closed"
        raise ValueError(f"expected words as for a shell, found a {what}") from error


def _placeholders(word: str) -> Iterator[str]:
    """Yield what a word of a template names.

    Raises:
        ValueError: there is no such name, or a brace stands alone.
    """
    known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
    try:
        parts = list(Formatter().parse(word))
    except ValueError as error:
        raise ValueError(
            f"expected {{{{ and }}}} for braces, and of placeholders {known}; found a brace alone in {word!r}"
        ) from error
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name not in PLACEHOLDERS:
            raise ValueError(f"{{{name}}} is no placeholder; there are {known}, and {{{{ is a brace")
        if form or conversion:
            raise ValueError(f"{word!r}: expected {{{name}}} as it is, without ! or : in it")
        yield name


def _grouped(words: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the words, an option together with the value that may be lacking."""
    position = 0
    while position < len(words):
        is_option = words[position].startswith("-") and words[position + 1 : position + 2]
        length = 2 if is_option and words[position + 1] in _OPTIONAL else 1
        yield tuple(words[position : position + length])
        position += length


def _programs(words: list[str]) -> Iterator[str]:
    """Yield the first word, and the one behind each pipe; nothing where there is none."""
    for before, word in zip([_PIPE, *words], [*words, ""], strict=True):
        if before == _PIPE:
            yield "" if word == _PIPE else word
