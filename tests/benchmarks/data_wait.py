"""How long training waits for its data.

    python tests/benchmarks/data_wait.py RECORDS [--steps N] [--preset NAME]

An epoch of mock RECORDS, or N batches, as 'extmap-tf train' reads them: shards, decompression, the shuffle
buffer and its filling, parsing. Each step asks for a batch, then trains on it; the time until the batch is
there is waiting. Then as many steps on the last batch again and again: the rate that training would have if
batches came from nowhere and reading took nothing from the cores.
"""

import argparse
import time

from extmap_tf.quiet import start_tensorflow
from extmap_tf.records.manifest import Records


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records")
    parser.add_argument("--steps", type=int, help="batches, by default those of an epoch")
    parser.add_argument("--preset", default="dense")
    args = parser.parse_args()
    start_tensorflow()
    import numpy as np

    from extmap_tf.model.build import build_network, fill_tables
    from extmap_tf.model.heads import head_of
    from extmap_tf.model.training import compile_network, facts_of
    from extmap_tf.records.dataset import steps_per_epoch, training_dataset

    records = Records.open(args.records)
    config = records.manifest.config.replace(**{"network.preset": args.preset})
    steps = args.steps or steps_per_epoch(records, config.training)
    facts = facts_of(records)
    model = build_network(config, facts.n_nodes, config.seed)
    fill_tables(model, facts)
    compile_network(model, head_of(config.network, config.distance), config.training, 2 * steps + 1)
    # Traced on a batch of its own, so that the first step of the measured ones is like the others.
    batch = next(iter(training_dataset(records, config.training, config.seed + 1)))
    model.train_on_batch(*batch)

    begin = time.perf_counter()
    batches, waits = iter(training_dataset(records, config.training, config.seed)), []
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waits.append(time.perf_counter() - asked)
        model.train_on_batch(*batch)
    read = time.perf_counter() - begin
    begin = time.perf_counter()
    for _ in range(steps):
        model.train_on_batch(*batch)
    again = time.perf_counter() - begin

    n = steps * config.training.batch_size
    print(f"{args.preset}: {steps} batches of {config.training.batch_size}")
    print(f"waiting for data        {100 * sum(waits) / read:.1f} % of {read:.1f} s")
    print(f"  for the first batch   {waits[0]:.2f} s: opening shards, filling the shuffle buffer")
    print(f"  for another, median   {1000 * np.median(waits[1:]):.2f} ms")
    print(f"with data read          {n / read:,.0f} images/s")
    print(f"the same batch again    {n / again:,.0f} images/s")


if __name__ == "__main__":
    main()
