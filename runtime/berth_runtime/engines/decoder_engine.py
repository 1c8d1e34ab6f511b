"""The engine for ONNX graphs that write text, put together for one model.

Created by `berth_runtime.engines.onnxruntime`. One thread makes tokens of requests, another (`decoder_batch`) writes
all texts; the library computes a step on all cores.
"""

import threading
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING

from berth_api.artifact import Task
from berth_runtime.engines.decoder_answers import Answer, Part
from berth_runtime.engines.decoder_batch import Batch, Text
from berth_runtime.engines.decoder_graph import DecoderGraph
from berth_runtime.engines.decoder_plan import plan_decoder
from berth_runtime.engines.decoder_prompts import Prompts
from berth_runtime.engines.decoder_requests import PARAMETERS, Wanted, read_request
from berth_runtime.engines.decoder_sampling import Sampler
from berth_runtime.engines.decoder_template import ChatTemplate
from berth_runtime.engines.decoder_text import TextWriter
from berth_runtime.engines.first_reply import FirstReply, proof_request
from berth_runtime.engines.onnx_session import OUTPUT_TYPES, open_session
from berth_runtime.engines.protocol import (
    OTHER_OPERATION,
    Capabilities,
    ChatRequest,
    CompletionRequest,
    EngineSettings,
    Failure,
    LoadFailed,
    Operation,
    Reply,
    Request,
    Usage,
)
from berth_runtime.engines.tokenizer_file import read_tokenizer

if TYPE_CHECKING:
    from berth_store.detect import DecoderSettings

Job = tuple[ChatRequest | CompletionRequest, Reply]


class DecoderEngine:
    """One model; see `engines.protocol.Engine` for what each method promises."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._context_length = 0
        self._decoder: DecoderSettings
        self._prompts: Prompts
        self._batch: Batch

    def load(self) -> Capabilities:
        """Read tokenizer, template and weights, take room for the cache, and start the threads."""
        model, decoder = self._settings.model, self._settings.model.decoder
        if decoder is None or model.tokenizer is None:
            raise LoadFailed(
                f"{model.weights[0].name} is no graph that writes text; set `spec.task`, or take another model"
            )
        plan = plan_decoder(self._settings, decoder)
        template = model.chat_template and ChatTemplate(model.chat_template, bos=decoder.bos, eos=decoder.eos)
        if self._settings.task is Task.CHAT and not template:
            raise LoadFailed("the model has no chat template; give one by --chat-template, or set the task Completion")
        self._decoder, self._context_length = decoder, plan.context_length
        self._prompts = Prompts(
            read_tokenizer(model.tokenizer),
            template or None,
            context_length=plan.context_length,
            vocabulary=decoder.vocabulary,
        )
        session = open_session(model.weights[0], threads=self._settings.threads)
        made = next(each.type for each in session.get_outputs() if each.name == decoder.logits)
        if made not in OUTPUT_TYPES:
            raise LoadFailed(f"the graph's logits are {made}; build it with float32 or float16 ones")
        graph = DecoderGraph(session, decoder, rows=plan.sequences, context_length=plan.context_length)
        self._batch = Batch(graph, read_tokens=plan.read_tokens)
        self._batch.start()
        threading.Thread(target=self._work, name="prompts", daemon=True).start()
        return Capabilities(
            parameters={
                operation: fields
                for operation, fields in PARAMETERS.items()
                if template or operation is not Operation.CHAT
            },
            parallel_requests=plan.sequences,
            context_length=plan.context_length,
        )

    def prove(self) -> None:
        """Write one token, as if a client had asked for it."""
        proof = FirstReply()
        self.submit(proof_request(self._settings.task, self._settings.name), proof)
        proof.wait()

    def submit(self, request: Request, reply: Reply) -> None:
        """Leave the request to the thread that makes tokens of it."""
        if isinstance(request, ChatRequest | CompletionRequest):
            self._jobs.put((request, reply))
        else:
            reply.fail(OTHER_OPERATION)

    def _work(self) -> None:
        while True:
            request, reply = self._jobs.get()
            try:
                self._prepare(request, reply)
            except Exception:  # noqa: BLE001 - the outermost loop of this thread; one request's bug is not the others'
                traceback.print_exc()
                reply.fail(Failure(500, "engine_error", "The engine failed on this request; its log has the reason."))

    def _prepare(self, request: ChatRequest | CompletionRequest, reply: Reply) -> None:
        if reply.gone:
            reply.finish(Usage(0))
            return
        wanted = read_request(request, self._decoder)
        if isinstance(wanted, Failure):
            reply.fail(wanted)
            return
        prompts = self._prompts.read(wanted)
        if isinstance(prompts, Failure):
            reply.fail(prompts)
            return
        asked = [(prompt, choice) for prompt in prompts for choice in range(wanted.choices)]
        writers = [TextWriter(self._prompts.decode, prompt, wanted.stops) for prompt, _ in asked]
        answer = Answer(reply, wanted, prompt_tokens=sum(map(len, prompts)), writers=writers)
        self._batch.add(
            [
                self._text(wanted, prompt, choice, part)
                for (prompt, choice), part in zip(asked, answer.parts, strict=True)
            ]
        )

    def _text(self, wanted: Wanted, prompt: list[int], choice: int, part: Part) -> Text:
        room = self._context_length - len(prompt)
        return Text(
            prompt=prompt,
            most=room if wanted.most is None else min(room, wanted.most),
            ends=frozenset() if wanted.ignore_end else frozenset(self._decoder.end_tokens),
            chooser=Sampler(wanted.sampling, prompt, choice=choice),
            writer=part,
        )
