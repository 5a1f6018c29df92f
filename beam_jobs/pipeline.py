"""Running a pipeline: options, the local runner, errors in one line, folders that appear whole."""

import argparse
import contextlib
import logging
import re
import sys
import threading
import uuid

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.job import utils as job_utils
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from tqdm import tqdm

from extmap_tf import errors
from extmap_tf.errors import DataError
from extmap_tf.records.manifest import MANIFEST_NAME

LOCAL_RUNNERS = (None, "DirectRunner", "FnApiRunner")


def pipeline_options(argv):
    """Beam's options from command-line flags; a flag that no Beam option claims is refused.

    Raises
    ------
    ConfigError
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for cls in [PipelineOptions, *_subclasses(PipelineOptions)]:
        with contextlib.suppress(argparse.ArgumentError):
            cls._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(argv)
    if unknown:
        raise errors.ConfigError(
            f"unknown option {unknown[0]!r}: neither of this command nor a pipeline option of Beam"
        )
    return PipelineOptions(argv)


def run(build, argv, progress=None):
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
    runner = None
    if options.view_as(StandardOptions).runner in LOCAL_RUNNERS:
        runner = _local_runner()
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    with progress or contextlib.nullcontext():
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            raise _users_error(error) from error


@contextlib.contextmanager
def scratch_folder(path):
    """A temporary neighbour of `path` on any of Beam's file systems, gone when the block ends."""
    temporary = f"{str(path).rstrip('/')}.incomplete-{uuid.uuid4().hex[:8]}"
    FileSystems.mkdirs(temporary)
    try:
        yield temporary
    finally:
        if FileSystems.exists(temporary):
            FileSystems.delete([temporary])


@contextlib.contextmanager
def whole_folder(path, overwrite=False):
    """A scratch folder for records that takes the name `path` when the block ends well.

    Parameters
    ----------
    path : str
        The folder to make.
    overwrite : bool
        Whether existing records, or an empty folder, may be replaced; they are kept until the new ones are
        complete. Any other folder is somebody's own.
    """
    path = str(path).rstrip("/")
    if FileSystems.exists(path):
        if not overwrite:
            raise DataError(f"{path} exists already: choose another name or give --overwrite")
        (inside,) = FileSystems.match([FileSystems.join(path, "*")])
        if not FileSystems.exists(FileSystems.join(path, MANIFEST_NAME)) and inside.metadata_list:
            raise DataError(f"{path} was not made by this command: choose another name")
    with scratch_folder(path) as temporary:
        yield temporary
        if FileSystems.exists(path):
            old = f"{path}.old-{uuid.uuid4().hex[:8]}"
            FileSystems.rename([path], [old])
            FileSystems.rename([temporary], [path])
            FileSystems.delete([old])
        else:
            FileSystems.rename([temporary], [path])


@contextlib.contextmanager
def progress_of_files(folder, pattern, total, what):
    """Show how many of the expected files of a folder are there."""
    done = threading.Event()
    bar = tqdm(total=total, desc=what, unit="shard", mininterval=1.0, smoothing=0)

    def count():
        (match,) = FileSystems.match([FileSystems.join(folder, pattern)])
        bar.n = len(match.metadata_list)
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


def run_command(*words):
    """Run a subcommand of the command line with this process's arguments; returns its exit status."""
    from extmap_tf.cli import main

    return main([*words, *sys.argv[1:]])


def _local_runner():
    """FnApiRunner whose worker processes keep to errors; what a failing one raised is reported by `run`."""
    quiet = {"beam:option:default_sdk_harness_log_level:v1": "CRITICAL"}
    info = beam_provision_api_pb2.ProvisionInfo(
        retrieval_token="unused", pipeline_options=job_utils.dict_to_struct(quiet)
    )
    return FnApiRunner(provision_info=ExtendedProvisionInfo(info))


def _users_error(error):
    """The ExtmapError that a worker raised, however the runner wrapped it; else the error in a line."""
    if isinstance(error, errors.ExtmapError):
        return type(error)(str(error).split(" [while running")[0])
    found = re.findall(r"^extmap_tf\.errors\.(\w+): (.*)$", str(error), re.MULTILINE)
    if found:
        name, message = found[-1]
        return getattr(errors, name)(message.split(" [while running")[0])
    lines = [line for line in str(error).splitlines() if line.strip()]
    return DataError(f"the pipeline failed: {lines[-1].strip() if lines else type(error).__name__}")


def _subclasses(cls):
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)
