"""A worker process of the local runner: Beam's own, silent, and gone when the job or another worker is.

Run by `beam_jobs.local` as ``python -m beam_jobs.worker PID FILE``. What fails in it is told by the job.
"""

import logging
import os
import sys
import threading
import time


def main(parent, died):
    """Work for the process `parent` until it is done or gone, or the file `died` is there."""
    threading.Thread(target=_end_with, args=(parent, died), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main

    logging.disable(logging.CRITICAL)
    try:
        sdk_worker_main.main([])
    except BaseException:
        os._exit(1)


def _end_with(parent, died):
    while os.getppid() == parent and not os.path.exists(died):
        time.sleep(1.0)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
