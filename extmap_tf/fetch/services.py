"""The archives that a survey's stars can be had from."""

import re
from dataclasses import dataclass

from extmap_tf.errors import ConfigError

MODES = ("sync", "async")


@dataclass(frozen=True)
class Service:
    """A table of a TAP service (IVOA TAP 1.1).

    Parameters
    ----------
    name : str
    url : str
        Of the service, without ``/sync`` or ``/async``.
    table : str
        As the service's TAP_SCHEMA names it.
    mode : {"sync", "async"}
        How rows are asked for: in one request, or as a job that is waited for.
    """

    name: str
    url: str
    table: str
    mode: str = "sync"


_IRSA = "https://irsa.ipac.caltech.edu/TAP"
_VIZIER = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap"
_GAIA = "https://gea.esac.esa.int/tap-server/tap"

# By survey, the default first. The Gaia archive gives a request at most 2,000 rows, a job 3 million.
SERVICES = {
    "2mass": (Service("irsa", _IRSA, "fp_psc"), Service("vizier", _VIZIER, "II/246/out")),
    "gaia_dr3": (
        Service("gaia", _GAIA, "gaiadr3.gaia_source", "async"),
        Service("vizier", _VIZIER, "I/355/gaiadr3"),
    ),
}


def choose_service(
    survey: str, name_or_url: str | None = None, table: str | None = None, mode: str | None = None
) -> Service:
    """The service to ask.

    Parameters
    ----------
    survey : str
        A key of `SERVICES`.
    name_or_url : str, optional
        One of the known, or the address of another; by default the survey's first.
    table, mode : str, optional
        In place of the service's own; the address of another service needs a table.

    Raises
    ------
    ConfigError
        There is no such service, or an address without a table.
    """
    known = {service.name: service for service in SERVICES[survey]}
    chosen = known.get(name_or_url or next(iter(known)))
    if chosen is None:
        if not re.match(r"https?://[^/]", str(name_or_url)):
            raise ConfigError(
                f"--service must be {', '.join(known)} or an address (https://...), got: {name_or_url}"
            )
        if not table:
            raise ConfigError(f"--service {name_or_url}: name its table of {survey}, too: --table NAME")
        chosen = Service(str(name_or_url), re.sub(r"/?(/a?sync)?[/?]*$", "", str(name_or_url)), table)
    return Service(chosen.name, chosen.url, table or chosen.table, mode or chosen.mode)
