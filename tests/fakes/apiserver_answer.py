"""The answers of the API server, byte for byte as recorded where there is a recording."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

USER = "system:serviceaccount:monitoring:tocsin"
PLAIN_TEXT = "text/plain; charset=utf-8"
NOSNIFF: Mapping[str, str] = {"X-Content-Type-Options": "nosniff"}

_VERSION = """{
  "major": "1",
  "minor": "36",
  "emulationMajor": "1",
  "emulationMinor": "36",
  "minCompatibilityMajor": "1",
  "minCompatibilityMinor": "35",
  "gitVersion": "v1.36.2",
  "gitCommit": "$Format:%H$",
  "gitTreeState": "",
  "buildDate": "1970-01-01T00:00:00Z",
  "goVersion": "go1.26.6",
  "compiler": "gc",
  "platform": "linux/amd64"
}"""
_EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)
# encoding/json of Go writes these so that JSON may stand inside HTML.
_GO_ESCAPES = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """The request is refused with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, answer.body)
        self.answer = answer


def encode(value: object) -> bytes:
    """Write compact JSON and a line feed, as the server writes every body and every frame of a watch."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_GO_ESCAPES).encode() + b"\n"


def ok(value: object) -> Answer:
    """200 with `value` as JSON."""
    return Answer(200, encode(value))


def version() -> Answer:
    """`GET /version` as recorded."""
    return Answer(200, _VERSION.encode())


def healthy() -> Answer:
    """`GET /readyz` as recorded."""
    return Answer(200, b"ok", PLAIN_TEXT, NOSNIFF)


def status_object(
    code: int, reason: str, message: str, *, metadata: object = None, details: object = None
) -> dict[str, Any]:
    """Build a `Status` of failure, its fields in the server's order."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": metadata or {}, "status": "Failure"}
    status |= {"message": message, "reason": reason}
    if details is not None:
        status["details"] = details
    return status | {"code": code}


def bad_request(message: str) -> Answer:
    """400, as for a field label that Events do not have."""
    return Answer(400, encode(status_object(400, "BadRequest", message)))


def unauthorized() -> Answer:
    """401, as for a token that is missing, wrong or past its time."""
    return Answer(401, encode(status_object(401, "Unauthorized", "Unauthorized")))


def forbidden(message: str, details: Mapping[str, str]) -> Answer:
    """403, as for what no role allows."""
    body = encode(status_object(403, "Forbidden", message, details=details))
    return Answer(403, body, headers=NOSNIFF)


def invalid_option(name: str, message: str) -> Answer:
    """422 for parameters that do not go together (`ValidateListOptions` in apimachinery)."""
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {message}", "field": name}
    text = f'ListOptions.meta.k8s.io "" is invalid: {name}: Forbidden: {message}'
    details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]}
    return Answer(422, encode(status_object(422, "Invalid", text, details=details)))


def expired_continue(new_token: str) -> Answer:
    """410 for a continue token whose snapshot is compacted, with a token that goes on regardless."""
    status = status_object(410, "Expired", _EXPIRED_CONTINUE, metadata={"continue": new_token})
    return Answer(410, encode(status))


def expired_list() -> Answer:
    """410 for a list at an exact resourceVersion that is compacted."""
    message = "The resourceVersion for the provided list is too old."
    return Answer(410, encode(status_object(410, "Expired", message)))


def expired_watch() -> dict[str, Any]:
    """Build the `Status` that a watch from a compacted resourceVersion gets as its only frame."""
    return status_object(410, "Expired", "The resourceVersion for the provided watch is too old.")


def too_large_resource_version(wanted: int, current: int) -> Answer:
    """504 for a list not older than a resourceVersion of the future (`NewTooLargeResourceVersionError`)."""
    message = f"Too large resource version: {wanted}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    status = status_object(504, "Timeout", f"Timeout: {message}", details=details)
    return Answer(504, encode(status), headers={"Retry-After": "1"})


def too_many_requests(retry_after: str) -> Answer:
    """429 of priority and fairness, which is text and not a `Status` (apiserver `tooManyRequests`)."""
    body = b"Too many requests, please try again later.\n"
    return Answer(429, body, PLAIN_TEXT, {"Retry-After": retry_after, **NOSNIFF})
