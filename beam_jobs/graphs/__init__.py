"""The graphs of the jobs: thin transforms around the functions of `extmap_tf`."""
