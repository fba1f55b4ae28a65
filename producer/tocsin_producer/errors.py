"""What can go wrong in the producer, by what the caller does about it."""


class ProducerError(Exception):
    """Base of the producer's own errors."""


class MalformedEventError(ProducerError):
    """An object from the API server is not an Event that can be told; the text says why."""


class ResolveError(ProducerError):
    """There is no way to the API server; the text says what was looked for, and where."""


class StateError(ProducerError):
    """The state database cannot be used; the text says why."""


class ApiError(ProducerError):
    """The API server answered with a failure.

    Args:
        status: HTTP status, or the code of a Status object in a stream.
        message: the server's own words.
        retry_after: seconds that it asked us to wait.
    """

    def __init__(self, status: int, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.retry_after = retry_after


class ExpiredError(ApiError):
    """410: the resource version or the continue token is too old; only a new list helps."""


class ListenError(ProducerError):
    """Probes cannot be served at the address given; the text says why."""
