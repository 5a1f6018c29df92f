"""A worker process of the local runner: Beam's own, silent, and gone as soon as the job's process is.

Run by `beam_jobs.local` as ``python -m beam_jobs.worker PID``. What fails in a worker is told by the job.
"""

import logging
import os
import sys
import threading
import time


def main(parent):
    """Work for the process `parent` until it says that all is done, or is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    logging.disable(logging.CRITICAL)
    from apache_beam.runners.worker import sdk_worker_main

    try:
        sdk_worker_main.main([])
    except BaseException:
        os._exit(1)


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
