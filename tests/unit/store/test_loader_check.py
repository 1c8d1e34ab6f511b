"""An image volume: the model is found where models lie in images, or the reason says why there is none."""

from pathlib import Path

import pytest
from folder_builders import write_files
from gguf_builders import llama_gguf

from berth_store.detect import detect
from berth_store.errors import NoModelInSource
from berth_store.loader.check import find_model, link_to


@pytest.mark.parametrize("folder", ["models", "model", "mnt/models"])
def test_the_model_is_found_where_images_have_it(tmp_path: Path, folder: str) -> None:
    image, into = tmp_path / "image", tmp_path / "models"
    write_files(image, {f"{folder}/m.gguf": llama_gguf(), "etc/passwd": "x"})
    into.mkdir()
    for _ in range(2):
        link_to(find_model(image), into)
    assert detect(into / "model").weights == (into / "model/m.gguf",)


def test_an_empty_volume_says_why_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoModelInSource) as refused:
        find_model(tmp_path)
    assert "mount only the layers of images" in str(refused.value)
    assert "spec.cache.type: Pod" in str(refused.value)


def test_an_image_without_such_a_folder_names_the_places(tmp_path: Path) -> None:
    write_files(tmp_path, {"usr/bin/x": "x"})
    with pytest.raises(NoModelInSource, match="none of the folders /models, /model, /mnt/models"):
        find_model(tmp_path)


def test_a_folder_without_a_model_is_refused_in_the_words_of_detection(tmp_path: Path) -> None:
    write_files(tmp_path, {"models/README.md": "x"})
    with pytest.raises(NoModelInSource, match="no model that can be served: /models"):
        find_model(tmp_path)
