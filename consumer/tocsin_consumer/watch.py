"""How others see that the consumer works: who asks is answered, and who wants to be told is told."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from tocsin_consumer.health import Health
from tocsin_consumer.heartbeat import Heartbeat
from tocsin_consumer.job import Job
from tocsin_consumer.metrics import Metrics
from tocsin_consumer.probes import ProbeServer, verdict
from tocsin_consumer.receivers.http import Webhook
from tocsin_consumer.settings import ConsumerSettings

#: How long to wait for the answer to a heartbeat.
_HEARTBEAT_TIMEOUT: Final = timedelta(seconds=10)


def watch_jobs(settings: ConsumerSettings, health: Health, metrics: Metrics) -> Iterator[Job]:
    """Yield what is configured of it.

    Raises:
        ListenError: nobody can listen at the address that is configured.
    """
    if settings.http is not None:
        pages = {
            "/healthz": lambda: verdict(health.stuck()),
            "/readyz": lambda: verdict(health.unready()),
            "/metrics": metrics.page,
        }
        server = ProbeServer(settings.http.address, pages)
        yield Job("http", server.run, close=server.close)
    if settings.heartbeat is not None:
        webhook = Webhook(settings.heartbeat.address, timeout=_HEARTBEAT_TIMEOUT)
        heartbeat = Heartbeat(webhook, problems=health.unready, every=settings.heartbeat.every)
        yield Job("heartbeat", heartbeat.run)
