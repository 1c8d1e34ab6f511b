"""Tiny models of transformers' architectures with weights by a fixed seed, and what transformers itself says by them.

For Pythons with PyTorch alone: `tests/integration/torch` runs it there.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from tiny_encoders import VOCABULARY, write_tiny_tokenizer
from tokenizers import Tokenizer

from berth_api.artifact import Task

LABELS = ("B-A", "B-B", "B-C")
_HIDDEN = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_WORDS = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    **dict.fromkeys(("bos_token_id", "cls_token_id"), 5),
    **dict.fromkeys(("eos_token_id", "sep_token_id"), 3),
}
_DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
# Each architecture with what its configuration wants besides.
TEXTS: Mapping[str, Mapping[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bert": {},
    "camembert": {},
    "deberta": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True},
    "deberta-v2": {"pos_att_type": ["c2p", "p2c"], "relative_attention": True, "position_buckets": 8},
    "distilbert": _DISTIL,
    "electra": {"embedding_size": 16},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 4},
    "mpnet": {},
    "nomic_bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
}
TEXT_CLASSES: Mapping[Task, tuple[str, int]] = {
    Task.EMBEDDING: ("AutoModel", 0),
    Task.RERANK: ("AutoModelForSequenceClassification", 1),
    Task.TEXT_CLASSIFICATION: ("AutoModelForSequenceClassification", 3),
    Task.TOKEN_CLASSIFICATION: ("AutoModelForTokenClassification", 3),
}
_EDGE = 32
_PATCHES = {"image_size": _EDGE, "patch_size": 8, **_HIDDEN}
_STAGES = {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]}
PICTURES: Mapping[str, Mapping[str, Any]] = {
    "beit": _PATCHES,
    "convnext": _STAGES,
    "convnextv2": _STAGES,
    "deit": {**_PATCHES, "architectures": ["DeiTForImageClassification"]},
    "dinov2": _PATCHES,
    "efficientnet": {"width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 320, "image_size": _EDGE},
    "mobilenet_v2": {"image_size": _EDGE, "depth_multiplier": 0.35},
    "regnet": {**_STAGES, "embedding_size": 8, "groups_width": 8},
    "resnet": {**_STAGES, "embedding_size": 8, "layer_type": "basic"},
    "segformer": {**_STAGES, "num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 16},
    "swin": {
        "image_size": _EDGE,
        "patch_size": 4,
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
    },
    "vit": _PATCHES,
}
_DETR = {
    "d_model": 32,
    **dict.fromkeys(("encoder_layers", "decoder_layers"), 1),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
    "num_queries": 9,
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
}
DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "conditional_detr": _DETR,
    "detr": _DETR,
    "rt_detr": {
        **_DETR,
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [16, 16, 24],
        "decoder_in_channels": [32, 32, 32],
        "num_denoising": 0,
    },
    "yolos": {"image_size": [64, 64], "patch_size": 16, "num_detection_tokens": 9, **_HIDDEN},
}


def write_text_model(folder: Path, name: str, task: Task) -> torch.nn.Module:
    """Write the model with its tokenizer; it, loaded by transformers with its plainest attention."""
    auto_class, labels = TEXT_CLASSES[task]
    settings = {**_HIDDEN, **_WORDS, **TEXTS[name], **_labels(labels)}
    found = _write(folder, name, auto_class, settings)
    write_tiny_tokenizer(folder)
    return found


def write_picture_model(folder: Path, name: str) -> torch.nn.Module:
    """Write the classifier with the settings for pictures; it, loaded by transformers."""
    settings = {**PICTURES[name], **_labels(len(LABELS))}
    found = _write(folder, name, "AutoModelForImageClassification", settings)
    return _with_pictures(folder, found, {"size": {"height": _EDGE, "width": _EDGE}})


def write_detector(folder: Path, name: str) -> torch.nn.Module:
    """Write the detector with the settings for pictures; it, loaded by transformers."""
    settings: dict[str, Any] = {**DETECTORS[name], **_labels(len(LABELS))}
    if name != "yolos":
        kind = "rt_detr_resnet" if name == "rt_detr" else "resnet"
        stages = {**_STAGES, "embedding_size": 8, "layer_type": "basic", "out_features": ["stage2", "stage3", "stage4"]}
        if name != "rt_detr":
            stages["out_features"] = ["stage4"]
        settings["backbone_config"] = transformers.AutoConfig.for_model(kind, **stages)
    found = _write(folder, name, "AutoModelForObjectDetection", settings)
    fixed = {"size": {"height": 64, "width": 64}}
    kept = {"size": {"shortest_edge": 48, "longest_edge": 64}, "image_processor_type": "DetrImageProcessor"}
    return _with_pictures(folder, found, kept if name == "detr" else fixed)


def _labels(count: int) -> dict[str, Any]:
    names = dict(enumerate(LABELS[:count]))
    return {"id2label": names, "label2id": {name: index for index, name in names.items()}} if count else {}


def _write(folder: Path, name: str, auto_class: str, settings: Mapping[str, Any]) -> torch.nn.Module:
    torch.manual_seed(7)
    model = getattr(transformers, auto_class).from_config(transformers.AutoConfig.for_model(name, **settings))
    for parameter in model.parameters():
        if parameter.ndim >= 2:  # of the size at which neither small nor large layers drown a signal
            parameter.data = torch.randn_like(parameter) / math.sqrt(math.prod(parameter.shape[1:]))
        else:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    found: torch.nn.Module = getattr(transformers, auto_class).from_pretrained(folder, attn_implementation="eager")
    return found.eval()


def _with_pictures(folder: Path, model: torch.nn.Module, settings: Mapping[str, Any]) -> torch.nn.Module:
    stated = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **settings}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return model


def pictures() -> list[Image.Image]:
    """Two that have nothing in common, of different shapes."""
    values = np.linspace(0, 255, 40 * 60 * 3).astype(np.uint8)
    noise = np.random.default_rng(3).integers(0, 255, (90, 50, 3), dtype=np.uint8)
    return [Image.fromarray(values.reshape(40, 60, 3)), Image.fromarray(noise)]


def _fed(model: Any, folder: Path, text: str, pair: str | None = None) -> tuple[dict[str, torch.Tensor], list[int]]:
    """One sequence as the model takes it, alone; and which of its tokens are no marks."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = tokenizer.encode(text, pair)
    feed = {"input_ids": torch.tensor([found.ids]), "attention_mask": torch.ones(1, len(found.ids), dtype=torch.long)}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        feed["token_type_ids"] = torch.tensor([found.type_ids])
    return feed, [at for at, special in enumerate(found.special_tokens_mask) if not special]


def mean_vector(model: Any, folder: Path, text: str) -> Any:
    """The mean of the tokens' vectors."""
    return model(**_fed(model, folder, text)[0]).last_hidden_state[0].mean(dim=0).detach().numpy()


def logits(model: Any, folder: Path, text: str, pair: str | None = None) -> Any:
    """The scores of the classes of a text, or of a pair of texts."""
    return model(**_fed(model, folder, text, pair)[0]).logits[0].detach().numpy()


def entities(model: Any, folder: Path, text: str) -> list[tuple[str, float]]:
    """Class and probability of each word: here each is a token, and each class begins an entity."""
    feed, words = _fed(model, folder, text)
    shares = model(**feed).logits[0].softmax(dim=-1)[words]
    return [(LABELS[int(row.argmax())].removeprefix("B-"), float(row.max())) for row in shares]


def outputs(model: Any, tensor: Any) -> dict[str, Any]:
    """What the model says of one picture."""
    found = model(pixel_values=torch.from_numpy(tensor)[None])
    return {name: found[name][0].detach().numpy() for name in ("logits", "pred_boxes") if name in found}


def objects(found: Mapping[str, Any], labels: int, size: tuple[int, int]) -> list[tuple[float, Any]]:
    """Score and (x, y, width, height) in the picture's pixels of all that has a size, best first."""
    scores = torch.from_numpy(found["logits"])
    if scores.shape[1] == labels + 1:
        best = scores.softmax(dim=-1)[:, :-1].max(dim=-1).values
        queries = np.arange(len(best))
    else:
        best = scores.sigmoid().flatten()
        queries = np.repeat(np.arange(len(scores)), labels)
    listed = []
    for at in np.argsort(-best.numpy(), kind="stable"):
        x, y, width, height = found["pred_boxes"][queries[at]].astype(np.float64) * [*size, *size]
        left, right = np.clip([x - width / 2, x + width / 2], 0, size[0])
        top, bottom = np.clip([y - height / 2, y + height / 2], 0, size[1])
        if right - left >= 0.01 and bottom - top >= 0.01:
            listed.append((float(best[at]), np.array([left, top, right - left, bottom - top])))
    return listed
