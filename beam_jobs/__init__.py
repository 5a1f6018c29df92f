"""Apache Beam jobs: options, thin transforms, graphs. The numerics are functions of `extmap_tf`.

Each job is a module to run, ``python -m beam_jobs.<job>``, and a command of ``extmap-tf``. That module has
the options and loads no Beam; the transforms are in the module of the same name in `graphs`.
"""

import logging
import os


def _not_of_beams_import(record):
    """On import Beam warns by the root logger of optional packages that are not there."""
    return record.levelno > logging.WARNING or f"{os.sep}apache_beam{os.sep}" not in record.pathname


logging.getLogger().addFilter(_not_of_beams_import)


def start_beam() -> None:
    """Import Apache Beam, and show the lines that our jobs log, our warnings, and of others errors alone."""
    import apache_beam  # noqa: F401

    # Beam sets up the root logger on import.
    logging.basicConfig(level=logging.ERROR, format="%(message)s", force=True)
    logging.getLogger("beam_jobs").setLevel(logging.INFO)
    logging.getLogger("extmap_tf").setLevel(logging.WARNING)
