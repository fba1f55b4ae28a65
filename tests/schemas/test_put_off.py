import subprocess
import sys

import pytest

from tocsin_schemas.put_off import put_off

#: The test's own process has long loaded them all.
_PREAMBLE = (
    "import sys; from tocsin_schemas.put_off import put_off; put_off({names}, {{'random': {{'uniform': max}}}}); "
)


def run(program: str, *names: str) -> str:
    command = [sys.executable, "-P", "-c", _PREAMBLE.format(names=names) + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_module_that_is_imported_and_not_used_is_not_loaded() -> None:
    assert run("import uuid; print(type(sys.modules['uuid']).__name__)", "uuid") == "PutOff"


@pytest.mark.parametrize(
    ("name", "use", "result"),
    [
        ("hashlib", "import hashlib; print(hashlib.sha1(b'').hexdigest()[:6])", "da39a3"),
        ("uuid", "from uuid import UUID; print(UUID(int=0).hex[:4])", "0000"),
        ("urllib.request", "import urllib.request; print(callable(urllib.request.getproxies))", "True"),
        (
            "tempfile",
            "import tempfile; tempfile.TemporaryFile().close(); import tempfile; print(tempfile.template)",
            "tmp",
        ),
    ],
)
def test_a_module_that_was_put_off_is_loaded_when_it_is_used(name: str, use: str, result: str) -> None:
    assert run(use, name) == result


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("print(random.uniform(0, 1), type(random).__name__)", "1 PutOff"),
        ("print(random.choice([7]), random.uniform is not max)", "7 True"),
    ],
)
def test_what_is_ready_is_answered_without_loading_the_module(use: str, result: str) -> None:
    assert run(f"import random; {use}", "random") == result


def test_threads_that_use_one_at_the_same_moment_all_get_it() -> None:
    program = (
        "import threading, uuid; found = []; "
        "threads = [threading.Thread(target=lambda: found.append(uuid.UUID(int=1).int)) for _ in range(50)]; "
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; print(sum(found))"
    )
    assert run(program, "uuid") == "50"


def test_what_is_loaded_already_stays_as_it_is() -> None:
    before = {name: sys.modules.get(name) for name in ("json", "threading")}
    put_off(tuple(before))
    assert {name: sys.modules.get(name) for name in before} == before
