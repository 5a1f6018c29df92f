"""3D maps of the Milky Way's dust from star counts, with a neural network.

The method is that of Cornu et al. 2022 (arXiv:2201.05571). The package is layered along the way data flows;
importing it loads nothing heavier than the standard library.
"""

from typing import Any

__version__ = "0.6.0"

_LAZY = {"Config": "extmap_tf.settings.config", "ExtinctionMap": "extmap_tf.map.volume"}

__all__ = ["Config", "ExtinctionMap", "__version__"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'extmap_tf' has no attribute {name!r}")
