"""Steps that are done once and kept, and those that a mock and a real sky go through alike."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from extmap_tf import __version__
from extmap_tf.errors import DataError
from extmap_tf.files import PathLike, unfinished_folder, whole_file
from extmap_tf.formats import STEPS, STEPS_NAME
from extmap_tf.json_files import JsonForm
from extmap_tf.settings.config import Config

if TYPE_CHECKING:
    from extmap_tf.evaluation.metrics import Evaluation

# Few enough that the progress bar moves.
_PAIRS_PER_SHARD = 256
# The figures draw the interval of the rise with distance from samples.
_SAMPLES = 32

_FORM = JsonForm(
    "list of steps", {"what": str, "made": str, "seconds": {str: float}}, "remove the folder", STEPS
)


@dataclass
class Steps:
    """The steps that are done, with their seconds; kept in the folder, so that the command can be resumed.

    Parameters
    ----------
    folder : pathlib.Path
    what : str
        Is made here: "demo" or "map".
    made : str
        Of what.
    seconds : dict of str to float
    """

    folder: Path
    what: str
    made: str
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, what: str, made: str) -> "Steps":
        """Those of a folder, which may be new.

        Raises
        ------
        DataError
            They are of something else, or cannot be read.
        """
        path = folder / STEPS_NAME
        if not path.exists():
            return cls(folder, what, made)
        found = _FORM.read(path)
        if (found["what"], found["made"]) != (what, made):
            raise DataError(
                f"{folder} holds an unfinished {found['what']} of {found['made']}, this one is a {what} of "
                f"{made}: remove it, or choose another name"
            )
        return cls(folder, what, made, found["seconds"])

    def run(self, name: str, text: str, work: Callable[[], None]) -> None:
        """Do a step, unless it is done."""
        if name in self.seconds:
            say(f"{text}: done before")
            return
        say(text)
        start = time.monotonic()
        work()
        self.seconds[name] = round(time.monotonic() - start, 1)
        about = {
            "format": STEPS,
            "what": self.what,
            "made": self.made,
            "software_version": __version__,
            "seconds": self.seconds,
        }
        with whole_file(self.folder / STEPS_NAME, overwrite=True) as stream:
            json.dump(about, stream, indent=2)


@contextmanager
def kept_steps(out: PathLike, overwrite: bool, folder_with: str, what: str, made: str) -> Iterator[Steps]:
    """The steps of a folder that takes the name `out` when the block ends well.

    Until then they are in ``OUT.unfinished``, as of `extmap_tf.files.unfinished_folder`; a line says so.
    """
    with unfinished_folder(out, overwrite, folder_with=folder_with) as folder:
        steps = Steps.of(folder, what, made)
        try:
            yield steps
        except (Exception, KeyboardInterrupt):
            if (folder / STEPS_NAME).exists():
                say(f"the finished steps are kept in {folder}: run the same command again to go on")
            raise


def make_mocks(config: Config, out: Path, n_workers: int = 2) -> None:
    """Training pairs, in a folder of records."""
    # Beam and TensorFlow load here and below, so that importing this module stays light.
    from beam_jobs.graphs.mocks_to_records import make_records

    workers = ["--direct_running_mode=multi_processing", f"--direct_num_workers={n_workers}"]
    make_records(config, str(out), True, workers, _PAIRS_PER_SHARD)


def train_network(config: Config, folder: Path) -> None:
    """A network trained on ``folder/mocks``: ``folder/training``.

    It starts from the weights of a shipped model, where one has its network, diagrams and distances.
    """
    from extmap_tf.model.card import CARD_NAME
    from extmap_tf.model.checks import starting_model
    from extmap_tf.model.training import train
    from extmap_tf.records.manifest import Records

    if (folder / "training" / CARD_NAME).exists():
        # Finished, but killed before that was written down.
        return
    start = starting_model(config)
    if start:
        say(f"     from the weights of {start}")
    train(Records.open(folder / "mocks"), config, folder / "training", echo=say, start_from=start)


def export_model(folder: Path) -> None:
    """A SavedModel of ``folder/training``: ``folder/model``."""
    from extmap_tf.model.export import export
    from extmap_tf.model.versions import versions

    if not versions(folder / "model"):
        export(folder / "training", folder / "model", echo=lambda line: None)


def map_with_samples(
    folder: Path, model: PathLike, name: str = "map.fits", trust_model: bool = False
) -> None:
    """The map of ``folder/survey`` by a model, with sampled profiles where its network has any."""
    from extmap_tf.model.heads import HEADS
    from extmap_tf.model.versions import find_saved_model

    has_spread = bool(HEADS[find_saved_model(model)[1].config.network.head].percentiles)
    make_map(folder / "survey", model, folder / name, _SAMPLES if has_spread else 0, trust_model)


def make_map(survey: Path, model: PathLike, out: Path, n_samples: int = 0, trust_model: bool = False) -> None:
    """The map of a folder of survey records by a model."""
    from beam_jobs.graphs.score_to_map import make_map

    make_map(survey, model, out, overwrite=True, n_samples=n_samples, trust_model=trust_model)


def tell_errors(evaluation: "Evaluation", errors: str, intervals: str) -> None:
    """Print the errors over all sightlines, and how often the intervals hold, each under its line."""
    from extmap_tf.evaluation.calibration import format_calibration
    from extmap_tf.evaluation.profile_errors import format_table

    say(errors)
    print(format_table(evaluation.overall), flush=True)
    # A network that gives one profile states no intervals.
    if rows := [row for row in evaluation.calibration if row.group == "all"]:
        say(intervals)
        print(format_calibration(rows), flush=True)


def say(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)
