"""The map: its file, its queries, copies and merging.

Examples
--------
`ExtinctionMap.example` comes with the package; `ExtinctionMap.read` opens a map from a file.

>>> from astropy import units as u
>>> from astropy.coordinates import SkyCoord
>>> from extmap_tf import ExtinctionMap
>>> volume = ExtinctionMap.example()

`ExtinctionMap.query` and `ExtinctionMap.band_factor`:

>>> star = SkyCoord(285 * u.deg, 0.5 * u.deg, distance=3 * u.kpc, frame="galactic")
>>> bool(0.1 < volume.query(star).to_value(u.mag) < 1.5)
True
>>> low, high = volume.query(star, mode="percentile", percentile=[16, 84])
>>> bool(low < volume.query(star) < high)
True
>>> volume.query_gal([285.0, 10.0], 0.5, 3.0, return_flags=True)[1].tolist()[1]
256
>>> round(volume.band_factor("J"), 3), round(volume.band_factor("E(J-Ks)"), 3)
(2.801, 1.801)
"""
