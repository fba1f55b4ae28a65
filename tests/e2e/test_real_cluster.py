"""A real API server, where there is one: `KUBECONFIG_FOR_TESTS=~/.kube/config make test ARGS='-k real_cluster'`.

It creates Events in the namespace `default` of the kubeconfig's current context and finds them at a receiver.
The Events are deleted afterwards; nothing else in the cluster is touched.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.stage.site import Site
from tests.waiting import until

KUBECONFIG = os.environ.get("KUBECONFIG_FOR_TESTS")

pytestmark = [
    pytest.mark.broker,
    pytest.mark.cluster,
    pytest.mark.skipif(KUBECONFIG is None, reason="KUBECONFIG_FOR_TESTS names no cluster"),
]

CreateEvent = Callable[..., str]


@pytest.fixture
def api() -> Any:
    from kubernetes import client, config  # noqa: PLC0415 - for these tests only

    config.load_kube_config(config_file=KUBECONFIG)  # type: ignore[no-untyped-call] # untyped in the package
    return client.CoreV1Api()


@pytest.fixture
def create(api: Any) -> Iterator[CreateEvent]:
    names: list[str] = []

    def create_event(**changes: Any) -> str:
        """Create an Event and return its uid."""
        name = f"tocsin-test-{uuid.uuid4().hex[:12]}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body: dict[str, Any] = {
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": name},
            "type": "Warning",
            "reason": "TocsinTest",
            "message": "an event of tocsin's tests",
            "source": {"component": "tocsin-tests"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        created = api.create_namespaced_event("default", body | changes)
        names.append(name)
        return str(created.metadata.uid)

    yield create_event
    for name in names:
        api.delete_namespaced_event(name, "default")


@pytest.fixture
def real_site(site: Site) -> Site:
    """A site whose producer watches the real cluster."""
    assert KUBECONFIG is not None
    site.producer.environment["KUBECONFIG"] = KUBECONFIG
    site.start_consumer()
    site.run_producer()
    site.producer.wait_for_log("connected to")
    return site


def test_an_event_of_a_real_cluster_arrives(real_site: Site, create: CreateEvent) -> None:
    before = create()
    until(lambda: (before, 1) in real_site.states(), within_seconds=60)
    now = create()
    until(lambda: (now, 1) in real_site.states(), within_seconds=60)


def test_a_grown_count_of_a_real_event_arrives(real_site: Site, create: CreateEvent, api: Any) -> None:
    uid = create()
    until(lambda: (uid, 1) in real_site.states(), within_seconds=60)
    name = next(event["name"] for event in real_site.recorded() if event["uid"] == uid)
    api.patch_namespaced_event(name, "default", {"count": 5})
    until(lambda: (uid, 5) in real_site.states(), within_seconds=60)


def test_a_normal_event_of_a_real_cluster_does_not_arrive(real_site: Site, create: CreateEvent) -> None:
    normal, warning = create(type="Normal"), create()
    until(lambda: (warning, 1) in real_site.states(), within_seconds=60)
    assert normal not in dict(real_site.states())
