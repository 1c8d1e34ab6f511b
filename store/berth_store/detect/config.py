"""What `config.json` and its companions say, in types: values of the wrong type count as unsaid."""

from collections.abc import Mapping

from berth_api.errors import UnsupportedModel
from berth_store.detect.folder import ModelFolder
from berth_store.detect.wish import ask_which
from berth_store.headers.bounded_json import Json

# Families that count positions from the padding token's number on, so that the table is longer than the text may be.
_OFFSET_POSITIONS = frozenset({"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "data2vec-text"})
_POSITION_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "max_seq_len", "seq_length")
# Tokenizers state absurd lengths for "no limit".
MAX_SANE_LENGTH = 1 << 24
MAX_LABELS = 1 << 16
TEMPLATE_NAME = "chat_template.jinja"
# Where templates for tools, documents and the like lie beside it.
MORE_TEMPLATES = "additional_chat_templates"
_TEMPLATE_SETTINGS = ("chat_template.json", "tokenizer_config.json")
MAX_TEMPLATE_CHARACTERS = 1 << 20


def text(config: Mapping[str, Json], key: str) -> str | None:
    """The non-empty text at `key`."""
    value = config.get(key)
    return value if isinstance(value, str) and value else None


def count(config: Mapping[str, Json], key: str) -> int | None:
    """The whole number from 1 at `key`."""
    value = config.get(key)
    return value if type(value) is int and 0 < value <= MAX_SANE_LENGTH else None


def share(config: Mapping[str, Json], key: str, *, most: float) -> float | None:
    """The number above 0, and up to `most`, at `key`."""
    value = config.get(key)
    return float(value) if type(value) in {int, float} and 0 < value <= most else None  # type: ignore[arg-type,operator]


def flag(config: Mapping[str, Json], key: str) -> bool:
    """Whether `key` is set to true."""
    return config.get(key) is True


def mapping(config: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """The object at `key`, or an empty one."""
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def texts(config: Mapping[str, Json], key: str) -> list[str]:
    """The texts in the list at `key`."""
    value = config.get(key)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def positions(config: Mapping[str, Json]) -> int | None:
    """The longest sequence in tokens that the model's positions allow."""
    for part in (config, mapping(config, "text_config")):
        stated = next((number for key in _POSITION_KEYS if (number := count(part, key))), None)
        if stated is not None:
            padding = part.get("pad_token_id")
            offset = padding + 1 if type(padding) is int and text(part, "model_type") in _OFFSET_POSITIONS else 0
            return max(1, stated - offset)
    return None


def labels(config: Mapping[str, Json]) -> tuple[str, ...]:
    """The classes by index, from `id2label`, or by number alone, from `num_labels`."""
    by_index = mapping(config, "id2label")
    if len(by_index) > MAX_LABELS:
        raise UnsupportedModel(f"config.json has more than {MAX_LABELS:,} labels; shorten `id2label` or fetch it again")
    names = [by_index.get(str(index)) for index in range(len(by_index))]
    if names and all(isinstance(name, str) for name in names):
        return tuple(str(name) for name in names)
    number = count(config, "num_labels") or 0
    return tuple(f"LABEL_{index}" for index in range(min(number, MAX_LABELS)))


def chat_template(folder: ModelFolder) -> str | None:
    """The Jinja text that lies in the folder: its own file first, then the tokenizer's settings."""
    name = _template_name(folder)
    template = folder.text(name) if name else None
    if template is None:
        template = next(filter(None, (_template_in(folder.json(each)) for each in _TEMPLATE_SETTINGS)), None)
    if template is not None and len(template) > MAX_TEMPLATE_CHARACTERS:
        raise UnsupportedModel("the chat template has more than a million characters, and no real one does; replace it")
    return template or None


def other_templates(folder: ModelFolder) -> tuple[str, ...]:
    """Every template that lies in the folder, whether it is the one for chats or not: engines choose among them."""
    files = [path for path in folder.files if path.suffix == ".jinja"]
    files += [path for path in folder.files_in(MORE_TEMPLATES) if path.suffix == ".jinja"]
    texts = [folder.text(str(path.relative_to(folder.root))) for path in files]
    for name in _TEMPLATE_SETTINGS:
        value = folder.json(name).get("chat_template")
        listed = value if isinstance(value, list) else [{"template": value}]
        texts += [text(each, "template") for each in listed if isinstance(each, Mapping)]
    return tuple(filter(None, texts))


def _template_name(folder: ModelFolder) -> str | None:
    """The template's own file; artifacts of Docker Model Runner may call it as they like."""
    names = [path.name for path in folder.files if path.suffix == ".jinja"]
    if TEMPLATE_NAME in names or not names:
        return TEMPLATE_NAME if names else None
    if len(names) > 1:
        remedy = f"call the one that is meant {TEMPLATE_NAME}"
        raise ask_which(str(folder.root), "several chat templates", names, remedy)
    return names[0]


def _template_in(settings: Mapping[str, Json]) -> str | None:
    """`chat_template` is a text, or a list of named texts of which `default` is the one for chats."""
    value = settings.get("chat_template")
    if isinstance(value, list):
        named = [each for each in value if isinstance(each, Mapping) and each.get("name") == "default"]
        value = named[0].get("template") if named else None
    return value if isinstance(value, str) and value else None


def remote_code(folder: ModelFolder, config: Mapping[str, Json]) -> tuple[str, ...]:
    """The Python that the model asks to run: classes of `auto_map`, and else the Python files that lie there."""
    named = mapping(config, "auto_map").values()
    wanted = sorted({str(each) for each in named if isinstance(each, str)})
    return tuple(wanted or sorted(path.name for path in folder.files if path.suffix == ".py"))
