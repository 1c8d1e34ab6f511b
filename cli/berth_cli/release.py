"""Which Berth this is."""

from importlib.metadata import PackageNotFoundError, version


def berth_version() -> str:
    """The version of the installed distribution; `0` in a source tree that is not installed."""
    try:
        return version("berth")
    except PackageNotFoundError:
        return "0"
