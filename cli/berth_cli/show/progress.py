"""The progress of `berth up` in words: what a Model does, which lines a change is worth, what to say at the end.

Pure: views in, text out. `berth_cli.show.screen` decides whether the text becomes a live table or plain lines.
"""

import json
from collections.abc import Iterator

from berth_cli.laptop.view import ModelStage, ModelView, Transfer, View
from berth_cli.show.quantity import bytes_text, seconds_text

_EMBEDDING = "Embedding"
_CHAT_TASKS = frozenset({"", "Chat", "Completion", "Auto"})


def stage_text(model: ModelView) -> str:
    """What the Model does now, in a few words."""
    if model.serving and model.stage is not ModelStage.READY:
        return f"{_newest_text(model)}; the version before serves on"
    return _newest_text(model)


def _newest_text(model: ModelView) -> str:
    if model.stage is ModelStage.PULLING and model.transfer is not None:
        return transfer_text(model.transfer)
    if model.stage is ModelStage.READY:
        after = f" after {seconds_text(model.ready_seconds)}" if model.ready_seconds is not None else ""
        return f"ready{after}" + (f" ({model.engine})" if model.engine else "")
    if model.stage is ModelStage.FAILED:
        return "failed"
    word = model.stage.value.lower()
    return f"{word}: {model.message}" if model.message else word


def transfer_text(transfer: Transfer) -> str:
    """`pulling 41 % of 98.3MB, 12.0MB/s, 5 s left`."""
    parts = [f"pulling {transfer.percent} % of {bytes_text(transfer.bytes_total)}"]
    if transfer.bytes_per_second >= 1:
        parts.append(f"{bytes_text(transfer.bytes_per_second)}/s")
    if transfer.seconds_left is not None:
        parts.append(f"{seconds_text(transfer.seconds_left)} left")
    return ", ".join(parts)


def changes(before: View, after: View) -> Iterator[str]:
    """The lines that the step from one view to the next is worth: notes, stages, failures, the gateway's trouble."""
    yield from (f"note: {note}" for note in after.notes if note not in before.notes)
    known = {model.key: model for model in before.models}
    for model in after.models:
        yield from _model_changes(known.get(model.key), model)
    left = {model.key for model in after.models}
    yield from (f"{model.title}: removed" for model in before.models if model.key not in left)
    if after.rejected != before.rejected:
        yield rejected_text(after) if after.rejected else "the manifests are good again"
    if after.trouble != before.trouble:
        yield after.trouble or "the gateway is well again"


def _model_changes(before: ModelView | None, after: ModelView) -> Iterator[str]:
    if after.failure and (before is None or before.failure != after.failure):
        yield failure_text(after)
    if after.stage is not ModelStage.FAILED and (before is None or _line_key(before) != _line_key(after)):
        yield f"{after.title}: {stage_text(after)}"


def _line_key(model: ModelView) -> tuple[object, ...]:
    # A line for each quarter of a pull, so that a log file shows that it moves and stays short.
    quarter = model.transfer.percent // 25 if model.transfer and model.stage is ModelStage.PULLING else None
    return (model.stage, model.message, quarter, model.restarts)


def failure_text(model: ModelView) -> str:
    """Why a Model is not (or not newly) served, and where to read more."""
    what = "the new version can't be served, the old one serves on" if model.serving else "can't be served"
    lines = [f"{model.title}: {what}: {_indent(model.failure)}"]
    if model.log:
        lines.append(f"  log: {model.log}")
    return "\n".join(lines)


def rejected_text(view: View) -> str:
    """Why an edit is not served."""
    return f"{view.rejected}\nWhat served before serves on."


def _indent(text: str) -> str:
    return "\n  ".join(text.splitlines())


def summary(view: View) -> str:
    """What serves where and what failed, once all that can be Ready is."""
    lines = []
    if view.ready:
        names = ", ".join(model.title for model in view.ready)
        lines.append(f"Ready at {view.address}/v1: {names}" + _routes(view))
    elif view.models:
        lines.append("No Model is Ready.")
    else:
        lines.append(f"The gateway is Ready at {view.address}/v1, and there is no Model." + _routes(view))
    if failed := [model.title for model in view.failed if not model.serving]:
        lines.append(f"Not served: {', '.join(failed)} (the reasons stand above)")
    return "\n".join(lines)


def waiting_text(view: View) -> str:
    """The Models that are not settled yet, with what each does."""
    waiting = [f"{model.title} ({stage_text(model)})" for model in view.models if not model.settled]
    return ", ".join(waiting) or "the gateway"


def _routes(view: View) -> str:
    return f"; routes: {', '.join(view.routes)}" if view.routes else ""


def what_to_try(view: View, *, detached: bool) -> str:
    """Commands that work as printed, for what is Ready."""
    parts = []
    asked = [model for model in view.ready if model.ask_as]
    if chat := next((model for model in asked if model.task in _CHAT_TASKS), None):
        parts += [_curl_chat(view.address, chat), _python_chat(view.address, chat)]
    if embedding := next((model for model in asked if model.task == _EMBEDDING), None):
        parts.append(_curl_embedding(view.address, embedding))
    stop = "berth down" if detached else "Ctrl-C"
    parts.append(f"More in examples/. An edit of the manifest takes effect at once. {stop} stops all.")
    return "Try:\n\n" + "\n\n".join(parts)


def _curl_chat(address: str, model: ModelView) -> str:
    body = {"model": model.ask_as, "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
    return _curl(f"{address}/v1/chat/completions", body)


def _curl_embedding(address: str, model: ModelView) -> str:
    return _curl(f"{address}/v1/embeddings", {"model": model.ask_as, "input": "A ship comes into the harbour."})


def _curl(url: str, body: dict[str, object]) -> str:
    return f"  curl -N {url} -H 'Content-Type: application/json' \\\n    -d '{json.dumps(body)}'"


def _python_chat(address: str, model: ModelView) -> str:
    return f'''\
  from openai import OpenAI
  client = OpenAI(base_url="{address}/v1", api_key="none")
  messages = [{{"role": "user", "content": "Say hello."}}]
  print(client.chat.completions.create(model="{model.ask_as}", messages=messages).choices[0].message.content)'''
