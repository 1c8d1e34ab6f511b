"""From a request to the tokens that a model goes on from: `Prompts`. The tokenizer leaves the interpreter free."""

from collections.abc import Sequence

import tokenizers

from berth_runtime.engines.decoder_requests import Wanted
from berth_runtime.engines.decoder_template import ChatTemplate, TemplateRefused, TooLong
from berth_runtime.engines.protocol import Failure
from berth_runtime.engines.text_tokens import CHARACTERS_PER_TOKEN
from berth_runtime.engines.written import context_exceeded

Tokens = list[int]


class Prompts:
    """A tokenizer, and the template that chats are written down by (None: the model knows no chats)."""

    def __init__(
        self, tokenizer: tokenizers.Tokenizer, template: ChatTemplate | None, *, context_length: int, vocabulary: int
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._template = template
        self._context_length = context_length
        self._most_characters = context_length * CHARACTERS_PER_TOKEN
        self._vocabulary = vocabulary

    def read(self, wanted: Wanted) -> list[Tokens] | Failure:
        """The prompts of a request, one of a chat; or why there is none."""
        if wanted.chat:
            found = [self._chat(wanted)]
        else:
            prompt = wanted.body["prompt"]
            several = isinstance(prompt, list) and not isinstance(prompt[0], int)
            found = [self._one(each) for each in (prompt if several else [prompt])]
        return next((each for each in found if isinstance(each, Failure)), None) or [
            each for each in found if not isinstance(each, Failure)
        ]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without the marks among them."""
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def _chat(self, wanted: Wanted) -> Tokens | Failure:
        assert self._template is not None, "without a template no chats are let in"
        more = wanted.body.get("chat_template_kwargs", {})
        try:
            text = self._template.render(wanted.body["messages"], more, most=self._most_characters)
        except TemplateRefused as error:
            why = f"The model's chat template refuses these messages: {error}"
            return Failure(400, "invalid_value", why, "messages")
        except TooLong:
            return self._too_long("messages")
        # The template writes the marks itself.
        return self._tokens(text, "messages", marks=False)

    def _one(self, prompt: str | Tokens) -> Tokens | Failure:
        if isinstance(prompt, str):
            return self._tokens(prompt, "prompt", marks=True)
        if max(prompt) >= self._vocabulary:
            return Failure(400, "invalid_value", "The prompt has a token id that this model does not know.", "prompt")
        return self._checked(prompt, "prompt")

    def _tokens(self, text: str, field: str, *, marks: bool) -> Tokens | Failure:
        if len(text) > self._most_characters:
            return self._too_long(field)
        try:
            return self._checked(self._tokenizer.encode(text, add_special_tokens=marks).ids, field)
        except Exception as error:  # noqa: BLE001 - the library's only class, and Python's for half of a character
            return Failure(400, "invalid_value", f"The text can't be tokenised: {error}", field)

    def _checked(self, tokens: Tokens, field: str) -> Tokens | Failure:
        """There is room for one more token at least."""
        if not tokens:
            return Failure(400, "invalid_value", "The prompt has no tokens; send some text.", field)
        return tokens if len(tokens) < self._context_length else context_exceeded(len(tokens), self._context_length)

    def _too_long(self, field: str) -> Failure:
        return Failure(
            400,
            "context_length_exceeded",
            f"This model's maximum context length is {self._context_length} tokens, and the text has more than "
            f"{self._most_characters:,} characters. Shorten it.",
            field,
        )
