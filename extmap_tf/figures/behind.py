"""The diagrams behind a map's profiles, from the records that it was made of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from extmap_tf.errors import ConfigError
from extmap_tf.files import PathLike
from extmap_tf.grids.diagram import Cmds
from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records

if TYPE_CHECKING:
    from extmap_tf.map.volume import ExtinctionMap


def cmds_behind(folder: PathLike, volume: "ExtinctionMap", sightlines: Sequence[tuple[float, float]]) -> Cmds:
    """The diagrams behind some sightlines of a map.

    Parameters
    ----------
    folder : path-like
        Survey records.
    volume : ExtinctionMap
    sightlines : sequence of (float, float)
        (l, b) in degrees.

    Raises
    ------
    ConfigError
        They are not the records that the map was made of.
    """
    records = Records.open(folder)
    made_for, found = volume.provenance.config_digest, records.manifest.config.digest
    if records.manifest.kind != "survey" or found != made_for:
        raise ConfigError(
            f"{folder} holds {records.manifest.kind} records of configuration {found}, the map was made of "
            f"survey records of {made_for}: give those"
        )
    start_tensorflow()
    from extmap_tf.records.dataset import survey_fields

    fields = survey_fields(records, sightlines)
    return [(diagram, fields[diagram.name]) for diagram in records.manifest.config.diagrams]
