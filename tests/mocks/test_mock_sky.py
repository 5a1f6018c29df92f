"""A mock observed sky is as modelled: nothing is off, and the law has the mean of its prior."""

import numpy as np
import pyarrow.parquet as pq

from extmap_tf.mocks.sky import write_sky


def test_the_law_of_a_sky_is_the_mean_of_the_prior(tiny_config, observed_sky, tmp_path):
    _, dust = observed_sky
    colors = []
    for mean in (0.0, 0.4):
        config = tiny_config.replace(**{"nuisances.law_ratio_mean": mean})
        write_sky(config, dust, path := tmp_path / f"{mean}.parquet")
        stars = pq.read_table(path).to_pydict()
        colors.append(np.array(stars["j_m"]) - np.array(stars["k_m"]))
    # Behind a few tenths of a magnitude; noise and the loss of faint stars are the same but for these.
    assert 0.02 < np.mean(colors[1]) - np.mean(colors[0]) < 0.4
