"""Density laws, one a module. Every module of this folder is imported, so a new law is one new file."""

from importlib import import_module
from pkgutil import iter_modules

from extmap_tf.errors import ConfigError
from extmap_tf.galaxy.laws.base import DensityLaw

_LAWS = {}
for _module in iter_modules(__path__):
    for _value in vars(import_module(f"{__name__}.{_module.name}")).values():
        if isinstance(_value, type) and issubclass(_value, DensityLaw) and _value is not DensityLaw:
            _LAWS[_value.__name__] = _value


def law_names():
    """Names of all laws, sorted."""
    return sorted(_LAWS)


def law_named(name):
    """The class of the law `name`; ConfigError where there is none."""
    if name not in _LAWS:
        raise ConfigError(f"density law must be one of {', '.join(law_names())}, got: {name!r}")
    return _LAWS[name]
