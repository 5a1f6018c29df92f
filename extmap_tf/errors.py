"""Errors a user can mend. Each message is one line: what is wrong, where, and what to do."""


class ExtmapError(Exception):
    """Base of every error the command line reports in one line (exit status 1)."""


class ConfigError(ExtmapError):
    """A configuration has an unknown key or an impossible value; the message names its place."""


class DataError(ExtmapError):
    """A file cannot be used: missing, truncated, corrupted, or lacking a column."""


class MismatchError(ExtmapError):
    """Two things made for different configurations were fed to one another; the message names both."""


class ServingError(ExtmapError):
    """A model server cannot be reached, refuses a request, or gives a wrong response."""


class ServiceError(ExtmapError):
    """An archive cannot be reached, refuses a query, or gives a wrong response."""


def require(ok: object, name: str, what: object, owner: object) -> None:
    """Raise ConfigError unless `ok`: attribute `name` of `owner` must be `what`."""
    if not ok:
        raise ConfigError(f"{name} must be {what}, got: {getattr(owner, name)!r}")
