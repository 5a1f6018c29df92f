"""The mock sky and the training pairs drawn from it."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting
from extmap_tf.errors import require

MIN_POOL_FIELDS = 2.0
"""Least size of a pool of stars, in fields: of a smaller one, all pairs would hold the same stars."""

CATALOG_SHARES = (("train", 0.5), ("validation", 0.25), ("test", 0.25))
"""How the stars of a catalog file are dealt to the splits, so that none is in two."""


@dataclass(frozen=True)
class CatalogConfig(Section):
    """A Galaxy model's catalog in a file, in place of the built-in Galaxy."""

    path: str = setting(
        doc="""A table that `extmap_tf.catalogs.model_tables` can read (Besançon, TRILEGAL, ...); in a TOML
        file, relative to that file's folder. ``records mocks`` also takes gs:// and s3://."""
    )
    l_deg: float = setting(doc="Galactic longitude of the sightline.", at_least=0, below=360)
    b_deg: float = setting(doc="Its latitude.", above=-90, below=90)
    area_deg2: float = setting(doc="Solid angle that the catalog covers.", above=0)
    system: str = setting(
        "",
        "Photometric system, where it does not follow from the file; else left out.",
        one_of=("", "2mass", "johnson"),
    )
    columns: tuple[str, ...] = setting(
        (), '"ROLE=NAME" for columns with unknown names; the roles are those of that reader.'
    )
    sha256: str = setting(
        "",
        """Of the file's content: `Config.load` fills it in, for object stores the job, and pairs are made of
        no other content. With it, the configuration's digest follows from the content and not from the
        place.""",
    )

    def check(self) -> None:
        require(all("=" in item for item in self.columns), "columns", "of the form ROLE=NAME", self)


@dataclass(frozen=True)
class MocksConfig(Section):
    """The mock sky and the training pairs drawn from it.

    The training sightlines are all pairs of `l_deg` and `b_deg`, with stars of the built-in Galaxy, or those
    of `catalogs`.
    """

    l_deg: tuple[float, ...] = setting(
        (), "Galactic longitudes of the training sightlines.", at_least=0, below=360
    )
    b_deg: tuple[float, ...] = setting((), "Their latitudes.", above=-90, below=90)
    catalogs: tuple[CatalogConfig, ...] = setting(
        (), "Catalogs of a Galaxy model to use instead, one per training sightline."
    )
    n_pairs: int = setting(36000, "Training pairs over all sightlines and splits.", at_least=1, at_most=10**9)
    validation_fraction: float = setting(
        0.05,
        "Share of the pairs for validation; which pair goes where follows from a salted hash of its key.",
        above=0,
        below=0.5,
    )
    test_fraction: float = setting(0.05, "Share of the pairs for tests.", above=0, below=0.5)
    split_salt: str = setting("extmap", "The salt, at most 64 bytes long.")
    pool_fields: float = setting(
        8.0,
        """A sightline's built-in mock catalog covers so many fields, anew for each split; a pair draws one
        field's worth of that of its split.""",
        at_least=MIN_POOL_FIELDS,
        at_most=1000,
    )
    reference_step_deg: float = setting(
        2.5,
        "Spacing of the table of reference CMDs (without extinction) over the map's region.",
        above=0,
    )
    partial_share: float = setting(
        0.0,
        "Share of the pairs of which the survey covers only a part of the field.",
        at_least=0,
        at_most=1,
    )
    covered_min: float = setting(
        0.3,
        "Least covered share of such a field; it is drawn uniformly from this to 1.",
        at_least=0.05,
        at_most=1,
    )

    def check(self) -> None:
        if self.catalogs:
            alone = not self.l_deg and not self.b_deg
            require(alone, "catalogs", "left out where l_deg, b_deg are given", self)
            positions = self.sightlines_deg()
            require(len(set(positions)) == len(positions), "catalogs", "on different sightlines", self)
        else:
            require(len(self.l_deg) > 0, "l_deg", "one or more longitudes", self)
            require(len(self.b_deg) > 0, "b_deg", "one or more latitudes", self)
        require(len(self.split_salt.encode()) <= 64, "split_salt", "at most 64 bytes long", self)

    def sightlines_deg(self) -> tuple[tuple[float, float], ...]:
        """The training sightlines: tuple of (l, b)."""
        if self.catalogs:
            return tuple((catalog.l_deg, catalog.b_deg) for catalog in self.catalogs)
        return tuple((l, b) for b in self.b_deg for l in self.l_deg)
