"""Running a pipeline: options, the local runner, progress, errors in one line."""

import argparse
import contextlib
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    StandardOptions,
)
from tqdm import tqdm

from beam_jobs.local import local_runner
from beam_jobs.stores import sizes_in
from extmap_tf import errors
from extmap_tf.errors import ConfigError, DataError
from extmap_tf.files import temporary_files_in_scratch

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")
CLOUD_RUNNERS = ("DataflowRunner", "TestDataflowRunner")

_SECONDS_TO_ANSWER = 10.0

# Scheme of a path: the extra of ours that brings its file system, and a module that comes with it.
_EXTRAS = {"gs": ("gcp", "apitools"), "s3": ("aws", "boto3")}


def pipeline_options(argv: Sequence[str]) -> PipelineOptions:
    """Beam's options from command-line flags.

    Raises
    ------
    ConfigError
        A flag that no Beam option claims, or a value that it cannot have.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for cls in [PipelineOptions, *_subclasses(PipelineOptions)]:
        with contextlib.suppress(argparse.ArgumentError):
            cls._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ConfigError(
            f"unknown option {unknown[0]!r}: neither of this command nor a pipeline option of Beam"
        )
    options = PipelineOptions(list(argv))
    n_workers = options.view_as(DirectOptions).direct_num_workers
    if n_workers < 0:
        raise ConfigError(f"--direct_num_workers must be 0 (all processors) or more, got: {n_workers}")
    if options.view_as(StandardOptions).runner in CLOUD_RUNNERS and not _has("gs"):
        raise ConfigError(
            f"--runner={options.view_as(StandardOptions).runner} needs more packages: "
            "pip install 'extmap_tf[gcp]'"
        )
    return options


def check_start(beam_argv: Sequence[str], *paths: str) -> None:
    """Refuse what a job could not use, before any work: options, a job server that is not there, paths.

    Parameters
    ----------
    beam_argv : sequence of str
    paths : str

    Raises
    ------
    ConfigError, DataError
    """
    options = pipeline_options(beam_argv)
    FileSystems.set_options(options)
    _require_job_server(options.view_as(PortableOptions).job_endpoint)
    for path in paths:
        if not path:
            raise DataError("a path is empty: give the name of a file or folder")
        scheme = FileSystems.get_scheme(path)
        if scheme in _EXTRAS and not _has(scheme):
            raise DataError(
                f"{path}: {scheme}:// needs more packages: pip install 'extmap_tf[{_EXTRAS[scheme][0]}]'"
            )
        if scheme and scheme not in _EXTRAS:
            raise DataError(
                f"{path}: cannot use {scheme}://; give a local path, gs:// or s3:// (fetch it first)"
            )


def _require_job_server(endpoint):
    """Raise ConfigError unless a job server answers at `endpoint`; Beam would wait for it for minutes."""
    if endpoint in (None, "", "embed"):
        return
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS_TO_ANSWER)
        except grpc.FutureTimeoutError:
            raise ConfigError(
                f"--job_endpoint={endpoint}: no job server answers there; start it, or name the HOST:PORT "
                "where it is"
            ) from None


def run(
    build: Callable[[beam.Pipeline], Any],
    argv: Sequence[str],
    progress: contextlib.AbstractContextManager | None = None,
) -> None:
    """Build a pipeline and run it to its end.

    DirectRunner, the default, is taken as FnApiRunner: Beam's own choice behind that name first tries to
    download another runner.

    Parameters
    ----------
    build : callable
        Called with the pipeline; applies its transforms.
    argv : list of str
        Beam's options.
    progress : contextlib.AbstractContextManager, optional
        Entered while the pipeline runs.

    Raises
    ------
    ExtmapError
        What a worker raised, in one line.
    """
    options = pipeline_options(argv)
    try:
        with contextlib.ExitStack() as stack:
            # A pipeline makes a temporary folder of its own, which a killed one leaves.
            stack.enter_context(temporary_files_in_scratch())
            runner = None
            if options.view_as(StandardOptions).runner in LOCAL_RUNNERS:
                runner = stack.enter_context(local_runner(options))
                logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
            pipeline = beam.Pipeline(runner=runner, options=options)
            build(pipeline)
            stack.enter_context(progress or contextlib.nullcontext())
            pipeline.run().wait_until_finish()
    except Exception as error:
        raise _users_error(error) from error


@contextlib.contextmanager
def progress_of_files(folder: str, pattern: str, total: int, what: str) -> Iterator[None]:
    """Show how many of the expected files of a folder are there."""
    done = threading.Event()
    bar = tqdm(total=total, desc=what, unit="shard", mininterval=1.0, smoothing=0)

    def count():
        bar.n = len(sizes_in(folder, pattern))
        bar.refresh()

    def watch():
        while not done.wait(1.0):
            count()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        count()
        bar.close()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage of all of Beam."""

    def error(self, message):
        raise ConfigError(f"options of Beam: {message}")


def _has(scheme):
    """Whether the extra that brings the file system of a scheme is installed."""
    return importlib.util.find_spec(_EXTRAS[scheme][1]) is not None


def _users_error(error):
    """The ExtmapError that a worker raised, however the runner wrapped it; else the error in a line."""
    if isinstance(error, errors.ExtmapError):
        return type(error)(str(error).split(" [while running")[0])
    found = re.findall(r"^extmap_tf\.[\w.]*?(\w+Error): (.*)$", str(error), re.MULTILINE)
    if found:
        name, message = found[-1]
        # A module's own error is one of these: of data, for it was raised on reading them.
        return getattr(errors, name, DataError)(message.split(" [while running")[0])
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        del lines[:-1]
    return DataError(f"the pipeline failed: {' '.join(lines) or type(error).__name__}")


def _subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)
