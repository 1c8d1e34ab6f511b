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


def drawn_face(width: int, height: int, left: int, top: int, edge: int) -> bytes:
    """A face as a child draws it, with some shade, on a grey wall."""
    image = Image.new("RGB", (width, height), (128, 134, 140))
    draw = ImageDraw.Draw(image)

    def oval(x: float, y: float, across: float, down: float, colour: tuple[int, int, int]) -> None:
        middle = (left + x * edge, top + y * edge)
        draw.ellipse(
            (
                middle[0] - across * edge / 2,
                middle[1] - down * edge / 2,
                middle[0] + across * edge / 2,
                middle[1] + down * edge / 2,
            ),
            fill=colour,
        )

    oval(0.5, 0.42, 1.05, 1.25, (60, 40, 30))
    oval(0.5, 0.5, 0.9, 1.15, (224, 180, 150))
    for x in (0.3, 0.7):
        oval(x, 0.3, 0.24, 0.05, (70, 45, 35))
        oval(x, 0.4, 0.2, 0.1, (250, 250, 250))
        oval(x, 0.4, 0.09, 0.1, (40, 30, 30))
    oval(0.5, 0.58, 0.14, 0.2, (200, 150, 125))
    oval(0.5, 0.8, 0.36, 0.1, (170, 70, 75))
    return encoded(image)
