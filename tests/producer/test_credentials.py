import json
import sys
import threading
from dataclasses import asdict

import pytest

from tests.waiting import until
from tocsin_producer import credentials as credentials_module
from tocsin_producer.credentials import Credentials
from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer

SERVER = ApiServer("https://10.0.0.1:6443", token="s3cret")
FOR_EVER = [sys.executable, "-c", "import threading; threading.Event().wait()"]


def program(text: str) -> Credentials:
    return Credentials([sys.executable, "-c", text])


def test_credentials_are_what_the_command_prints() -> None:
    assert program(f"print({json.dumps(asdict(SERVER))!r})").resolve() == SERVER


def test_the_last_line_of_its_errors_says_why_there_are_none() -> None:
    with pytest.raises(ResolveError, match=r"^the file is gone$"):
        program("import sys; sys.stderr.write('warning\\n'); sys.exit('the file is gone')").resolve()


@pytest.mark.parametrize("output", ['{"token": "s3cret"', '["s3cret"]', '{"s3cret": 1}', ""])
def test_an_output_that_makes_no_sense_does_not_show(output: str) -> None:
    with pytest.raises(ResolveError, match="the kubeconfig gave no credentials") as caught:
        program(f"print({output!r})").resolve()
    assert caught.value.__cause__ is None


def test_a_command_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials_module, "RESOLVE_SECONDS", 0.05)
    with pytest.raises(ResolveError, match="no credentials within"):
        Credentials(FOR_EVER).resolve()


def test_abort_ends_the_command_for_good() -> None:
    credentials = Credentials(FOR_EVER)
    outcomes: list[str] = []

    def resolve() -> None:
        with pytest.raises(ResolveError) as caught:
            credentials.resolve()
        outcomes.append(str(caught.value))

    thread = threading.Thread(target=resolve)
    thread.start()
    until(lambda: credentials._process is not None)
    credentials.abort()
    thread.join()
    resolve()
    assert outcomes == ["the kubeconfig gave no credentials", "stopping"]
