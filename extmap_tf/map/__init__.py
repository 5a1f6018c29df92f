"""The map: its file, its queries, copies and merging.

Examples
--------
A map in memory, of dust of 0.2 mag/kpc everywhere; `ExtinctionMap.read` opens one from a file.

>>> import numpy as np
>>> from astropy import units as u
>>> from astropy.coordinates import SkyCoord
>>> from extmap_tf import Config, ExtinctionMap
>>> from extmap_tf.estimate import ProfileEstimate
>>> from extmap_tf.map.header import MapHeader
>>> from extmap_tf.map.provenance import Provenance
>>> config = Config.named("demo")
>>> grid, distance = config.sightlines, config.distance
>>> dust = ProfileEstimate.of_density(np.full((*grid.shape, distance.n_distances), 0.2), distance.step_kpc)
>>> header = MapHeader(grid, distance, Provenance.of(config, "truth"))
>>> volume = ExtinctionMap(header, dust, np.ones(grid.shape), np.zeros(grid.shape, int))

`ExtinctionMap.query` and `ExtinctionMap.band_factor`:

>>> star = SkyCoord(285 * u.deg, 0.5 * u.deg, distance=3 * u.kpc, frame="galactic")
>>> volume.query(star).round(3)
<Quantity 0.6 mag>
>>> volume.query_gal([285.0, 10.0], 0.5, 3.0, return_flags=True)[1].tolist()
[0, 256]
>>> round(volume.band_factor("J"), 3), round(volume.band_factor("E(J-Ks)"), 3)
(2.571, 1.571)
"""
