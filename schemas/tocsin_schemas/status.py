"""The payload of a producer's status on the wire, version 1; retained, and the will is its offline form."""

from typing import Literal

from pydantic import Field

from tocsin_schemas.event import Counter, EpochSeconds, Payload


class StatusPayload(Payload):
    """Whether a cluster's producer is connected, and how it stands."""

    state: Literal["online", "offline"] = Field(description="Whether the producer is connected.")
    boot: Counter = Field(
        description="Boot of the producer, rising: an offline of an older boot than the last online is stale.",
    )
    since: EpochSeconds = Field(description="When this boot of the producer began, UTC epoch seconds.")
    version: str = Field(description="Version of the producer.")
    k8s: str | None = Field(default=None, description="Version of the API server, once it is known.")
    waiting: Counter = Field(default=0, description="Events in the producer's outbox.")
    lost: Counter = Field(default=0, description="Events that the producer had to give up since its state began.")
    held: Counter = Field(
        default=0, description="Of those waiting: how many may not go today, as the budget for the link is spent."
    )
