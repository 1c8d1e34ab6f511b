"""Adapters: whether they fit, what llama.cpp is told of them, and whose turn it is."""

import threading
from pathlib import Path
from typing import Any

import pytest
from gguf_builders import Tensor, gguf, llama_gguf

from berth_api.artifact import Artifact, Format, Task
from berth_runtime.engines.llamacpp_adapters import Adapters, Turns, check_adapters
from berth_runtime.engines.protocol import EngineSettings, LoadFailed
from berth_store.detect import DetectedModel

WAIT_SECONDS = 30
LORA: dict[str, Any] = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
PAIR = (Tensor("blk.0.attn_q.weight.lora_a", (64, 4)), Tensor("blk.0.attn_q.weight.lora_b", (4, 64)))


def check(tmp_path: Path, metadata: dict[str, Any], tensors: tuple[Tensor, ...] = PAIR) -> Adapters:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    (tmp_path / "sql.gguf").write_bytes(bytes(gguf(metadata, tensors).content))
    return check_adapters(a_wish(tmp_path, sql=tmp_path / "sql.gguf"))


def a_wish(folder: Path, **adapters: Path) -> EngineSettings:
    artifact = Artifact(format=Format.GGUF, task=Task.CHAT)
    model = DetectedModel(artifact=artifact, root=folder, weights=(folder / "model.gguf",))
    return EngineSettings(model=model, name="m", task=Task.CHAT, threads=1, memory_bytes=1 << 30, adapters=adapters)


def test_an_adapter_that_fits_is_taken(tmp_path: Path) -> None:
    assert check(tmp_path, LORA).names == ("sql",)


@pytest.mark.parametrize(
    ("metadata", "tensors", "why"),
    [
        (LORA | {"general.type": "model"}, PAIR, "is no LoRA in GGUF"),
        (LORA | {"adapter.type": "control"}, PAIR, "is no LoRA in GGUF"),
        (LORA | {"general.architecture": "qwen3"}, PAIR, "for the architecture qwen3, and the model is llama"),
        (LORA, PAIR[:1], r"matrix blk\.0\.attn_q\.weight\.lora_a of shape \(64, 4\)"),
        (
            LORA,
            (Tensor("blk.9.attn_q.weight.lora_a", (64, 4)), Tensor("blk.9.attn_q.weight.lora_b", (4, 64))),
            r"blk\.9",
        ),
        (LORA, (Tensor("blk.0.attn_q.weight.lora_a", (32, 4)), PAIR[1]), r"shape \(32, 4\)"),
        (LORA, (PAIR[0], Tensor("blk.0.attn_q.weight.lora_b", (8, 64))), "fits no matrix of this model"),
    ],
)
def test_an_adapter_for_something_else_is_refused_by_its_name(
    tmp_path: Path, metadata: dict[str, Any], tensors: tuple[Tensor, ...], why: str
) -> None:
    with pytest.raises(LoadFailed, match=why) as refused:
        check(tmp_path, metadata, tensors)
    assert "the adapter 'sql' (sql.gguf)" in str(refused.value)


def test_without_adapters_nothing_is_read() -> None:
    assert check_adapters(a_wish(Path("/nowhere"))) == Adapters("m")


def test_a_file_that_is_missing_or_damaged_is_told_by_the_adapters_name(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(llama_gguf())
    (tmp_path / "cut.gguf").write_bytes(llama_gguf()[:100])
    for name in ("cut", "absent"):
        with pytest.raises(LoadFailed, match=f"the adapter '{name}' can't be read: .*{name}.gguf"):
            check_adapters(a_wish(tmp_path, **{name: tmp_path / f"{name}.gguf"}))


def test_each_request_speaks_of_all_adapters() -> None:
    adapters = Adapters("m", ("sql", "poem"))
    assert adapters.scales(adapters.chosen("m:poem")) == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 1.0}]
    assert adapters.scales(adapters.chosen("m")) == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 0.0}]


class Visitors:
    """Threads that want their turn, and stay until they are told to go."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.inside: dict[str, threading.Event] = {}
        self._leave: dict[str, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def come(self, name: str, adapter: str | None) -> None:
        """Start a visitor, and return once it waits or is inside."""
        self.inside[name], self._leave[name] = threading.Event(), threading.Event()
        before = len(self.turns._waiting) + self.turns._running
        thread = threading.Thread(target=self._visit, args=(name, adapter), daemon=True)
        thread.start()
        self._threads.append(thread)
        with self.turns._changed:
            arrived = self.turns._changed.wait_for(
                lambda: len(self.turns._waiting) + self.turns._running > before, WAIT_SECONDS / 100
            )
        assert arrived or len(self.turns._waiting) + self.turns._running > before

    def go(self, name: str) -> None:
        self._leave[name].set()

    def enters(self, name: str) -> bool:
        return self.inside[name].wait(WAIT_SECONDS)

    def is_inside(self, name: str) -> bool:
        return self.inside[name].is_set()

    def _visit(self, name: str, adapter: str | None) -> None:
        with self.turns.turn(adapter):
            self.inside[name].set()
            assert self._leave[name].wait(WAIT_SECONDS)


def test_requests_with_one_adapter_run_together() -> None:
    visitors = Visitors()
    for name in ("first", "second", "third"):
        visitors.come(name, "sql")
    assert all(visitors.enters(name) for name in ("first", "second", "third"))
    for name in ("first", "second", "third"):
        visitors.go(name)


def test_nobody_overtakes_who_waits_for_another_adapter() -> None:
    visitors = Visitors()
    visitors.come("base", None)
    assert visitors.enters("base")
    visitors.come("sql", "sql")
    visitors.come("late base", None)
    assert not visitors.is_inside("sql")
    assert not visitors.is_inside("late base")
    visitors.go("base")
    assert visitors.enters("sql")
    assert not visitors.is_inside("late base")
    visitors.go("sql")
    assert visitors.enters("late base")
    visitors.go("late base")
