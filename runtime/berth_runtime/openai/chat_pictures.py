"""Pictures in the messages of a chat: data URLs alone, because an engine never reads the network; pure.

They stay encoded, as the engines take them, and are not looked at here: that is done where a hostile picture harms
least, in the worker process. `image_field` reads those of `/v1/images/…`.
"""

import re
from typing import Any, Final

from berth_runtime.openai.errors import refuse

Json = dict[str, Any]

MAX_PICTURES: Final = 16
MAX_PICTURE_BYTES: Final = 20 * 1024 * 1024
_DATA_URL: Final = re.compile(r"data:image/(?:png|jpeg|jpg);base64,", re.IGNORECASE)


def read_picture(part: Json, path: str) -> Json:
    """A part of the type `image_url` with only what an engine needs; raises `ApiError` naming what is wrong."""
    holder = part.get("image_url")
    url = holder.get("url") if isinstance(holder, dict) else holder
    path = f"{path}.image_url.url"
    if not isinstance(url, str) or not url:
        raise refuse(f"'{path}' has to be a picture as a data URL.", param=path)
    head = _DATA_URL.match(url)
    if head is None:
        raise refuse(
            f"'{path}' has to begin with data:image/png;base64, or data:image/jpeg;base64, and the picture itself: an "
            "engine never reads the network.",
            param=path,
            code="unsupported_content",
        )
    if (len(url) - head.end()) * 3 // 4 > MAX_PICTURE_BYTES:
        raise refuse(f"'{path}' has more than {MAX_PICTURE_BYTES >> 20} MiB. Send a smaller picture.", param=path)
    return {"type": "image_url", "image_url": {"url": head[0].lower() + url[head.end() :]}}


def check_number(messages: list[Json]) -> None:
    """Raise `ApiError` for more pictures than one request may show."""
    pictures = sum(
        part["type"] == "image_url"
        for message in messages
        if isinstance(message["content"], list)
        for part in message["content"]
    )
    if pictures > MAX_PICTURES:
        raise refuse(f"'messages' has {pictures} pictures, at most {MAX_PICTURES} are taken.", param="messages")
