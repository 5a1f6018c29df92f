"""What the two ways to a model server have in common."""

from dataclasses import dataclass

from extmap_tf.errors import ServingError


class UnavailableError(ServingError):
    """The server is not there or not ready: asking again later may help."""


@dataclass(frozen=True)
class ModelAddress:
    """Where a model is served.

    Parameters
    ----------
    url : str
        As the user gave it; for messages.
    host : str
        ``HOST:PORT``.
    secure : bool
        Whether to use TLS.
    model : str
    version : int or None
        None for the newest.
    """

    url: str
    host: str
    secure: bool
    model: str
    version: int | None = None

    def __str__(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        return f"{self.url} (model {self.model}{version})"


@dataclass(frozen=True)
class VersionStatus:
    """State of one version of a model, as the server tells it (``AVAILABLE``, ``LOADING``, ...)."""

    version: int
    state: str
    message: str
