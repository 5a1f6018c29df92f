"""A worker process of the local runner: Beam's own, silent, and gone when the job or another worker is.

`beam_jobs.local` starts it, as `beam_jobs.local.WORKER` says.
"""

import io
import logging
import os
import sys
import threading
import time


def main(parent: str, died: str) -> None:
    """Work for the process `parent` until it is done or gone, or the file `died` is there."""
    threading.Thread(target=_end_with, args=(int(parent), died), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main

    logging.disable(logging.CRITICAL)
    # Beam prints the traceback of each error that it also sends; the job tells it in one line.
    sys.stderr = io.StringIO()
    try:
        sdk_worker_main.main([])
    except BaseException:
        os._exit(1)


def _end_with(parent: int, died: str) -> None:
    while os.getppid() == parent and not os.path.exists(died):
        time.sleep(1.0)
    os._exit(1)
