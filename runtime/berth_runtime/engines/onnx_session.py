"""Opening a graph with ONNX Runtime, and its errors in plain words: for every engine module that runs one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from berth_runtime.engines.jobs import RunFailed
from berth_runtime.engines.onnx_providers import CPU, choose_providers
from berth_runtime.engines.protocol import LoadFailed
from berth_store.convert.served import ServedGraph

# Each kind of error of the library has a class of its own with no parent but Exception.
RUN_ERRORS: tuple[type[Exception], ...] = (
    native.Fail,
    native.InvalidArgument,
    native.RuntimeException,
    native.NotImplemented,
)
LOAD_ERRORS: tuple[type[Exception], ...] = (
    *RUN_ERRORS,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoSuchFile,
)

# What a graph's numbers may be; an engine computes on with float32.
OUTPUT_TYPES: Final = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})

# From where a graph that was handed over as bytes names its files.
FOLDER_KEY: Final = "session.model_external_initializers_file_folder_path"

# What stands in the library's messages and is nobody's business: its error code, and the way to a file.
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s\"'/]+/)*(?=[^\s\"'/])")
CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


def open_session(
    graph: Path | ServedGraph, *, provider: str | None = None, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Load the weights; raises `LoadFailed` with the library's reason.

    `provider` is a word of `onnx_providers`, None for the CPU. One of the `threads` for a run is best where several
    requests are computed at once: they use the cores better than one request spread over them. Shapes differ from run
    to run, so a memory pattern for each would only grow.
    """
    providers = choose_providers(onnxruntime.get_available_providers(), provider)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for the next operator would spin: measured with steps of a small language model on two shared
    # cores, that took half as much processor time again and gave half the tokens.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    source: str | bytes
    if isinstance(graph, ServedGraph):
        options.add_session_config_entry(FOLDER_KEY, str(graph.folder))
        source, name, remedy = graph.content, "the graph made of the safetensors", "fetch the model again"
    else:
        source, name, remedy = str(graph), graph.name, "export it again, or fetch it again"
    try:
        session = onnxruntime.InferenceSession(source, options, providers=list(providers))
    except LOAD_ERRORS as error:
        raise LoadFailed(f"ONNX Runtime can't load {name}: {plain_words(error)}; {remedy}") from error
    # The library goes on with the CPU alone where a driver is missing, and says so only in its log.
    if providers[0] != CPU and session.get_providers()[0] != providers[0]:
        raise LoadFailed(
            f"ONNX Runtime could not start its {providers[0]}; check that the pod has the device and its driver, or "
            f"compute on the CPU with the engine argument provider=cpu"
        )
    return session


@contextmanager
def running() -> Iterator[None]:
    """A run of a graph by a scheduler: what the library raises meanwhile becomes `RunFailed`."""
    try:
        yield
    except RUN_ERRORS as error:
        raise RunFailed("ONNX Runtime", plain_words(error)) from error


def plain_words(error: Exception) -> str:
    """The library's words without its code, and without folders of this machine."""
    words = FOLDERS.sub("", CODE.sub("", str(error)))
    return " ".join(words.split()).rstrip(".")
