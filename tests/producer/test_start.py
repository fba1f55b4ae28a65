import subprocess
import sys

import pytest

from tocsin_producer.start import put_off

#: The test's own process has long loaded them all.
_PREAMBLE = "import sys; from tocsin_producer import start; start.put_off(*start.PUT_OFF); start.load_paho(); "


def run(program: str) -> str:
    command = [sys.executable, "-P", "-c", _PREAMBLE + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_the_agent_imports_loads_nothing_that_was_put_off() -> None:
    loaded = "[name for name in start.PUT_OFF if type(sys.modules[name]) is not start.PutOff]"
    assert run(f"import tocsin_producer.agent; print({loaded})") == "[]"


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("import hashlib; print(hashlib.sha1(b'').hexdigest()[:6])", "da39a3"),
        ("from uuid import UUID; print(UUID(int=0).hex[:4])", "0000"),
        ("import urllib.request; print(callable(urllib.request.getproxies))", "True"),
        ("import tempfile; tempfile.TemporaryFile().close(); import tempfile; print(tempfile.template)", "tmp"),
    ],
)
def test_a_module_that_was_put_off_is_loaded_when_it_is_used(use: str, result: str) -> None:
    assert run(use) == result


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


def test_threads_that_use_one_at_the_same_moment_all_get_it() -> None:
    program = (
        "import threading, uuid; found = []; "
        "threads = [threading.Thread(target=lambda: found.append(uuid.UUID(int=1).int)) for _ in range(50)]; "
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; print(sum(found))"
    )
    assert run(program) == "50"


def test_what_is_loaded_already_stays_as_it_is() -> None:
    before = {name: sys.modules.get(name) for name in ("json", "threading")}
    put_off(*before)
    assert {name: sys.modules.get(name) for name in before} == before
