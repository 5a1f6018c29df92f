"""Apache Beam jobs: options, thin transforms, graphs. The numerics are functions of `extmap_tf`.

Each job is a module to run, ``python -m beam_jobs.<job>``, and a subcommand of ``extmap-tf``.
"""
