"""How both configuration files match text: a string is an anchored regular expression, a list exact values."""

import re
from collections.abc import Callable, Mapping

#: What a person writes: a regular expression that must match the whole text, or a list of exact values.
Pattern = str | list[str]
TextTest = Callable[[str], bool]


def compile_pattern(pattern: Pattern) -> TextTest:
    """Return the test that `pattern` stands for.

    Raises:
        re.error: the expression does not compile.
    """
    if isinstance(pattern, list):
        return frozenset(pattern).__contains__
    try:
        matches = re.compile(pattern, re.DOTALL).fullmatch
    except (OverflowError, RecursionError) as error:  # a{9999999999}, ten thousand brackets
        raise re.error(str(error)) from error
    return lambda text: matches(text) is not None


def literals(pattern: Pattern) -> list[str] | None:
    """Return the only texts that `pattern` can match, or None when it is a real expression."""
    if isinstance(pattern, list):
        return pattern
    return [pattern] if re.fullmatch(r"[\w-]+", pattern) else None


class Match:
    """All of several fields have to hold; no fields at all match everything.

    A field that a text lacks counts as empty.
    """

    def __init__(self, patterns: Mapping[str, Pattern]) -> None:
        self._tests = {field: compile_pattern(pattern) for field, pattern in patterns.items()}

    def __call__(self, texts: Mapping[str, str | None]) -> bool:
        """Tell whether every field that has a pattern matches it in `texts`."""
        return all(test(texts.get(field) or "") for field, test in self._tests.items())
