"""Chat templates are programs from elsewhere: `template_fault` says what in one reaches beyond messages and text.

Engines run templates in sandboxes of their own, and sandboxes have been left before (CVE-2026-5760, CVE-2025-27516). So
whatever leads from a value to Python itself is refused here, before any engine sees it: dunder names in any spelling,
private attributes, the filter `attr`, frames and globals, other templates, and underscores that are put together at
run time. Real templates need none of it; the user may give another one by `spec.chatTemplate`.

Only code is looked at (`{{ }}` and `{% %}`), for text between it is just printed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CODE = re.compile(r"\{\{|\{%|\{#")
_TOKEN = re.compile(
    r"""(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|(?P<end>-?\+?(?:\}\}|%\}))|(?P<name>\w+)|(?P<other>\S)|\s+""",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|[0-7]{1,3})")
# Attributes that lead from generators, functions, frames and modules to everything else.
_ATTRIBUTES = frozenset(
    {
        *("mro", "subclasses", "format_map", "func_globals", "func_code", "im_func", "im_self"),
        *("gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "cr_await", "ag_frame", "ag_code"),
        *("f_globals", "f_locals", "f_builtins", "f_back", "f_code", "tb_frame", "tb_next", "co_code", "co_consts"),
    }
)
_FILTERS = frozenset({"attr", "pprint"})
_STATEMENTS = frozenset({"import", "include", "extends", "from"})
# What Jinja itself puts into every template, and what a careless host may.
_NAMES = frozenset(
    {"lipsum", "cycler", "joiner", "getattr", "setattr", "globals", "locals", "eval", "exec", "builtins"}
)
_TAKES_APART = frozenset({"list", "select", "reject", "first", "last", "random", "batch", "slice"})
_JOINS = frozenset("~+*[,")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def template_fault(text: str) -> str | None:
    """What is wrong with the Jinja text, as the end of the sentence "the template …"; None if nothing is."""
    return next((fault for code in _codes(text) for fault in _faults(code)), None)


def _codes(text: str) -> Iterator[list[_Token]]:
    """The tokens of each stretch of code."""
    at = 0
    while opened := _CODE.search(text, at):
        at = opened.end()
        if opened[0] == "{#":
            closed = text.find("#}", at)
            at = len(text) if closed < 0 else closed + 2
            continue
        tokens: list[_Token] = []
        for found in _TOKEN.finditer(text, at):
            at = found.end()
            if found.lastgroup == "end":
                break
            if found.lastgroup is not None:
                tokens.append(_Token(found.lastgroup, found[0]))
        yield tokens


def _faults(tokens: list[_Token]) -> Iterator[str]:
    nothing = _Token("other", "")
    statement = next((token.text for token in tokens if token.text not in "-+"), "")
    if statement in _STATEMENTS:
        yield f"loads another one (`{statement}`)"
    words = [token.text for token in tokens]
    for at, word in enumerate(words):
        if (
            word == "string"
            and words[at - 1 : at] == ["|"] == words[at + 1 : at + 2]
            and words[at + 2 : at + 3]
            and words[at + 2] in _TAKES_APART
        ):
            yield f"takes texts of Python's own apart (`|string|{words[at + 2]}`)"
    for before, token, after in zip([nothing, *tokens], tokens, [*tokens[1:], nothing], strict=False):
        fault = _string_fault(before, token, after) if token.kind == "string" else _name_fault(before, token)
        if fault:
            yield fault


def _name_fault(before: _Token, token: _Token) -> str | None:
    if token.kind != "name":
        return None
    if "__" in token.text:
        return f"reaches for `{token.text[:40]}`"
    if before.text == "." and (token.text.startswith("_") or token.text in _ATTRIBUTES):
        return f"reaches for the attribute `{token.text[:40]}`"
    if before.text == "|" and token.text in _FILTERS:
        return f"uses the filter `{token.text}`"
    return f"uses `{token.text}`" if before.text not in {".", "|"} and token.text in _NAMES else None


def _string_fault(before: _Token, token: _Token, after: _Token) -> str | None:
    """A text that is an attribute's name, or a part of one that other parts are put to."""
    if len(token.text) > 4096:
        # What is as long as that is a prompt, and no name.
        return "has a dunder name in a text" if re.search(r"__\w{1,40}__", token.text) else None
    content = _ESCAPE.sub(_unescaped, token.text[1:-1])
    shown = token.text[:40]
    if re.search(r"__\w|\w__", content):
        return f"has the text {shown}, part of a dunder name"
    is_key = before.text == "[" and after.text == "]"
    if is_key and (content.startswith("_") or content in _ATTRIBUTES):
        return f"reaches for the attribute {shown}"
    is_joined = before.text in _JOINS or after.text in _JOINS - {"["}
    is_argument = (before.text == "(" and after.text in {",", ")"}) or (before.text == "," and after.text == ")")
    if is_joined and (re.fullmatch(r"_\w+_", content) or (re.fullmatch(r"_+", content) and not is_argument)):
        return f"puts names together from {shown}"
    if "%c" in content or (after.text == "." and re.search(r"\{[^}]*[.\[]", content)):
        return f"puts texts together by the format {shown}"
    return None


def _unescaped(found: re.Match[str]) -> str:
    code = found[1]
    if code[0] == "N":
        return "_"  # By name: whatever it is, nobody writes a prompt like this.
    return chr(min(int(code[1:], 16) if code[0] in "xuU" else int(code, 8), 0x10FFFF))
