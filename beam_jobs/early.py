"""What a job refuses before TensorFlow and Beam are loaded."""

from extmap_tf.errors import ConfigError

# As many as a SavedModel draws.
MAX_SAMPLES = 32


def require_samples(n_samples: int) -> None:
    """Raise ConfigError unless a map can keep that many samples."""
    if not 0 <= n_samples <= MAX_SAMPLES:
        raise ConfigError(f"samples must be 0 to {MAX_SAMPLES}, got: {n_samples}")


def refuse_existing_records(out: str, overwrite: bool) -> None:
    """Raise DataError if a local folder of records exists and may not be replaced."""
    from extmap_tf.files import refuse_existing
    from extmap_tf.records.manifest import MANIFEST_NAME

    if is_local(out):
        refuse_existing(out, overwrite, MANIFEST_NAME)


def is_local(path: str) -> bool:
    """Whether a path is on this machine and not in an object store."""
    return "://" not in path
