"""Makes pictures for tests, as bytes of files: noise, gradients, and text drawn with Pillow's own font."""

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


def noise(width: int, height: int, *, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth noise, (height, width, 3): blobs of some pixels, so that filters have something to keep."""
    coarse = np.random.default_rng(seed).integers(0, 256, (max(2, height // 8), max(2, width // 8), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: NDArray[np.uint8] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file of this kind."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def text_line(text: str, *, size: int = 36, angle: int = 0) -> Image.Image:
    """Black text on white, one line, with a small margin."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    image = Image.new("RGB", (right - left + 24, bottom - top + 16), "white")
    ImageDraw.Draw(image).text((12 - left, 8 - top), text, fill="black", font=font)
    return image.rotate(angle, expand=True)
