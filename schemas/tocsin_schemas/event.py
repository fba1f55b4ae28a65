"""The payload of an event on the wire, version 1."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from tocsin_schemas.topics import CLUSTER_PATTERN

#: The version of the wire that this package speaks.
VERSION: Final = 1

#: Seconds since 1970-01-01 UTC, up to the end of the year 9999: the last that a date can hold.
EpochSeconds = Annotated[int, Field(ge=0, le=253_402_300_799)]
ClusterName = Annotated[str, Field(pattern=f"^{CLUSTER_PATTERN.pattern}$")]
Counter = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _refuse_other_types(version: object) -> object:
    """Refuse true and 1.0, which Python takes for 1."""
    return version if type(version) is int else None


class Payload(BaseModel):
    """What every payload of the wire has in common: frozen, strict in what it knows, open to what it does not.

    A reader keeps fields that it does not know, so that a newer producer can add some. A field that is not
    there is absent; it is never null.
    """

    #: Texts are not cached: 16,384 of them would be kept, and most, such as a uid, never come again.
    model_config = ConfigDict(frozen=True, extra="allow", strict=True, populate_by_name=True, cache_strings="keys")

    v: Annotated[Literal[1], BeforeValidator(_refuse_other_types)] = Field(
        description="Major version of the wire; a reader refuses one that it does not know."
    )
    cluster: ClusterName = Field(description="The cluster's name, the same as in the topic.")


class EventPayload(Payload):
    """One state of one Kubernetes Event: the same `cluster` and `uid` return with a grown `count`."""

    type: str = Field(min_length=1, description="Normal or Warning; Kubernetes may add others.")
    reason: str = Field(description="Why, in CamelCase, such as BackOff.")
    kind: str = Field(description="Kind of the involved object, such as Pod.")
    ns: str | None = Field(
        default=None,
        min_length=1,
        description="Namespace of the involved object; absent when it is cluster-scoped.",
    )
    name: str = Field(description="Name of the involved object.")
    field: str | None = Field(
        default=None,
        description="Path within the involved object, such as spec.containers{api}.",
    )
    msg: str = Field(description="Message, cut at the producer's limit and then ending in an ellipsis.")
    count: int = Field(ge=1, le=2**63 - 1, description="Occurrences so far.")
    first: EpochSeconds = Field(description="First occurrence, UTC epoch seconds.")
    last: EpochSeconds = Field(description="Last occurrence, UTC epoch seconds.")
    from_: str | None = Field(
        default=None,
        alias="from",
        description="Component that reported it, such as kubelet.",
    )
    node: str | None = Field(default=None, description="Node that it was reported from or is about.")
    uid: str = Field(min_length=1, max_length=128, description="UID of the Event.")
    boot: Counter = Field(description="Boot of the producer, rising; `seq` counts within it.")
    seq: Counter = Field(description="Rises by one per event published in this boot: a reader sees a gap.")
