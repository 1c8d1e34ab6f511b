"""`/v1/rerank`, also as `/v2/rerank` and `/rerank`."""

from aiohttp import web

from berth_runtime.engines.protocol import Operation, RerankRequest
from berth_runtime.openai.rerank import read_documents, read_query, render_rerank
from berth_runtime.routes.bodies import read_asked
from berth_runtime.routes.streams import ask_rows, new_id, render_json


async def answer_rerank(request: web.Request) -> web.StreamResponse:
    """The documents that answer the query best, with a score each."""
    asked = await read_asked(request, Operation.RERANK)
    query, documents = read_query(asked.body.get("query")), read_documents(asked.body.get("documents"))
    scores = await ask_rows(request, asked.model, RerankRequest(query, documents))
    answer = render_rerank(
        scores,
        documents,
        answer_id=new_id("rerank"),
        model=asked.model.name,
        top_n=asked.given.get("top_n"),
        return_documents=asked.given.get("return_documents", False),
    )
    return render_json(request, answer)
