"""How a TFLite model wants its pictures: `read_tflite_picture`, for detection.

What lies beside the model wins over what its author wrote into it. Neither is needed where the model takes the bytes of
pixels: quantised inputs are made so that their numbers are those of the pixels.
"""

from berth_api.errors import UnsupportedModel
from berth_store.detect.folder import ModelFolder
from berth_store.detect.picture import FILE_NAME, MAX_EDGE, PictureInput, read_picture_settings
from berth_store.detect.picture_settings import Letterbox, PictureSettings, Resize, Stretch
from berth_store.detect.tflite_task import TflitePicture, face_outputs, picture_input
from berth_store.headers.tflite import TfliteHeader

Triple = tuple[float, float, float]
# Sources: the same files as of `FaceGrid`. What is left of the square is black, and values go from -1 to 1.
_FACE_RESIZE = Letterbox(fill=0.0)
_FACE_MIDDLE = (127.5, 127.5, 127.5)


def read_tflite_picture(folder: ModelFolder, header: TfliteHeader) -> PictureSettings:
    """The settings for the model's one input; `UnsupportedModel` asks for what is missing."""
    place = picture_input(header)
    assert place is not None
    if max(place.width, place.height) > MAX_EDGE:
        size = f"{place.width:,} x {place.height:,}"
        raise UnsupportedModel(
            f"the model wants pictures of {size}, and {MAX_EDGE:,} is the most here; use a smaller one"
        )
    beside = folder.file(FILE_NAME) or folder.file("processor_config.json")
    if beside is None and place.width and place.height:
        if face_outputs(header):
            return _settings(place, _FACE_MIDDLE, _FACE_MIDDLE, _FACE_RESIZE)
        mean, std = _stated(header)
        quantised = place.tensor.element_type != "FLOAT32"
        if place.tensor.element_type == "UINT8" or (quantised and not std):
            return _settings(place, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        if mean and std:
            return _settings(place, mean, std)
    return read_picture_settings(
        folder,
        PictureInput(
            name=place.tensor.name,
            width=place.width or None,
            height=place.height or None,
            channels_first=place.channels_first,
        ),
    )


def _settings(place: TflitePicture, mean: Triple, std: Triple, resize: Resize | None = None) -> PictureSettings:
    """Of pixel values as they are; TensorFlow's own library for these models stretches."""
    return PictureSettings(
        width=place.width,
        height=place.height,
        resize=resize or Stretch(),
        mean=mean,
        std=std,
        scale=1.0,
        channels_first=place.channels_first,
    )


def _stated(header: TfliteHeader) -> tuple[Triple | None, Triple | None]:
    """Mean and deviation of the metadata, for each channel; None where it says nothing."""
    stated = header.metadata.inputs[0] if header.metadata and header.metadata.inputs else None
    if stated is None or not (stated.mean or stated.std):
        return None, None
    mean, std = _triple(stated.mean), _triple(stated.std)
    if mean is None or std is None or not all(0 < each < 1e9 for each in std):
        raise UnsupportedModel(
            f"the metadata normalises pictures by the mean {list(stated.mean)} and the deviation {list(stated.std)}, "
            f"which can't be; put a {FILE_NAME} beside the model"
        )
    return mean, std


def _triple(values: tuple[float, ...]) -> Triple | None:
    if len(values) not in (1, 3) or not all(abs(each) < 1e9 for each in values):
        return None
    red, green, blue = values * (3 // len(values))
    return red, green, blue
