"""Apache Beam jobs: options, thin transforms, graphs. The numerics are functions of `extmap_tf`.

Each job is a module to run, ``python -m beam_jobs.<job>``, and a subcommand of ``extmap-tf``.
"""

import logging

# On import Beam warns of optional packages that are not there.
logging.disable(logging.WARNING)
try:
    import apache_beam  # noqa: F401
finally:
    logging.disable(logging.NOTSET)
