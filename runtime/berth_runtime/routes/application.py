"""The table of contents of the HTTP server: every route, and what stands around all of them."""

from aiohttp import web

from berth_api.http_api import DOCUMENT_PATH
from berth_api.openai_errors import MAX_BODY_BYTES
from berth_runtime.catalog import Catalog
from berth_runtime.dialects.table import DIALECTS
from berth_runtime.drain import Drain
from berth_runtime.metrics import Metrics
from berth_runtime.routes.classification import answer_classify
from berth_runtime.routes.document import answer_document
from berth_runtime.routes.embeddings import answer_embeddings
from berth_runtime.routes.frame import openai_frame
from berth_runtime.routes.generation import answer_chat, answer_completion, answer_generate, answer_translated
from berth_runtime.routes.images import answer_image_classify, answer_image_detect, answer_image_recognize
from berth_runtime.routes.keys import CATALOG, DRAIN, METRICS
from berth_runtime.routes.models import answer_model, answer_models
from berth_runtime.routes.probes import answer_live, answer_metrics, answer_ready, answer_status
from berth_runtime.routes.rerank import answer_rerank


async def name_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Who answers is nobody's business in detail; aiohttp would tell its version and Python's."""
    response.headers["server"] = "berth"


def build_application(catalog: Catalog, metrics: Metrics, drain: Drain) -> web.Application:
    """The application; it starts nothing and owns nothing."""
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[openai_frame])
    app.on_response_prepare.append(name_server)
    app[CATALOG], app[METRICS], app[DRAIN] = catalog, metrics, drain
    app.router.add_post("/v1/chat/completions", answer_chat)
    for path, translate in DIALECTS.items():
        app.router.add_post(path, answer_translated(translate))
    app.router.add_post("/v1/completions", answer_completion)
    app.router.add_post("/v1/embeddings", answer_embeddings)
    app.router.add_post("/embeddings", answer_embeddings)
    app.router.add_post("/generate", answer_generate)
    app.router.add_post("/v1/rerank", answer_rerank)
    app.router.add_post("/v2/rerank", answer_rerank)
    app.router.add_post("/rerank", answer_rerank)
    app.router.add_post("/v1/classify", answer_classify)
    app.router.add_post("/classify", answer_classify)
    app.router.add_post("/v1/images/classify", answer_image_classify)
    app.router.add_post("/v1/images/detect", answer_image_detect)
    app.router.add_post("/v1/images/recognize", answer_image_recognize)
    app.router.add_get("/v1/models", answer_models)
    app.router.add_get("/v1/models/{id}", answer_model)
    app.router.add_get(DOCUMENT_PATH, answer_document)
    app.router.add_get("/health", answer_ready)
    app.router.add_get("/health/live", answer_live)
    app.router.add_get("/health/ready", answer_ready)
    app.router.add_get("/metrics", answer_metrics)
    app.router.add_get("/status", answer_status)
    return app
