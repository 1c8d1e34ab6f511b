"""Which `engine.args` are passed on. What opens ports, paths, code or developer endpoints is refused for every engine.

`REFUSED` speaks of words that engines' own arguments are made of, so it holds for engines to come as well; `ACCEPTED`
is what the engines of this version take. `berth_api.manifest` refuses the former when a manifest is read,
`berth_api.launch` everything that the chosen engine does not take.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from berth_api.artifact import EngineType
from berth_api.conditions import Reason
from berth_api.errors import FieldError, InvalidSpec
from berth_api.suggestions import did_you_mean

REASON = Reason.ARGUMENT_REFUSED
_PATH = "spec.engine.args"

REFUSED: Mapping[str, tuple[str, ...]] = {
    "it decides where the engine listens and whom it lets in, which is Berth's part": (
        r"(.*-)?(port|ports|host|hosts|listen|socket|uds|fd|address|addr|url|endpoint|ip)",
        r"(ssl|tls|cors|allow|allowed|rpc|grpc|uvicorn)(-.*)?",
        r"(api|reuse)-.*",
        r"root-path",
        r".*-(parallel-backend|master|connector|transfer-config)",
    ),
    "it makes the engine read or write another path, or fetch from the network": (
        r"(.*-)?(path|paths|dir|directory|file|files|folder|root|download|uri|repo|fname|location)",
        r"(.*-)?(model|models|tokenizer|lora|loras|adapter|mmproj|control-vector|chat-template|template|config|grammar)",
        r"(hf|docker|model|lora|download|load|log|media|slot-save|chat-template|allowed-local-media)-.+",
        r"(.*-)?(speculative|draft).*",
    ),
    "it runs code that came with the artifact or stands in the argument": (
        r"(.*-)?(trust|remote-code|code|plugin|plugins|middleware|module|import|script|exec|command|worker-cls)(-.*)?",
        r"(.*-)?(custom-ops|extension|preload|tool-parser-plugin|library|libraries|cls|class|logits-processors?)(-.*)?",
        r"(override|additional|compilation|hf)-.*",
    ),
    "it opens endpoints or logs meant for developers": (
        r"(.*-)?(dev|debug|profiler|profile|trace|metrics|props|slots|webui|ui|dashboard)(-.*)?",
        r"(enable|disable)-(server|log|request|prompt).*",
        r"(log|verbose|verbosity|served-model-name|alias)(-.*)?",
    ),
}
_REFUSED = tuple((re.compile("|".join(patterns)), why) for why, patterns in REFUSED.items())

REFUSED_VARIABLES: Mapping[str, str] = {
    r"LD_.*|DYLD_.*|PYTHON.*|BASH_ENV|ENV|PATH|VLLM_PLUGINS": "it decides which code is run",
    r"LLAMA_ARG_.*|LLAMA_API_KEY|HF_ENDPOINT|HF_HUB_.*": "it sets an engine argument; use `spec.engine.args`",
    r"VLLM_SERVER_DEV_MODE|VLLM_ALLOW_.*|VLLM_HOST_IP|VLLM_PORT|VLLM_RPC_.*": "it opens ports or developer endpoints",
    r"BERTH_.*": "it belongs to Berth",
}


@dataclass(frozen=True)
class Value:
    """What an argument takes: the form of its value, and the same in words."""

    pattern: str
    words: str


def _one_of(*words: str) -> Value:
    return Value("|".join(words), f"one of {', '.join(f'`{word}`' for word in words)}")


_NUMBER = Value("[1-9][0-9]{0,6}", "a number above 0")
_BYTES = Value("[1-9][0-9]{0,14}", "a number of bytes")
_GIBIBYTES = Value("[0-9]{1,4}([.][0-9]{1,3})?", "a number of GiB")
_WORD = Value("[a-z][a-z0-9_-]{0,63}", "a word in small letters, digits, `_` and `-`")
_FLAG = _one_of("true", "false")
_CACHE_TYPE = _one_of("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
ACCEPTED: Mapping[EngineType, Mapping[str, Value]] = {
    EngineType.LLAMA_CPP: {
        "batch-size": _NUMBER,
        "cache-type-k": _CACHE_TYPE,
        "cache-type-v": _CACHE_TYPE,
        "flash-attn": _one_of("on", "off", "auto"),
        "n-gpu-layers": Value("-1|[0-9]{1,4}", "a number of layers, or `-1` for all"),
        "pooling": _one_of("mean", "cls", "last"),
        "threads": _NUMBER,
    },
    EngineType.ONNX_RUNTIME: {
        "aggregation": _one_of("first", "simple"),
        "normalize": _FLAG,
        "output": Value("[A-Za-z0-9_.:/-]{1,128}", "the name of one of the graph's outputs"),
        "pooling": _one_of("in-graph", "mean", "cls", "last", "max", "mean-sqrt-length", "weighted-mean"),
        "quantize": _one_of("int8"),
        "provider": _one_of("cpu", "gpu", "cuda", "tensorrt", "migraphx", "rocm", "openvino"),
        "truncate": _FLAG,
    },
    EngineType.TORCH: {
        "aggregation": _one_of("first", "simple"),
        "device": _one_of("auto", "cpu", "cuda"),
        "dtype": _one_of("auto", "float32", "float16", "bfloat16"),
        "normalize": _FLAG,
        "pooling": _one_of("mean", "cls", "last", "max", "mean-sqrt-length", "weighted-mean"),
        "truncate": _FLAG,
    },
    EngineType.VLLM: {
        "async-scheduling": _FLAG,
        "attention-backend": Value("[A-Z][A-Z0-9_]{0,63}", "the name of a backend in capital letters"),
        "block-size": _NUMBER,
        "cpu-offload-gb": _GIBIBYTES,
        "disable-cascade-attn": _FLAG,
        "disable-custom-all-reduce": _FLAG,
        "disable-sliding-window": _FLAG,
        "dtype": _one_of("auto", "half", "float16", "bfloat16", "float", "float32"),
        "enable-auto-tool-choice": _FLAG,
        "enable-chunked-prefill": _FLAG,
        "enable-expert-parallel": _FLAG,
        "enable-prefix-caching": _FLAG,
        "enforce-eager": _FLAG,
        "gpu-memory-utilization": Value("0?[.][0-9]{1,4}|1([.]0{1,4})?", "a share of the memory from 0.01 to 1"),
        "kv-cache-dtype": _WORD,
        "kv-cache-memory-bytes": _BYTES,
        "language-model-only": _FLAG,
        "long-prefill-token-threshold": _NUMBER,
        "max-cudagraph-capture-size": _NUMBER,
        "max-logprobs": _NUMBER,
        "max-num-batched-tokens": _NUMBER,
        "moe-backend": _WORD,
        "num-gpu-blocks-override": _NUMBER,
        "optimization-level": _one_of("0", "1", "2", "3"),
        "quantization": _WORD,
        "reasoning-parser": _WORD,
        "scheduling-policy": _one_of("fcfs", "priority"),
        "seed": Value("[0-9]{1,9}", "a number from 0 on"),
        "stream-interval": _NUMBER,
        "tool-call-parser": _WORD,
    },
}

FIELDS: Mapping[EngineType, Mapping[str, str]] = {
    EngineType.VLLM: {
        "convert": "spec.task",
        "max-model-len": "spec.contextLength",
        "max-num-seqs": "spec.parallelSequences",
        "pipeline-parallel-size": "spec.accelerator.nodes",
        "runner": "spec.task",
        "task": "spec.task",
        "tensor-parallel-size": "spec.accelerator.count",
    },
}
"""Arguments that Berth gives itself, and the field of a Model that each comes from."""


def split_argument(argument: str) -> tuple[str, str]:
    """Name and value of `name=value`; `--Name`, `name_x` and `name-x` are one name, and no value means `true`."""
    name, equals, value = argument.partition("=")
    return name.removeprefix("--").replace("_", "-").replace(".", "-").lower(), value if equals else "true"


def refused_arguments(args: Sequence[str]) -> tuple[FieldError, ...]:
    """What is wrong with arguments whatever the engine is: dangerous ones, and names given twice."""
    return tuple(_refusals(args))


def _refusals(args: Sequence[str]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, argument in enumerate(args):
        name, _ = split_argument(argument)
        path = f"{_PATH}[{index}]"
        why = next((why for pattern, why in _REFUSED if pattern.fullmatch(name)), None)
        if why is not None:
            yield FieldError(path, f"the engine argument `{name}` is refused: {why}", "leave it out", REASON)
        elif name in seen:
            yield FieldError(path, f"the engine argument `{name}` stands here twice", "give it once", REASON)
        seen.add(name)


def refused_variables(names: Sequence[str]) -> tuple[FieldError, ...]:
    """Variables of `pod.env` that would do what `engine.args` may not."""
    return tuple(
        FieldError(f"spec.pod.env[{index}].name", f"the variable `{name}` is refused: {why}", "leave it out", REASON)
        for index, name in enumerate(names)
        for pattern, why in REFUSED_VARIABLES.items()
        if re.fullmatch(pattern, name)
    )


def engine_arguments(engine: EngineType, args: Sequence[str]) -> dict[str, str]:
    """The arguments of one engine by name. Raises InvalidSpec for each that it does not take."""
    errors = [*refused_arguments(args), *_unknown(engine, args)]
    if errors:
        raise InvalidSpec(*errors)
    return dict(split_argument(argument) for argument in args)


def _unknown(engine: EngineType, args: Iterable[str]) -> Iterator[FieldError]:
    accepted = ACCEPTED.get(engine, {})
    for index, argument in enumerate(args):
        name, value = split_argument(argument)
        path = f"{_PATH}[{index}]"
        if name not in accepted:
            yield _not_taken(path, engine, name)
        elif not re.fullmatch(accepted[name].pattern, value):
            yield FieldError(
                path, f"`{value}` is no value of the engine argument `{name}`", f"give {accepted[name].words}", REASON
            )


def _not_taken(path: str, engine: EngineType, name: str) -> FieldError:
    field = FIELDS.get(engine, {}).get(name)
    if field is not None:
        return FieldError(path, f"Berth gives {engine} the argument `{name}` itself", f"set `{field}`", REASON)
    remedy = _what_it_takes(name, ACCEPTED.get(engine, {}))
    return FieldError(path, f"{engine} takes no argument `{name}`", remedy, REASON)


def _what_it_takes(name: str, accepted: Mapping[str, Value]) -> str:
    if not accepted:
        return "leave it out; this engine takes none"
    return did_you_mean(name, accepted) or f"it takes {', '.join(f'`{known}`' for known in accepted)}"
