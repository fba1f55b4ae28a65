import subprocess
import sys

import pytest

#: The test's own process has long loaded them all.
_PREAMBLE = (
    "import sys; from tocsin_producer import start; from tocsin_schemas.put_off import PutOff, put_off; "
    "put_off(start.PUT_OFF, start.READY); start.load_paho(); "
)


def run(program: str) -> str:
    command = [sys.executable, "-P", "-c", _PREAMBLE + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_the_agent_imports_loads_nothing_that_was_put_off() -> None:
    loaded = "[name for name in start.PUT_OFF if type(sys.modules[name]) is not PutOff]"
    assert run(f"import tocsin_producer.agent; print({loaded})") == "[]"


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("import http.client, email; print(email.parser.Parser.__module__)", "tocsin_producer.headers"),
        ("import random; print(0 <= random.uniform(0, 1) < 1, type(random).__name__)", "True PutOff"),
        ("import dataclasses; print(type(sys.modules['inspect']).__name__)", "PutOff"),
        ("import random; print(random.choice([7]), 0 <= random.uniform(0, 1) <= 1)", "7 True"),
    ],
)
def test_what_is_always_asked_for_is_answered_without_loading_the_module(use: str, result: str) -> None:
    assert run(use) == result


def test_annotations_are_read_again_once_paho_is_there() -> None:
    program = "import typing; print(typing.get_type_hints(typing.NamedTuple('P', [('x', 'int')]))['x'] is int)"
    assert run(program) == "True"
