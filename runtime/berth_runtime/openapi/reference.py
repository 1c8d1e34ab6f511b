"""The document as a file and as a page of Markdown; pure. `crds/generate.py` writes both."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = Mapping[str, Any]

_HEAD: Final = """\
# HTTP API

The address of the gateway, such as `http://127.0.0.1:8080`, and that of a runtime alone have the same paths.
`GET /openapi.json` gives the whole API as an OpenAPI 3.1 document, from which programs make clients;
[api/berth_api/openapi.json](../../api/berth_api/openapi.json) is that file. `make crds` writes this page from it.
"""
_ERRORS: Final = """\
## Errors

Every answer that is no success has OpenAI's form, whoever gives it, but at `/v1/messages`:

```json
{"error": {"message": "…", "type": "invalid_request_error", "param": "documents[1]", "code": "invalid_value"}}
```

`param` is the wrong field, `code` is what programs switch on. 429 and 503 have `Retry-After` where another try helps.

At `/v1/messages` engines and the gateway's agent answer in Anthropic's form, with the same status; what Envoy itself \
answers (an engine that is not reached, a body that is too large or names no model) keeps OpenAI's form there too.

```json
{"type": "error", "error": {"type": "invalid_request_error", "message": "'messages[0].role' has to be one of …"}}
```
"""


_LINE: Final = 118
_STREAM_END: Final = re.compile(r"each event has such an object, and (.*)\.$")
_NO_BOUND: Final = 1 << 30  # a width of integers, no bound that anybody meets


def render_page(document: Json) -> str:
    """The page of the whole document."""
    lines = [_HEAD.rstrip(), "", document["info"]["description"], ""]
    anywhere = ", ".join(f"`{name}`" for name in _idle_anywhere(document))
    lines += [f"Taken in every request, and without effect on an answer: {anywhere}.", ""]
    lines += ["| | path | |", "|---|---|---|"]
    lines += [
        f"| {method.upper()} | `{path}` | {operation['summary']} |" for method, path, operation in _operations(document)
    ]
    for method, path, operation in _operations(document):
        if method == "post" and not operation["summary"].startswith("The same as"):
            lines += ["", *_section(path, operation, document)]
    return "\n".join([*lines, "", _ERRORS])


def render_json(value: Any, indent: str = "") -> str:
    """JSON in as few lines as are easily read."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(flat) <= _LINE or not isinstance(value, dict | list) or not value:
        return flat
    deeper = indent + "  "
    if isinstance(value, list):
        parts, ends = [render_json(each, deeper) for each in value], "[]"
    else:
        parts, ends = [f"{json.dumps(name)}: {render_json(each, deeper)}" for name, each in value.items()], "{}"
    return f"{ends[0]}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{ends[1]}"


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, item in document["paths"].items():
        for method in ("post", "get"):
            if method in item:
                yield method, path, item[method]


def _section(path: str, operation: Json, document: Json) -> Iterator[str]:
    content = operation["requestBody"]["content"]["application/json"]
    schema = _find(content["schema"], document)
    yield from (f"## POST {path}", "", f"{operation['summary']}.", "")
    yield from ("| field | type | |", "|---|---|---|")
    for name, part in schema["properties"].items():
        if part:
            yield f"| `{name}` | {_type(part)} | {_meaning(name, part, schema)} |"
    idle = [f"`{name}`" for name in _idle(schema) if name not in _idle_anywhere(document)]
    yield from ("", f"Also without effect: {', '.join(idle)}.") if idle else ()
    answers = operation["responses"]["200"]["content"]
    if "text/event-stream" in answers:
        last = _STREAM_END.search(operation["responses"]["200"]["description"])
        assert last is not None
        yield from ("", f"`stream: true` brings the answer as server-sent events; {_words(last[1])}.")
    for example in (*_examples(content), *_examples(answers["application/json"])):
        yield from ("", "```json", render_json(_shortened(example)), "```")


def _words(said: str) -> str:
    return said.replace("[DONE]", "`[DONE]`")


def _examples(content: Json) -> list[Any]:
    if "examples" in content:
        return [each["value"] for each in content["examples"].values()]
    return [content["example"]]


def _idle_anywhere(document: Json) -> list[str]:
    schemas = [part for name, part in document["components"]["schemas"].items() if name.endswith("Request")]
    return [name for name in _idle(schemas[0]) if all(name in _idle(schema) for schema in schemas)]


def _idle(schema: Json) -> list[str]:
    return [name for name, part in schema["properties"].items() if not part]


def _shortened(value: Any) -> Any:
    """A picture is no reading matter."""
    if isinstance(value, str):
        return value if len(value) <= 60 else value[:30] + "…"
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    return {name: _shortened(each) for name, each in value.items()} if isinstance(value, dict) else value


def _meaning(name: str, part: Json, schema: Json) -> str:
    said = ["Required."] if name in schema.get("required", ()) else []
    described = [part, *part.get("anyOf", ())]
    texts = dict.fromkeys(each["description"] for each in described if "description" in each)
    return " ".join([*said, *(_sentence(text) for text in texts)])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _type(part: Json) -> str:
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_type(each) for each in part["anyOf"]))
    if "enum" in part:
        return " or ".join(f"`{word}`" for word in part["enum"])
    if part["type"] == "array":
        bound = f"up to {part['maxItems']} of: " if "maxItems" in part else "list of: "
        return bound + _type(part["items"]) if "items" in part else "list"
    bounds = [
        f"{word} {part[key]:g}" if abs(part[key]) < _NO_BOUND else ""
        for key, word in (("minimum", "from"), ("maximum", "to"))
        if key in part
    ]
    return " ".join([part["type"], *filter(None, bounds)])


def _find(schema: Json, document: Json) -> Json:
    found: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
