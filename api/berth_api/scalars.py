"""The scalar types of the API: bounded text, names, references and durations, each with one rule and one wording.

The form of a text is a CEL rule and not an OpenAPI `pattern`: the API server would answer a broken pattern with the
regular expression alone, and never reach the sentence that says what would be right.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from berth_api.bounds import MapOf
from berth_api.rules import Rule, admission_rules, check_rules


@dataclass(frozen=True)
class Text:
    """Annotation of a `str`: its greatest length and the rules of its form."""

    max_length: int
    rules: tuple[Rule, ...] = ()
    min_length: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.str_schema(max_length=self.max_length, min_length=self.min_length or None)
        return core_schema.no_info_after_validator_function(self._check, text)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        written = handler(schema)
        if self.rules:
            written["x-kubernetes-validations"] = admission_rules(self.rules)
        return written

    def _check(self, text: str) -> str:
        check_rules(self.rules, text)
        return text


@dataclass(frozen=True)
class Clipped:
    """Annotation of a `str` in a status that holds foreign words: what is too long is cut, never refused."""

    max_length: int

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._clip, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"maxLength": self.max_length}

    def _clip(self, text: str) -> str:
        return text if len(text) <= self.max_length else f"{text[: self.max_length - 1]}…"


def form(pattern: str, message: str, remedy: str) -> Rule:
    """The rule that the whole text matches `pattern`: no backslash, no quote, and RE2 and Python read it alike."""
    compiled = re.compile(pattern)
    return Rule(f"self.matches('^(?:{pattern})$')", message, remedy, holds=lambda text: bool(compiled.fullmatch(text)))


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

NAME_MAX = 50
NAME_RULE = form(
    r"[a-z]([-a-z0-9]*[a-z0-9])?",
    "not a valid name",
    "use lower-case letters, digits and `-`, starting with a letter, such as `qwen2-5`; dots belong into `aliases`",
)
DNS_LABEL_RULE = form(_LABEL, "not a valid DNS label", "use lower-case letters, digits and `-`, such as `team-a`")
SUBDOMAIN_RULE = form(
    f"{_LABEL}([.]{_LABEL})*",
    "not a valid name",
    "use lower-case letters, digits, `-` and `.`, such as `hf-token`",
)
CLIENT_NAME_RULE = form(
    _QUALIFIED,
    "clients can't send this as a model's name",
    "use letters, digits, `-`, `_` and `.`, such as `qwen2.5`; `/` and `:` are kept for `namespace/name:adapter`",
)


def optional(rule: Rule) -> Rule:
    """The same rule for a text that may be empty, which means: not given."""
    inner = rule.holds
    assert inner is not None
    return Rule(
        f"self == '' || {rule.cel}", rule.message, rule.remedy, rule.field, lambda text: text == "" or inner(text)
    )


Name = Annotated[str, Text(NAME_MAX, (NAME_RULE,))]
"""The name of a Model or ModelRoute: DNS-1035, at most 50 characters."""
OptionalName = Annotated[str, Text(NAME_MAX, (optional(NAME_RULE),))]
Namespace = Annotated[str, Text(63, (DNS_LABEL_RULE,))]
OptionalNamespace = Annotated[str, Text(63, (optional(DNS_LABEL_RULE),))]
ObjectName = Annotated[str, Text(253, (SUBDOMAIN_RULE,))]
"""The name of any other Kubernetes object, such as a Secret."""
OptionalObjectName = Annotated[str, Text(253, (optional(SUBDOMAIN_RULE),))]
KeyName = Annotated[str, Text(63, (SUBDOMAIN_RULE,))]
"""The name of an API key, as the administrator wrote it in the key Secret."""
ClientName = Annotated[str, Text(128, (CLIENT_NAME_RULE,))]
"""A name that clients send as `model`."""
Digest = Annotated[
    str, Text(71, (form("sha256:[0-9a-f]{64}", "not a valid digest", "write `sha256:` and 64 hexadecimal digits"),))
]
MapKey = Annotated[
    str,
    Text(
        253,
        (
            form(
                r"[-._a-zA-Z0-9]+", "not a valid key of a ConfigMap or Secret", "use letters, digits, `-`, `_` and `.`"
            ),
        ),
    ),
]
HeaderName = Annotated[
    str,
    Text(
        128,
        (
            form(r"[!#$%&*+.^_|~0-9a-z-]+", "not a valid header name", "write it in lower case, such as `x-tier`"),
            Rule(
                "!self.startsWith('x-berth-') && self != 'host' && self != 'content-length' && self != 'authorization'",
                "this header belongs to the gateway",
                "choose a header of your own, such as `x-tier`",
                holds=lambda name: (
                    not name.startswith("x-berth-") and name not in ("host", "content-length", "authorization")
                ),
            ),
        ),
    ),
]

_LABEL_KEY_PATTERN = f"({_LABEL}([.]{_LABEL})*/)?{_QUALIFIED}"
_LABEL_KEY = re.compile(_LABEL_KEY_PATTERN)
LABEL_KEYS_RULE = Rule(
    f"self.all(key, key.size() <= 317 && key.matches('^{_LABEL_KEY_PATTERN}$'))",
    "not every key is a valid label key",
    "use keys such as `team` or `example.com/team`",
    holds=lambda entries: all(len(key) <= 317 and _LABEL_KEY.fullmatch(key) for key in entries),
)
RESERVED_KEYS_RULE = Rule(
    "self.all(key, !key.startsWith('berth.dev/') && !key.startsWith('app.kubernetes.io/'))",
    "keys of `berth.dev/` and `app.kubernetes.io/` are Berth's own on its pods",
    "use another key",
    holds=lambda entries: not any(key.startswith(("berth.dev/", "app.kubernetes.io/")) for key in entries),
)
LabelValue = Annotated[
    str, Text(63, (optional(form(_QUALIFIED, "not a valid label value", "use letters, digits, `-`, `_` and `.`")),))
]
LabelMap = Annotated[Mapping[str, LabelValue], MapOf(64, (LABEL_KEYS_RULE,))]
PodLabelMap = Annotated[Mapping[str, LabelValue], MapOf(64, (LABEL_KEYS_RULE, RESERVED_KEYS_RULE))]
AnnotationMap = Annotated[Mapping[str, Annotated[str, Text(4096)]], MapOf(64, (LABEL_KEYS_RULE, RESERVED_KEYS_RULE))]

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A status figure: an integer that is never negative."""
