"""What every program of ours does: options without abbreviations, signals, errors in one line."""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar, cast

from extmap_tf.errors import ExtmapError

T = TypeVar("T")

_STOPPED = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LIBRARIES = {"tensorflow": "TensorFlow", "apache_beam": "Apache Beam"}
_OPTIONS_OF_BEAM = (
    " Further options go to Apache Beam, each as --option=value (--runner=DataflowRunner, "
    "--direct_num_workers=2, ...)."
)


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names alone, as its subparsers do."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how, allow_abbrev=False)


class Stopped(KeyboardInterrupt):
    """What a signal raises.

    Of a plain KeyboardInterrupt that passes through `exec` Python remembers, also once it is caught, that the
    process is to end by SIGINT, and forgets its exit status.
    """


# Set by a signal that stops the program.
_stopped = threading.Event()


def unless_stopped(items: Iterable[T]) -> Iterator[T]:
    """The items, until a signal stops the program: it reaches the main thread alone, which waits for others.

    Raises
    ------
    ExtmapError
        The program is to stop.
    """
    for item in items:
        if _stopped.is_set():
            raise ExtmapError("stopped")
        yield item


@dataclass(frozen=True)
class Command:
    """One command: its options and what it runs.

    Parameters
    ----------
    name, text : str
        The first sentence of the text stands in the list of commands.
    add_options : callable
        Called with the parser.
    run : callable
        Called with the parsed arguments; of a command of Beam, also with the options that are left for it.
    beam : bool
    """

    name: str
    text: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., None]
    beam: bool = False

    @property
    def summary(self) -> str:
        return self.text.split(". ")[0].rstrip(".")

    def describe(self, parser: argparse.ArgumentParser) -> None:
        """Give a parser the command's text and options; `run_program` then runs it."""
        parser.description = self.text + (_OPTIONS_OF_BEAM if self.beam else "")
        parser.set_defaults(run=self.run, beam=self.beam, parser=parser)
        self.add_options(parser)


def run_command(command: Command, argv: Sequence[str] | None = None) -> int:
    """Run a command that is a program of its own; as `run_program`."""
    parser = Parser(prog=f"extmap-tf {command.name}")
    command.describe(parser)
    return run_program(parser, argv)


def run_program(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        With the options of `Command.describe`, or with subparsers that have them.
    argv : list of str, optional
        By default the process's own arguments.

    Returns
    -------
    int
        0; 1 after an error that was told in one line; 130 after an interrupt and 143 after SIGTERM, when all
        that was half-written is gone. Usage errors exit with 2.
    """
    args, rest = parser.parse_known_args(argv)
    if rest and not args.beam:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")
    received: list[int] = []
    _stopped.clear()
    with _full_log(), _stopped_by_signals(received), _warnings_told():
        try:
            args.run(args, rest) if args.beam else args.run(args)
            sys.stdout.flush()
        except (Exception, KeyboardInterrupt) as error:
            # First of all: Beam may have turned the interrupt into an error of its own.
            if received:
                return _complain(_STOPPED[signal.Signals(received[0])], 128 + received[0])
            status = _told(error)
            if status is None:
                raise
            return status
    return 0


@contextlib.contextmanager
def _stopped_by_signals(received: list[int]) -> Iterator[None]:
    """SIGTERM interrupts as Ctrl-C does, so that nothing half-written stays; `received` gets the signal."""

    def stop(number, frame):
        _stopped.set()
        received.append(number)
        raise Stopped

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What is ignored stays so: a script's background job is not for the terminal's Ctrl-C.
    heeded = [number for number in _STOPPED if signal.getsignal(number) not in (None, signal.SIG_IGN)]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Lossy:
    """A stream of text on a disk that may be full: what cannot be written is dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _full_log() -> Iterator[None]:
    """A job whose standard error is on a full disk goes on; its exit status tells how it ended."""
    stream = sys.stderr
    with contextlib.redirect_stderr(cast(TextIO, _Lossy(stream))):
        yield
    try:
        stream.flush()
    except OSError:
        # What Python still holds would make an exit status of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _warnings_told() -> Iterator[None]:
    """What our own code logs is a line on standard error, as errors are."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("extmap-tf: warning: %(message)s"))
    logger = logging.getLogger("extmap_tf")
    logger.addHandler(handler)
    # Beam gives the root a handler of its own, which would tell them again.
    propagated, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagated
        logger.removeHandler(handler)


def _told(error: BaseException) -> int | None:
    """Tell a user of an error in one line; returns the exit status, None for a defect of ours."""
    if isinstance(error, ExceptionGroup):
        statuses = [_told(one) for one in error.exceptions]
        return None if None in statuses else max(status for status in statuses if status is not None)
    if isinstance(error, ExtmapError):
        return _complain(error)
    if isinstance(error, KeyboardInterrupt):
        return _complain(_STOPPED[signal.SIGINT], 128 + signal.SIGINT)
    if isinstance(error, BrokenPipeError):
        # The reader of our output has gone, as with `| head`.
        _leave_stdout()
        return 1
    if isinstance(error, OSError):
        where = error.filename
        if where is None and error.errno in _FULL:
            # Files are named by what writes them.
            where = "standard output"
            _leave_stdout()
        return _complain(f"{where}: {error.strerror}" if where else error.strerror or error)
    library = type(error).__module__.split(".")[0]
    if library in _LIBRARIES:
        return _complain(f"{_LIBRARIES[library]}: {str(error).splitlines()[0]}")
    return None


def _leave_stdout() -> None:
    """No more of what is printed goes where it cannot."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: object, status: int = 1) -> int:
    print(f"extmap-tf: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status
