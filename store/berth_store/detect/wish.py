"""What the user has decided already, and how detection asks for what is left: `Wish`, `ask_task`, `ask_which`."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from berth_api.artifact import Format, Task
from berth_api.errors import UnsupportedModel
from berth_store.detect.template import template_fault

MAX_NAMED = 8


class Sought(StrEnum):
    """What is looked for in the files."""

    MODEL = "model"
    ADAPTER = "adapter"
    EITHER = "either"


@dataclass(frozen=True)
class Wish:
    """The user's own words, which win over what a file says: `spec.task`, and the formats that may be served.

    The latter are that of `spec.artifact.format`, or those that the wanted engine loads; if empty, all. `own_template`
    says that a chat template of the user's takes the place of the model's, which is not judged then.
    """

    task: Task = Task.AUTO
    formats: frozenset[Format] = frozenset()
    own_template: bool = False
    sought: Sought = Sought.MODEL
    pickles: bool = False

    def allows(self, found: Format) -> bool:
        """Whether weights of this format may be served."""
        return not self.formats or found in self.formats

    @property
    def format_words(self) -> str:
        """The formats that may be served, in words."""
        return " or ".join(sorted(self.formats))

    def template(self, text: str | None, name: str, *, others: Iterable[str] = ()) -> str | None:
        """The chat template of the file or folder `name`; UnsupportedModel if it, or one of the others there, reaches
        for more than messages.
        """
        judged = () if self.own_template else filter(None, (text, *others))
        fault = next(filter(None, map(template_fault, judged)), None)
        if fault:
            raise UnsupportedModel(
                f"the chat template of {name} {fault}, and a template is only to write messages down; set "
                "`spec.chatTemplate` (or `--chat-template`) to one that you trust"
            )
        return text

    def task_or(self, found: Task | None) -> Task | None:
        """The user's task if there is one, else the one that was found."""
        return found if self.task is Task.AUTO else self.task


def ask_task(name: str, why: str, likely: Iterable[Task]) -> UnsupportedModel:
    """The error that asks for `spec.task`, naming the likely ones."""
    choices = ", ".join(likely)
    return UnsupportedModel(f"{name}: its task is open: {why}; set `spec.task` (or `--task`) to one of {choices}")


def ask_which(name: str, what: str, candidates: Iterable[str], remedy: str) -> UnsupportedModel:
    """The error that asks which of several files is meant."""
    names = list(candidates)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return UnsupportedModel(f"{name} holds {what}: {', '.join(names[:MAX_NAMED])}{more}; {remedy}")
