"""The way to the API server, with the stand-in that answers as the real one does."""

import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.fakes.apiserver import ApiServer as StandIn
from tests.fakes.apiserver_faults import AnswerNext
from tests.schemas.checkups import Report
from tocsin_producer.doctor_api import check_api
from tocsin_producer.errors import ResolveError
from tocsin_producer.plan import ApiServer
from tocsin_producer.resolve import from_kubeconfig
from tocsin_producer.watch import EVENTS
from tocsin_schemas.checkup import Mark

SELECTORS = ["type=Warning", "involvedObject.kind=Node,type=Normal"]
TOKEN = "api-t0ken"


@pytest.fixture
def api() -> Iterator[StandIn]:
    with StandIn(token=TOKEN) as api:
        yield api


def examined(
    server: ApiServer, *, seconds: float = 10.0, ahead: timedelta = timedelta(), wherefrom: str = "kubeconfig"
) -> Report:
    report = Report()
    check_api(
        report.checkup,
        lambda: server,
        SELECTORS,
        wherefrom=wherefrom,
        seconds=seconds,
        now=lambda: datetime.now(UTC) + ahead,
    )
    return report


def known(api: StandIn) -> ApiServer:
    return ApiServer(api.url, token=TOKEN)


def test_an_api_server_that_is_fine_is_told_with_version_and_permissions(api: StandIn) -> None:
    report = examined(known(api))
    assert set(report.marks().values()) == {Mark.OK}
    assert report["API server answers"].text == "it is Kubernetes v1.36.2"
    assert report["list Events"].text == "allowed: type=Warning; involvedObject.kind=Node,type=Normal"
    assert TOKEN not in report.told()


def test_it_asks_for_what_the_producer_will_ask_for_and_for_little_of_it(api: StandIn) -> None:
    examined(known(api))
    asked = [request for request in api.requests if request.path == EVENTS]
    assert [request.query["fieldSelector"] for request in asked] == SELECTORS * 2
    assert [request.query.get("limit") for request in asked] == ["1", "1", None, None]
    assert [request.is_watch for request in asked] == [False, False, True, True]


def test_no_watch_is_left_open(api: StandIn) -> None:
    examined(known(api))
    api.wait_until(lambda: not api.watches)


def test_nowhere_to_go_is_told_with_what_to_give() -> None:
    def resolve() -> ApiServer:
        raise ResolveError(
            "not in a cluster (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig or KUBECONFIG"
        )

    report = Report()
    check_api(report.checkup, resolve, SELECTORS, wherefrom="the Pod")
    finding = report.only_failure()
    assert "KUBERNETES_SERVICE_HOST is not set" in finding.text
    assert "--kubeconfig FILE" in finding.run
    assert report["list Events"].text == "not looked at: it needs API server"


def test_a_kubeconfig_that_is_not_there_is_not_taken_for_one_that_is_not_named() -> None:
    report = Report()
    check_api(report.checkup, lambda: from_kubeconfig("nothere"), SELECTORS, wherefrom="nothere")
    finding = report.only_failure()
    assert finding.text == "nothere: no such kubeconfig file"
    assert "the path is wrong" in finding.cause
    assert finding.run == "kubectl config view --kubeconfig nothere"


def test_a_command_of_a_kubeconfig_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tocsin_producer.doctor_api.RESOLVE_SECONDS", 0.05)
    released = threading.Event()

    def resolve() -> ApiServer:
        released.wait(20)
        raise ResolveError("too late")

    report = Report()
    check_api(report.checkup, resolve, SELECTORS, wherefrom="kubeconfig")
    released.set()
    assert "a command that the kubeconfig names hangs" in report.only_failure().cause


def test_401_is_a_token_or_a_clock(api: StandIn) -> None:
    api.rotate_token("another")
    report = examined(known(api), ahead=timedelta(minutes=10))
    finding = report.only_failure()
    assert finding is report["API server answers"]
    assert finding.text == "the API server does not know us: 401 Unauthorized"
    assert "the token has expired" in finding.cause
    assert "kubectl auth whoami" in finding.run
    assert report["clock"].text == "the clock of this machine is 10 minutes ahead of that of the API server"
    assert TOKEN not in report.told()


@pytest.mark.parametrize(("verb", "steps"), [("list", ["list Events"]), ("watch", ["watch Events"])])
def test_403_names_who_may_not_do_what_and_how_to_ask_for_it(api: StandIn, verb: str, steps: list[str]) -> None:
    with api.faulty(AnswerNext(403, verb=verb)):  # type: ignore[arg-type]
        report = examined(known(api))
    assert [name for name, mark in report.marks().items() if mark == Mark.FAILED] == steps


def test_a_role_that_is_missing_is_told_with_the_account_that_lacks_it(api: StandIn) -> None:
    api.forbid()
    report = examined(known(api))
    finding = report.only_failure()
    user = "system:serviceaccount:monitoring:tocsin"
    assert finding.text == f"{user} may not list Events"
    assert "ClusterRole or its binding is missing" in finding.cause
    assert finding.run.startswith(f"kubectl auth can-i list events -A --as={user}")
    assert report["watch Events"].mark == Mark.SKIPPED


def test_a_server_that_hangs_is_given_up(api: StandIn) -> None:
    api.hang()
    report = examined(known(api), seconds=0.3)
    finding = report.only_failure()
    assert report["API server TCP"].mark == Mark.OK
    assert finding.text == "the API server does not answer: no answer within 0.3 s"
    assert "it hangs" in finding.cause
    assert "readyz" in finding.run


def test_a_server_that_cuts_is_told(api: StandIn) -> None:
    with api.faulty(AnswerNext(503, times=5)):
        finding = examined(known(api)).only_failure()
    assert finding.text.startswith("the API server answers 503")
    assert "overloaded" in finding.cause


def test_a_server_that_is_down_is_told_by_its_port(api: StandIn) -> None:
    api.refuse_connections()
    report = examined(known(api))
    assert report.only_failure() is report["API server TCP"]
    assert "the port in kubeconfig is wrong" in report.only_failure().cause
    assert report["list Events"].text == "not looked at: it needs API server TCP"


def test_a_token_that_is_none_is_told_without_it(api: StandIn, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("two words")
    report = examined(ApiServer(api.url, token_file=str(tmp_path / "token")))
    assert report.only_failure().text.startswith("the API server does not know us: the token has a blank")
    assert "two words" not in report.told()


def test_a_certificate_of_another_cluster_is_told_with_where_to_get_the_right_one() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    other = trustme.CA().cert_pem.bytes().decode()
    with StandIn(ssl_context=context, token=TOKEN) as api:
        good = examined(ApiServer(api.url, ca=authority.cert_pem.bytes().decode(), token=TOKEN))
        bad = examined(ApiServer(api.url, ca=other, token=TOKEN), wherefrom="/etc/rancher/k3s/k3s.yaml")
    assert good["API server TLS"].mark == Mark.OK
    assert "which the CA of /etc/rancher/k3s/k3s.yaml does not name" in bad.only_failure().cause
    assert bad.only_failure().run.startswith("take the kubeconfig anew")
