"""The Lua scripts that Envoy runs, as text. They are package data beside this file."""

from importlib.resources import files


def script(name: str) -> str:
    """The source of `lua/<name>.lua`."""
    return (files("berth_gateway") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
