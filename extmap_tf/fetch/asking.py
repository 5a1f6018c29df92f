"""Asking a TAP service, politely: again after a pause where that may help, and not for ever."""

import contextlib
import email.utils
import random
import re
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

import pyvo.dal.exceptions as dal
import requests
from astropy.io.votable.exceptions import VOWarning
from pyvo.dal.tap import AsyncTAPJob, TAPQuery, TAPResults
from pyvo.utils.http import create_session

from extmap_tf import __version__
from extmap_tf.catalogs.completeness import cut_off
from extmap_tf.catalogs.formats.base import MAX_WHOLE_BYTES
from extmap_tf.catalogs.formats.votable import parse_votable, remarks_of
from extmap_tf.errors import DataError, ServiceError

if TYPE_CHECKING:
    import numpy as np

_PASSING = (408, 425, 429, 500, 502, 503, 504)
# Of what describes a job.
_UNREADABLE = (ExpatError, VOWarning, ValueError, LookupError, TypeError, AttributeError)
_ENDED = ("COMPLETED", "ERROR", "ABORTED")
_PART_BYTES = 1 << 20
_LONGEST_POLL_S = 20.0


@dataclass(frozen=True)
class Manners:
    """How a service is treated.

    Parameters
    ----------
    retries : int
        How often a request is repeated that failed for a reason that may pass.
    timeout_s : float
        Most of the silence within a request; a job may take ten times as long.
    first_pause_s : float
        Before the first repetition. Each further one waits twice as long, times a random factor of 0.5 to
        1.5, and never shorter than the service asks for.
    longest_pause_s : float
        Most of a pause; a service that asks for more is an error.
    """

    retries: int = 6
    timeout_s: float = 300.0
    first_pause_s: float = 2.0
    longest_pause_s: float = 600.0


@dataclass(frozen=True)
class Answer:
    """What a query gave.

    Parameters
    ----------
    columns : dict of str to numpy.ma.MaskedArray [n_rows]
        In the order of the query, by the names that the service gives them.
    overflow : bool
        Whether the service says that there were more rows.
    """

    columns: "dict[str, np.ma.MaskedArray]"
    overflow: bool

    @property
    def n_rows(self) -> int:
        return len(next(iter(self.columns.values())))


class _Passing(Exception):
    """What may be over when one asks again."""

    def __init__(self, reason: object, after_s: float = 0.0) -> None:
        super().__init__(" ".join(str(reason).split())[:300])
        self.after_s = after_s


class _Session(requests.Session):
    """Never waits for ever, and ends all of its connections when it is closed."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        # Those of errors, too, which nobody else closes.
        self._responses: weakref.WeakSet[requests.Response] = weakref.WeakSet()

    def request(self, *args: Any, **how: Any) -> requests.Response:
        how.setdefault("timeout", self._timeout_s)
        response = super().request(*args, **how)
        self._responses.add(response)
        return response

    def close(self) -> None:
        for response in list(self._responses):
            response.close()
        super().close()


class TapClient:
    """A TAP service and how it is asked.

    Parameters
    ----------
    url : str
    mode : {"sync", "async"}
        For rows; what is small is always asked for in one request.
    manners : Manners
    note : callable
        Takes a line about a repetition.
    """

    def __init__(
        self, url: str, mode: str, manners: Manners, note: Callable[[str], None] = lambda line: None
    ) -> None:
        self.url = url
        self.note = note
        self._mode, self._manners = mode, manners
        self._session = _Session(manners.timeout_s)
        software = create_session().headers["User-Agent"]
        self._session.headers["User-Agent"] = f"extmap_tf/{__version__} {software!s}"

    def close(self) -> None:
        """End the connections that are kept; the next request makes a new one."""
        self._session.close()

    def units_by_column(self, table: str) -> dict[str, str]:
        """The columns of a table, with their units or an empty text.

        Raises
        ------
        ServiceError
            The service has no such table, or as `rows`.
        """
        bare = table.replace('"', "").replace("'", "")
        answer = self.small(
            "SELECT column_name, unit FROM TAP_SCHEMA.columns "
            f"WHERE table_name = '{bare}' OR table_name = '\"{bare}\"'"
        )
        if not answer.n_rows:
            raise ServiceError(f"{self.url}: no table {table}: name another with --table")
        names, units = (_texts(column) for column in answer.columns.values())
        return {name.strip('"'): unit for name, unit in zip(names, units, strict=True)}

    def count(self, table: str, where: str) -> int:
        """How many rows there are."""
        answer = self.small(f"SELECT COUNT(*) AS n_rows FROM {table} WHERE {where}")
        values = next(iter(answer.columns.values()))
        try:
            (count,) = (int(value) for value in values)
        except (ValueError, TypeError):
            raise ServiceError(f"{self.url}: no number of rows in the response to COUNT(*)") from None
        return count

    def small(self, query: str) -> Answer:
        """As `rows`, in one request, with the service's own limit of rows."""
        return self._ask(query, None, "sync")

    def rows(self, query: str, max_rows: int) -> Answer:
        """What a query gives, at most `max_rows` of it.

        Raises
        ------
        ServiceError
            The service cannot be reached or fails again and again, or it refuses the query.
        """
        return self._ask(query, max_rows, self._mode)

    def _ask(self, query, max_rows, mode):
        once = self._by_job if mode == "async" else self._at_once
        for n_before in range(self._manners.retries + 1):
            try:
                return once(query, max_rows)
            except _Passing as error:
                if n_before == self._manners.retries:
                    times = "" if n_before == 0 else f" ({n_before + 1} times)"
                    raise ServiceError(f"{self.url}: {error}{times}: run the command again later") from None
                self._pause(error, n_before)
        raise AssertionError("unreachable")

    def _pause(self, error, n_before):
        manners = self._manners
        if error.after_s > manners.longest_pause_s:
            raise ServiceError(
                f"{self.url}: {error}; it asks to wait {error.after_s:,.0f} s: run the command again later"
            )
        own_s = manners.first_pause_s * 2.0**n_before * random.uniform(0.5, 1.5)
        seconds = min(max(own_s, error.after_s), manners.longest_pause_s)
        self.note(f"{self.url}: {error}; again in {seconds:.0f} s ({n_before + 1} of {manners.retries})")
        time.sleep(seconds)

    def _at_once(self, query, max_rows):
        with _explained(self.url):
            asked = TAPQuery(self.url, query, mode="sync", maxrec=max_rows, session=self._session)
            with contextlib.closing(asked.submit()) as response:
                return self._read(response)

    def _by_job(self, query, max_rows):
        with (
            _explained(self.url),
            AsyncTAPJob.create(self.url, query, maxrec=max_rows, session=self._session) as job,
        ):
            job.run()
            self._wait_for(job)
            job.raise_if_error()
            if job.result_uri is None:
                raise _Passing("a job without a result")
            with contextlib.closing(self._session.get(job.result_uri, stream=True)) as response:
                return self._read(response)

    def _wait_for(self, job):
        start, pause_s = time.monotonic(), min(1.0, self._manners.first_pause_s)
        while job.phase not in _ENDED:
            if time.monotonic() - start > 10.0 * self._manners.timeout_s:
                raise ServiceError(
                    f"{self.url}: a job was not done after {10.0 * self._manners.timeout_s:,.0f} s: give a "
                    "longer --timeout or smaller --max-rows"
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_POLL_S)

    def _read(self, response):
        raw, n_bytes = [], 0
        for part in response.iter_content(_PART_BYTES):
            raw.append(part)
            n_bytes += len(part)
            if n_bytes > MAX_WHOLE_BYTES:
                raise ServiceError(
                    f"{self.url}: a response of more than {MAX_WHOLE_BYTES >> 20} MB: give smaller --max-rows"
                )
        body = b"".join(raw)
        passing = _Passing(_http_text(response), _retry_after_s(response.headers.get("Retry-After")))
        # What a service says in a document of its own about HTTP 500 is an error in the query.
        if response.status_code in _PASSING and response.status_code != 500:
            raise passing
        try:
            document = parse_votable(body, "no TAP response")
            table = TAPResults(document, url=self.url, session=self._session).resultstable
        except (DataError, dal.DALFormatError) as error:
            if response.status_code < 400:
                raise _Passing(str(error).split(": fetch ")[0]) from None
            if response.status_code == 500:
                raise passing from None
        if response.status_code >= 400:
            raise ServiceError(f"{self.url}: {_http_text(response, body)}")
        array = table.array
        columns = {field.name: array[field.ID] for field in table.fields}
        return Answer(columns, cut_off(remarks_of(document)) is not None)


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """What pyvo and requests raise, as a `ServiceError` or as what may pass."""
    try:
        yield
    except dal.DALQueryError as error:
        raise ServiceError(f"{url}: the service refuses the query: {_short(error.reason)}") from None
    except dal.DALServiceError as error:
        response = getattr(error.cause, "response", None)
        if response is None and isinstance(error.cause, requests.RequestException):
            raise _of_requests(url, error.cause) from None
        if error.code in _PASSING:
            after = response.headers.get("Retry-After") if response is not None else None
            raise _Passing(f"HTTP {error.code}", _retry_after_s(after)) from None
        raise ServiceError(f"{url}: {_short(error.reason)}") from None
    except requests.RequestException as error:
        raise _of_requests(url, error) from None
    except _UNREADABLE as error:
        raise _Passing(f"no TAP response: {error}") from None


def _of_requests(url, error):
    never = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, requests.TooManyRedirects)
    if isinstance(error, never):
        return ServiceError(f"{url}: {_short(error)}")
    if isinstance(error, requests.Timeout):
        return _Passing("no response in time")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _Passing("the response broke off")
    return _Passing(f"cannot be reached ({_reason_of(error)})")


def _reason_of(error):
    """The innermost words of a chain of errors: "Connection refused"."""
    text = _short(error)
    found = re.search(r"(?<=\] )[\w ]+|Remote end closed connection|certificate verify failed", text)
    return found[0] if found else text


def _http_text(response, body=b""):
    plain = "text/plain" in response.headers.get("Content-Type", "")
    said = f": {_short(body.decode(errors='replace'))}" if plain and body else ""
    return f"HTTP {response.status_code} {response.reason}{said}"


def _retry_after_s(text):
    """Seconds that a header Retry-After asks for, as a number or as a date; 0 where it says neither."""
    if not text:
        return 0.0
    if text.strip().isdigit():
        return float(text.strip()[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0


def _short(text):
    return " ".join(str(text).split())[:300]


def _texts(column):
    return ["" if value is None else _decoded(value) for value in column.filled("").tolist()]


def _decoded(value):
    return value.decode() if isinstance(value, bytes) else str(value)
