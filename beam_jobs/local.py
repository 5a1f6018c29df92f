"""The local runner: Beam's FnApiRunner, with worker processes that stop when the job does.

Beam's own handler of worker processes leaves them to the terminal's Ctrl-C, to which each answers with a
traceback, lets the job wait for the work of those that are busy, and for ever for one that was killed.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_provision_api_pb2, endpoints_pb2
from apache_beam.runners.job import utils as job_utils
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    ControlConnection,
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.transforms.environments import SubprocessSDKEnvironment
from google.protobuf import json_format, text_format

from extmap_tf.files import scratch_folder

_URN = "extmap_tf:worker_process:v1"
_DIED = "died.txt"
_SECONDS_TO_DIE = 0.3

# With -P and our folder last, a worker imports nothing from the folder that it is started in.
_START = "import sys; sys.path.append(sys.argv[1]); from beam_jobs.worker import main; main(*sys.argv[2:])"
WORKER = [sys.executable, "-P", "-c", _START, str(Path(__file__).resolve().parents[1])]


@contextlib.contextmanager
def local_runner(options: PipelineOptions) -> Iterator[FnApiRunner]:
    """FnApiRunner for Beam's options; workers' temporary files are gone when the block ends.

    A worker that is killed breaks its connections, and each would print a traceback from its thread.
    """
    quiet = {"beam:option:default_sdk_harness_log_level:v1": "CRITICAL"}
    info = beam_provision_api_pb2.ProvisionInfo(
        retrieval_token="unused", pipeline_options=job_utils.dict_to_struct(quiet)
    )
    direct = options.view_as(DirectOptions)
    with scratch_folder() as scratch:
        environment = None
        if direct.direct_running_mode == "multi_processing":
            # For this mode the runner would insist on its own handler.
            direct.direct_running_mode = "in_memory"
            environment = _ProcessEnvironment.from_command_string(str(scratch))
        before = threading.excepthook
        threading.excepthook = lambda args: (
            None if isinstance(args.exc_value, grpc.RpcError) else before(args)
        )
        try:
            yield FnApiRunner(default_environment=environment, provision_info=ExtendedProvisionInfo(info))
        except Exception as error:
            # Which connection noticed first that a worker was gone, and what it said, is chance.
            with contextlib.suppress(OSError):
                raise RuntimeError((scratch / _DIED).read_text()) from error
            raise
        finally:
            threading.excepthook = before


class _ProcessEnvironment(SubprocessSDKEnvironment):
    """Worker processes of ours; the command is the folder for their temporary files."""

    def to_runner_api_parameter(self, context):
        return _URN, self.command_string.encode()


class _Requests:
    """The requests to one worker: those to a dead one fail, whereas Beam lets later ones wait for ever.

    Parameters
    ----------
    connection : ControlConnection
        Its `push` is replaced.
    """

    def __init__(self, connection: ControlConnection) -> None:
        self._push = connection.push
        self._lock = threading.Lock()
        self._open: list[Any] = []
        self._error = ""
        connection.push = self._push_unless_dead  # type: ignore[method-assign, assignment]

    def fail(self, error: str) -> None:
        """Answer all requests with an error, those to come included."""
        with self._lock:
            self._error = error
            for future in self._open:
                self._answer(future)

    def _push_unless_dead(self, request: Any) -> Any:
        future = self._push(request)
        if future is not None:
            with self._lock:
                self._open = [future, *(other for other in self._open if not other.is_done())]
                if self._error:
                    self._answer(future)
        return future

    def _answer(self, future: Any) -> None:
        # Not by aborting it: who waits for the worker's data asks whether an answer is there.
        response = beam_fn_api_pb2.InstructionResponse(
            instruction_id=future.instruction_id, error=self._error
        )
        future.set(response)


@WorkerHandler.register_environment(_URN, bytes)
class _ProcessHandler(GrpcWorkerHandler):
    """Starts and ends one `beam_jobs.worker`."""

    def __init__(self, scratch: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._scratch = scratch.decode()
        self._died = Path(self._scratch) / _DIED
        self._requests = _Requests(self.control_conn)
        self._process: Any = None
        self._closing = False

    def start_worker(self):
        control = endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        options = self.provision_info.provision_info.pipeline_options
        self._process = subprocess.Popen(
            [*WORKER, str(os.getpid()), str(self._died)],
            env=os.environ
            | {
                "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(control),
                "PIPELINE_OPTIONS": json.dumps(json_format.MessageToDict(options)),
                "WORKER_ID": self.worker_id,
                "TMPDIR": self._scratch,
            },
            stdin=subprocess.DEVNULL,
            # Out of reach of the terminal's Ctrl-C: the job's process stops the worker.
            start_new_session=True,
        )
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self):
        self._closing = True
        if sys.exc_info()[0] is not None:
            # The pipeline failed or was interrupted: what the worker is at is of no use.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._tell_death(self._process.wait(_SECONDS_TO_DIE))
            self._process.kill()
        super().close()

    def stop_worker(self):
        # It has nothing left to do, and would take seconds to unload its libraries.
        self._process.kill()
        self._process.wait()

    def _watch(self):
        status = self._process.wait()
        if not self._closing:
            self._tell_death(status)
            self._requests.fail("a worker process is gone")

    def _tell_death(self, status: int) -> None:
        how = f"was killed by signal {-status} (out of memory?)" if status < 0 else "ended by itself"
        # The first death is the cause; the other workers end because of it.
        with contextlib.suppress(FileExistsError), open(self._died, "x") as stream:
            stream.write(f"a worker process {how}")
