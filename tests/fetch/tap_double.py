"""A TAP service of ours over HTTP, with one table of stars and every fault that real ones have shown."""

import contextlib
import re
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import numpy as np

_STAR = (
    '<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
    '<RESOURCE type="results">'
)
_END = "</RESOURCE></VOTABLE>"


def votable(columns, units, status="OK", said=""):
    """A document of columns: lists by name."""
    fields = "".join(
        f'<FIELD name="{name}" ID="c{i}" datatype="{_kind(values)}" unit="{units.get(name, "")}"/>'
        for i, (name, values) in enumerate(columns.items())
    )
    rows = "".join(
        f"<TR>{''.join(f'<TD>{_cell(value)}</TD>' for value in row)}</TR>"
        for row in zip(*columns.values(), strict=True)
    )
    data = f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA>"
    before = f'<INFO name="QUERY_STATUS" value="OK"/><TABLE>{fields}{data}</TABLE>'
    after = f'<INFO name="QUERY_STATUS" value="{status}">{said}</INFO>' if status != "OK" else ""
    return f"{_STAR}{before}{after}{_END}"


def _kind(values):
    text = any(isinstance(value, str) for value in values)
    whole = not text and all(isinstance(value, int) for value in values) and len(values)
    return 'char" arraysize="*' if text else "long" if whole else "double"


def _cell(value):
    return "" if isinstance(value, float) and np.isnan(value) else str(value)


def error_document(said):
    return f'{_STAR}<INFO name="QUERY_STATUS" value="ERROR">{said}</INFO>{_END}'


class TapDouble:
    """The service; a context manager.

    Parameters
    ----------
    columns : dict of str to sequence [n_rows]
        Of the table, with ``ra`` and ``dec`` in degrees under any names.
    position : (str, str)
        Those names.
    units : dict of str to str
    table : str
    """

    def __init__(self, columns, position=("ra", "dec"), units=None, table="fp_psc"):
        self.columns = {name: list(values) for name, values in columns.items()}
        self.units = units or {}
        self.table = table
        self._position = [np.array(self.columns[name], float) for name in position]
        self.faults = deque()
        """What becomes of the next queries: None, or a method of `_Faults`."""
        self.limit = 10**9
        self.counts_too_many = 0
        self.queries = []
        self.times = []
        self.jobs = {}
        self.deleted = []
        self.polls_before_done = 1
        self.now, self.most_at_once = 0, 0
        self.lock = threading.Lock()

    def __enter__(self):
        double = self

        class Handler(_Handler):
            service = double

        self._server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/tap"
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query, max_rows):
        """The document for a query."""
        if "TAP_SCHEMA.columns" in query:
            named = re.findall(r"table_name = '([^']*)'", query)
            names = list(self.columns) if self.table in named else []
            return votable({"column_name": names, "unit": [self.units.get(n, "") for n in names]}, {})
        found = re.fullmatch(r"SELECT (.*) FROM (\S+) WHERE (.*)", query)
        if not found or found[2].strip('"') != self.table:
            return error_document(f"cannot parse {query}")
        rows = np.flatnonzero(self._inside(found[3]))
        if found[1].startswith("COUNT(*)"):
            return votable({"n_rows": [len(rows) + self.counts_too_many]}, {})
        names = [name.strip('"') for name in found[1].split(", ")]
        most = min(self.limit, max_rows)
        cut = {name: [self.columns[name][i] for i in rows[:most]] for name in names}
        return votable(cut, self.units, "OVERFLOW" if len(rows) > most else "OK")

    def _inside(self, where):
        ra, dec = self._position
        circle = re.search(r"CIRCLE\('ICRS', ([\d.+-]+), ([\d.+-]+), ([\d.+-]+)\)\) = 1", where)
        ra0, dec0, radius = np.radians([float(number) for number in circle.groups()])
        a, d = np.radians(ra), np.radians(dec)
        cosine = np.sin(d) * np.sin(dec0) + np.cos(d) * np.cos(dec0) * np.cos(a - ra0)
        inside = np.arccos(np.clip(cosine, -1, 1)) <= radius
        compare = {">=": np.greater_equal, "<": np.less, "<=": np.less_equal}
        conditions = re.findall(r'"?(\w+)"? (>=|<=|<) ([\d.+-]+)', where)
        for i, (name, sign, number) in enumerate(conditions):
            values = (ra, dec)[i // 2] if i < 4 else np.array(self.columns[name], float)
            inside &= compare[sign](values, float(number))
        return inside


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that went away is what the tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        form = {key: values[0] for key, values in form.items()}
        with self._counted():
            if self.path == "/tap/sync":
                self._query(form["QUERY"], int(form.get("MAXREC", 10**9)))
            elif self.path == "/tap/async":
                number = str(len(self.service.jobs))
                self.service.jobs[number] = {"form": form, "phase": "PENDING", "polls": 0}
                self._send(303, "", location=f"{self.service.url}/async/{number}")
            elif self.path.endswith("/phase"):
                self._job()["phase"] = "EXECUTING"
                self._send(303, "", location=f"{self.service.url}/async/{self.path.split('/')[3]}")

    def do_GET(self):
        with self._counted():
            if "/results/" in self.path:
                form = self._job()["form"]
                self._query(form["QUERY"], int(form.get("MAXREC", 10**9)))
                return
            job = self._job()
            if job["phase"] == "EXECUTING":
                job["polls"] += 1
                if job["polls"] > self.service.polls_before_done:
                    job["phase"] = "COMPLETED"
            self._send(200, self._job_document(job))

    def do_DELETE(self):
        self.service.deleted.append(self.path.split("/")[3])
        self._send(200, "")

    def _job(self):
        return self.service.jobs[self.path.split("?")[0].split("/")[3]]

    def _job_document(self, job):
        number = self.path.split("?")[0].split("/")[3]
        result = f'<uws:result id="result" xlink:href="{self.service.url}/async/{number}/results/result"/>'
        return (
            '<uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" xmlns:xlink="http://www.w3.org/1999/xlink">'
            f"<uws:jobId>{number}</uws:jobId><uws:phase>{job['phase']}</uws:phase>"
            f"<uws:results>{result if job['phase'] == 'COMPLETED' else ''}</uws:results></uws:job>"
        )

    def _query(self, query, max_rows):
        service = self.service
        service.queries.append(query)
        service.times.append(time.monotonic())
        fault = service.faults.popleft() if service.faults else None
        document = service.answer(query, max_rows)
        if fault is None:
            self._send(200, document, "application/x-votable+xml")
        else:
            fault(self, document)

    def _send(self, status, text, kind="text/xml", location=None, retry_after=None, length=None):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            self.send_header("Location", location)
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    @contextlib.contextmanager
    def _counted(self):
        service = self.service
        with service.lock:
            service.now += 1
            service.most_at_once = max(service.most_at_once, service.now)
        try:
            yield
        finally:
            with service.lock:
                service.now -= 1


def http(status, retry_after=None):
    """A fault: a status, and perhaps when to come again."""
    return lambda handler, document: handler._send(status, "busy", "text/plain", retry_after=retry_after)


def html(handler, document):
    handler._send(200, "<!DOCTYPE html><html>maintenance</html>", "text/html")


def refuses(handler, document, status=400):
    handler._send(status, error_document("no such column: k_m"), "application/x-votable+xml")


def refuses_with_500(handler, document):
    refuses(handler, document, 500)


def error_with_200(handler, document):
    handler._send(200, error_document("query timed out"), "application/x-votable+xml")


def error_at_the_end(handler, document):
    """Rows, and after them that it failed."""
    said = '<INFO name="QUERY_STATUS" value="ERROR">out of memory</INFO>'
    handler._send(200, document.replace(_END, said + _END), "application/x-votable+xml")


def cut_short(handler, document):
    """A document that ends in its middle, as if it were whole."""
    handler._send(200, document[: len(document) // 2], "application/x-votable+xml")


def breaks_off(handler, document):
    """The connection goes in the middle of the document."""
    handler._send(200, document[: len(document) // 2], length=len(document.encode()))
    handler.close_connection = True


def no_answer(seconds):
    def wait(handler, document):
        time.sleep(seconds)
        handler.close_connection = True

    return wait


def drops_a_row(handler, document):
    """One row less than there are, without a word."""
    handler._send(200, re.sub(r"<TR>.*?</TR>", "", document, count=1), "application/x-votable+xml")
