"""What people see: progress, summaries, tables, errors."""

import io
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from berth_api.artifact import Artifact, Format, Task
from berth_api.errors import BerthError, FieldError, InvalidSpec, Unavailable
from berth_cli.failure import exit_code_of, failure_block
from berth_cli.laptop.rate import RateMeter
from berth_cli.laptop.view import ModelStage, ModelView, Transfer, View
from berth_cli.manifests.problem import InvalidManifests, Problem
from berth_cli.show.description import render_description, render_openai
from berth_cli.show.models import render_ids, render_json, render_models
from berth_cli.show.progress import changes, stage_text, summary, waiting_text, what_to_try
from berth_cli.show.quantity import age_text, bytes_text, count_text, seconds_text
from berth_cli.show.screen import LineScreen, LiveScreen, open_screen
from berth_cli.show.transfer import transfer_screen
from berth_store.digest import parse_digest
from berth_store.inspection.description import Description
from berth_store.local import StoredModel
from berth_store.progress import Progress, Stage
from berth_store.reference import Reference

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ADDRESS = "http://127.0.0.1:8080"


def model(stage: ModelStage = ModelStage.READY, key: str = "default/a", **known: object) -> ModelView:
    serving = stage is ModelStage.READY
    usual = {"ask_as": key.removeprefix("default/"), "serving": serving, "settled": serving}
    return ModelView.model_validate({"key": key, "stage": stage, **usual, **known})


def lines(*models: ModelView, before: tuple[ModelView, ...] = (), **known: object) -> list[str]:
    return list(changes(View(models=before), View(models=models, **known)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (model(ready_seconds=2.13, engine="LlamaCpp"), "ready after 2.1 s (LlamaCpp)"),
        (model(ModelStage.RESOLVING, message="asking ghcr.io"), "resolving: asking ghcr.io"),
        (model(ModelStage.PULLING, transfer=Transfer(bytes_done=1, bytes_total=3)), "pulling 33 % of 3B"),
        (
            model(
                ModelStage.PULLING,
                transfer=Transfer(bytes_done=41, bytes_total=100, bytes_per_second=1e6, seconds_left=70),
            ),
            "pulling 41 % of 100B, 1.00MB/s, 1 min 10 s left",
        ),
        (model(ModelStage.LOADING, serving=True), "loading; the version before serves on"),
        (model(ModelStage.FAILED), "failed"),
    ],
)
def test_what_a_model_does_is_said_in_a_few_words(shown: ModelView, text: str) -> None:
    assert stage_text(shown) == text


def test_each_stage_is_one_line() -> None:
    assert lines(model(ModelStage.WAITING)) == ["a: waiting"]
    assert lines(model(), before=(model(ModelStage.LOADING),)) == ["a: ready"]
    assert lines(model(), before=(model(),)) == []
    assert lines(before=(model(),)) == ["a: removed"]


def test_a_pull_is_a_line_for_each_quarter() -> None:
    shown = [
        model(ModelStage.PULLING, transfer=Transfer(bytes_done=done, bytes_total=1000)) for done in range(0, 1001, 10)
    ]
    said = [line for before, after in itertools.pairwise(shown) for line in lines(after, before=(before,))]
    assert said == [f"a: pulling {percent} % of 1.00kB" for percent in (25, 50, 75, 100)]


def test_a_failure_is_said_once_with_its_log() -> None:
    failed = model(ModelStage.FAILED, failure="the file is cut\nfetch it again", log="/logs/a.log")
    assert lines(failed) == ["a: can't be served: the file is cut\n  fetch it again\n  log: /logs/a.log"]
    assert lines(failed, before=(failed,)) == []
    assert "the old one serves on" in lines(failed.model_copy(update={"serving": True}))[0]


def test_notes_and_troubles_are_said_when_they_are_new() -> None:
    assert lines(notes=("n",), trouble="Envoy ended", rejected="1 mistake") == [
        "note: n",
        "1 mistake\nWhat served before serves on.",
        "Envoy ended",
    ]
    assert list(changes(View(trouble="x", rejected="y"), View())) == [
        "the manifests are good again",
        "the gateway is well again",
    ]


def test_the_summary_says_what_serves_and_what_does_not() -> None:
    view = View(address=ADDRESS, models=(model(), model(ModelStage.FAILED, "x/b", failure="no")), routes=("chat",))
    assert summary(view) == (
        "Ready at http://127.0.0.1:8080/v1: a; routes: chat\nNot served: x/b (the reasons stand above)"
    )
    assert summary(View(models=(model(ModelStage.FAILED, failure="no"),))).startswith("No Model is Ready.")
    assert "there is no Model" in summary(View(address=ADDRESS))


def test_what_to_try_fits_what_is_ready() -> None:
    chat, embedding = model(task="Chat"), model(key="default/e", task="Embedding")
    text = what_to_try(View(address=ADDRESS, models=(chat, embedding)), detached=True)
    assert "/v1/chat/completions" in text
    assert '"model": "e"' in text
    assert "berth down stops all" in text
    only = what_to_try(View(address=ADDRESS, models=(embedding,)), detached=False)
    assert "chat" not in only
    assert "Ctrl-C stops all" in only


def test_a_model_that_only_routes_reach_is_not_suggested() -> None:
    hidden = model(task="Chat", ask_as="")
    assert "curl" not in what_to_try(View(address=ADDRESS, models=(hidden,)), detached=False)


def test_the_python_that_is_shown_compiles() -> None:
    text = what_to_try(View(address=ADDRESS, models=(model(task="Chat"),)), detached=False)
    python = text[text.index("  from openai") :].split("\n\n")[0]
    compile("\n".join(line.removeprefix("  ") for line in python.splitlines()), "snippet", "exec")


def test_what_is_waited_for_is_named() -> None:
    view = View(models=(model(), model(ModelStage.LOADING, "default/b")))
    assert waiting_text(view) == "b (loading)"


def shown_on(console: Console, *views: View) -> str:
    screen = open_screen(console)
    for view in views:
        screen.show(view)
    screen.close()
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    text = shown_on(Console(file=io.StringIO()), View(models=(model(ModelStage.LOADING),)), View(models=(model(),)))
    assert text == "a: loading\na: ready\n"


def test_a_terminal_gets_a_table_and_failures_stay_above_it() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    failed = model(ModelStage.FAILED, "default/b", failure="[bold]no[/bold]")
    text = shown_on(console, View(models=(model(ModelStage.LOADING), failed)), View(models=(model(), failed)))
    assert "b: can't be served: [bold]no[/bold]" in text
    assert "ready" in text
    assert isinstance(open_screen(Console(file=io.StringIO(), force_terminal=True)), LiveScreen)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(open_screen(Console(file=io.StringIO(), force_terminal=True)), LineScreen)


def test_changes_while_it_serves_have_the_time_of_day() -> None:
    console = Console(file=io.StringIO())
    LineScreen(console, before=View(models=(model(),)), clock=True).show(View())
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue()[2::3].startswith("::")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_transfer_is_shown_on_any_console(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    reference = Reference.parse("localhost/a")
    with transfer_screen(console) as report:
        report(Progress(reference, Stage.RESOLVING))
        for done in range(0, 101, 5):
            report(Progress(reference, Stage.FETCHING, done, 100))
        report(Progress(reference, Stage.DONE, 100, 100))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "100" in text
    if not terminal:
        assert text.count("\n") == 12


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = RateMeter()
    assert meter.measure(500, 1000, now=0.0).bytes_per_second == 0
    assert meter.measure(500, 1000, now=0.1).seconds_left is None
    later = meter.measure(600, 1000, now=1.0)
    assert (later.bytes_per_second, later.seconds_left) == (100, 4)
    assert meter.measure(600, 1000, now=100.0).bytes_per_second < 100
    assert meter.measure(0, 1000, now=101.0).bytes_per_second == 0


def stored(name: str, digest: str = "a", **known: object) -> StoredModel:
    artifact = Artifact(format=Format.GGUF, task=Task.CHAT, **known)  # type: ignore[arg-type]
    created = NOW - timedelta(days=3)
    return StoredModel(Reference.parse(name), parse_digest("sha256:" + digest * 64), 98_300_000, created, artifact)


def test_the_list_has_the_columns_of_docker_model_runner() -> None:
    known = {"parameters": 134_520_000, "quantization": "Q4_1", "architecture": "llama", "context_length": 2048}
    text = render_models([stored("localhost/z"), stored("smollm2:135m", **known)], NOW)
    assert text == (
        "MODEL NAME    PARAMETERS  QUANTIZATION  ARCHITECTURE  MODEL ID      CREATED     CONTEXT  SIZE\n"
        "localhost/z                                           aaaaaaaaaaaa  3 days ago           98.3MB\n"
        "smollm2:135m  134.52M     Q4_1          llama         aaaaaaaaaaaa  3 days ago  2048     98.3MB\n"
    )


def test_an_artifact_that_nothing_is_known_of_has_a_row_too() -> None:
    bare = StoredModel(Reference.parse("a"), parse_digest("sha256:" + "b" * 64), 0, None, None)
    assert render_models([bare], NOW).splitlines()[1].split() == ["a", "bbbbbbbbbbbb", "0B"]


def test_the_list_as_json_has_one_object_for_each_artifact() -> None:
    models = json.loads(render_json([stored("b"), stored("a/a"), stored("c", "c")]))
    assert [one["tags"] for one in models] == [
        ["docker.io/a/a:latest", "docker.io/ai/b:latest"],
        ["docker.io/ai/c:latest"],
    ]
    assert models[0]["config"] == {"format": "gguf", "size": "98.3MB"}
    assert render_ids([stored("b"), stored("c", "c"), stored("d")]) == "aaaaaaaaaaaa\ncccccccccccc\n"


def test_an_artifact_is_shown_with_dockers_fields_first_and_those_of_a_status() -> None:
    listed = stored("b", context_length=128)
    artifact = Artifact(format=Format.GGUF, task=Task.CHAT, context_length=2048)
    description = Description(
        digest=listed.digest,
        tags=(str(listed.reference),),
        created=listed.created,
        stated=listed.artifact,
        size_bytes=listed.size_bytes,
        artifact=artifact,
        chat_template=True,
    )
    shown = json.loads(render_description(description))
    (entry,) = json.loads(render_json([listed]))
    assert list(shown.items())[: len(entry)] == list(entry.items())
    assert (shown["config"]["context_size"], shown["artifact"]["contextLength"]) == (128, 2048)
    assert (shown["sizeBytes"], shown["chatTemplate"], shown["licenseFiles"]) == (98_300_000, True, [])
    assert "problem" not in shown


def test_of_files_without_a_digest_dockers_fields_are_there_without_a_value() -> None:
    shown = json.loads(render_description(Description(tags=("https://a/b.gguf",), size_bytes=5, chat_template=False)))
    assert (shown["id"], shown["created"], shown["config"]) == (None, None, {"size": "5B"})


def test_an_artifact_is_shown_as_openai_lists_models() -> None:
    description = Description(tags=("docker.io/ai/a:latest", "x/b:1"), created=NOW, size_bytes=0, chat_template=False)
    assert json.loads(render_openai(description)) == {
        "id": "docker.io/ai/a:latest",
        "object": "model",
        "created": int(NOW.timestamp()),
        "owned_by": "berth",
    }
    bare = Description(digest="sha256:" + "a" * 64, size_bytes=0, chat_template=False)
    assert json.loads(render_openai(bare)) | {"object": ""} == {
        "id": bare.digest,
        "object": "",
        "created": 0,
        "owned_by": "berth",
    }


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.00kB"),
        (98_345_678, "98.3MB"),
        (999_600, "1.00MB"),
        (4.1e9, "4.10GB"),
        (3e15, "3000TB"),
    ],
)
def test_sizes_have_three_digits(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_counts_times_and_ages_are_short() -> None:
    assert [count_text(count) for count in (None, 7, 22_700_000, 8_190_735_360)] == ["", "7", "22.70M", "8.19B"]
    assert [seconds_text(seconds) for seconds in (0.04, 9.96, 125, 4200)] == [
        "0.0 s",
        "10 s",
        "2 min 5 s",
        "1 h 10 min",
    ]
    ages = [age_text(NOW - timedelta(seconds=seconds), NOW) for seconds in (-5, 61, 86400, 86400 * 400)]
    assert ages == ["just now", "1 minute ago", "1 day ago", "1 year ago"]
    assert age_text(None, NOW) == ""


def test_an_error_is_one_block_without_a_traceback() -> None:
    error = InvalidSpec(FieldError("a", "is wrong", "do right"), FieldError("b", "too", "so"))
    assert failure_block(error, {}) == "Error: a: is wrong\n      do right\n  b: too\n      so"
    assert "Traceback" not in failure_block(BerthError("no"), {"BERTH_DEBUG": "0"})


def test_an_error_has_its_traceback_when_asked_for() -> None:
    with pytest.raises(Unavailable) as caught:
        raise Unavailable("no")
    assert "Traceback" in failure_block(caught.value, {"BERTH_DEBUG": "1"})


def test_exit_codes_tell_wrong_manifests_from_failures() -> None:
    assert exit_code_of(InvalidManifests([Problem("a", 1, "", "x")])) == 2
    assert exit_code_of(InvalidSpec(FieldError("a", "b", "c"))) == 2
    assert exit_code_of(Unavailable("x")) == 1
