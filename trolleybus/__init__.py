"""Trolleybus: what all its services share."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("trolleybus")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
