"""Summaries in TensorBoard's protocol, made of numbers and arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event as Event
from tensorboard.compat.proto.event_pb2 import SessionLog as SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter as EventFileWriter

import bulssi


def array_of(value: Any) -> np.ndarray:
    """A tensor, number, list or array as an array.

    Raises:
        NotImplementedError: something else.
    """
    if isinstance(value, bulssi.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.dtype == bulssi.bfloat16 else value).numpy()
    if isinstance(value, np.ndarray):
        return value
    if np.isscalar(value):
        return np.array([value])
    if isinstance(value, (list, tuple)):
        return np.array([float(item) for item in value])
    raise NotImplementedError(f"Got {type(value)}, but numpy array or torch tensor are expected.")


def scalar(tag: str, value: Any, new_style: bool, double_precision: bool) -> Summary:
    """One number."""
    array = array_of(value)
    if array.size != 1:
        raise AssertionError(
            "Tensor should contain one element (0 dimensions). "
            f"Was given size: {array.size} and {array.ndim} dimensions."
        )
    number = float(array.reshape(()))
    if not new_style:
        return Summary(value=[Summary.Value(tag=tag, simple_value=number)])
    if double_precision:
        tensor = TensorProto(double_val=[number], dtype="DT_DOUBLE")
    else:
        tensor = TensorProto(float_val=[number], dtype="DT_FLOAT")
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=_plugin("scalars"))])


def _plugin(name: str, content: bytes = b"") -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name, content=content))


# ---- histograms ------------------------------------------------------------------------------------------------------


def default_bins() -> list[float]:
    """Limits that grow by a tenth from 1e-12 to 1e20, on both sides of 0."""
    limits = []
    at = 1e-12
    while at < 1e20:
        limits.append(at)
        at *= 1.1
    return [-limit for limit in reversed(limits)] + [0.0] + limits


def histogram(tag: str, values: Any, bins: Any, max_bins: int | None) -> Summary:
    """How many values fall between limits."""
    array = array_of(values).astype(float).reshape(-1)
    if array.size == 0:
        raise ValueError("The input has no element.")
    counts, limits = np.histogram(array, bins=bins)
    if max_bins is not None and len(counts) > max_bins:
        together = len(counts) // max_bins
        counts = np.pad(counts, (0, -len(counts) % together)).reshape(-1, together).sum(-1)
        limits = np.append(limits[:-1:together], limits[-1])
    used = np.flatnonzero(counts)
    if used.size == 0:
        raise ValueError("The histogram is empty\nno value is between the limits")
    first, last = int(used[0]), int(used[-1])
    # Only upper limits are kept, so an empty bin in front holds the lowest.
    kept = np.concatenate([[0], counts[first : last + 1]])
    proto = HistogramProto(
        min=array.min(),
        max=array.max(),
        num=array.size,
        sum=array.sum(),
        sum_squares=array.dot(array),
        bucket_limit=limits[first : last + 2].tolist(),
        bucket=kept.tolist(),
    )
    return Summary(value=[Summary.Value(tag=tag, histo=proto)])


def histogram_raw(tag: str, **fields: Any) -> Summary:
    """A histogram that was counted already."""
    return Summary(value=[Summary.Value(tag=tag, histo=HistogramProto(**fields))])


# ---- pictures and sound ----------------------------------------------------------------------------------------------


def in_one_picture(images: np.ndarray, layout: str) -> np.ndarray:
    """Height x width x 3 from an array whose dimensions `layout` names by the letters N, C, H and W.

    Several images stand side by side, eight in a row; one channel is grey.
    """
    layout = layout.upper()
    if len(set(layout)) != len(layout):
        raise AssertionError(f"You can not use the same dimension shorthand twice. input_format: {layout}")
    if images.ndim != len(layout):
        raise AssertionError(
            f"size of input tensor and input format are different. tensor shape: {images.shape}, input_format: {layout}"
        )
    for letter, axis in (("N", 0), ("C", 1)):
        if letter not in layout:
            images, layout = np.expand_dims(images, axis), layout[:axis] + letter + layout[axis:]
    images = images.transpose([layout.index(letter) for letter in "NHWC"])
    if images.shape[3] == 1:
        images = np.repeat(images, 3, axis=3)
    count, height, width, channels = images.shape
    if count == 1:
        return images[0]
    columns = min(count, 8)
    rows = -(-count // columns)
    canvas = np.zeros((rows * height, columns * width, channels), images.dtype)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        canvas[top : top + height, left : left + width] = image
    return canvas


def picture(tag: str, images: Any, layout: str) -> Summary:
    """A picture as PNG: integers of 8 bits as they are, anything else from 0 to 1."""
    from PIL import Image

    array = array_of(images)
    scale = 1 if array.dtype == np.uint8 else 255
    pixels = (in_one_picture(array, layout).astype(np.float32) * scale).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    height, width, channels = pixels.shape
    image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def figure_pixels(figures: Any, close: bool) -> np.ndarray:
    """Matplotlib figures as (N, 3, H, W), or one as (3, H, W)."""
    import matplotlib.pyplot as plt
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def pixels(figure: Any) -> np.ndarray:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]
        if close:
            plt.close(figure)
        return np.moveaxis(drawn, -1, 0).copy()

    return np.stack([pixels(figure) for figure in figures]) if isinstance(figures, list) else pixels(figures)


def sound(tag: str, samples: Any, rate: int) -> Summary:
    """Samples from -1 to 1 as a WAV file of 16 bits."""
    import wave

    array = array_of(samples).squeeze()
    if array.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((array.clip(-1, 1) * 32767).astype("<i2").tobytes())
    audio = Summary.Audio(
        sample_rate=rate,
        num_channels=1,
        length_frames=array.size,
        encoded_audio_string=file.getvalue(),
        content_type="audio/wav",
    )
    return Summary(value=[Summary.Value(tag=tag, audio=audio)])


# ---- text and hyperparameters ----------------------------------------------------------------------------------------


def text(tag: str, content: str) -> Summary:
    """Markdown."""
    from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData

    tensor = TensorProto(
        dtype="DT_STRING",
        string_val=[content.encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    metadata = _plugin("text", TextPluginData(version=0).SerializeToString())
    return Summary(value=[Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)])


def hyperparameters(values: dict[str, Any], metrics: dict[str, Any], choices: dict[str, list[Any]]) -> list[Summary]:
    """What the HParams plugin shows: the experiment, and the start and the end of a session with these values."""
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    infos = []
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in values.items():
        if value is None:
            continue
        if isinstance(value, bulssi.Tensor):
            value = value.item()
        if isinstance(value, bool):
            kind, field = "DATA_TYPE_BOOL", "bool_value"
        elif isinstance(value, (int, float)):
            kind, field = "DATA_TYPE_FLOAT64", "number_value"
        elif isinstance(value, str):
            kind, field = "DATA_TYPE_STRING", "string_value"
        else:
            raise ValueError("value should be one of int, float, str, bool, or torch.Tensor")
        setattr(start.hparams[name], field, value)
        allowed = None
        if name in choices:
            allowed = struct_pb2.ListValue(values=[struct_pb2.Value(**{field: choice}) for choice in choices[name]])
        infos.append(api_pb2.HParamInfo(name=name, type=api_pb2.DataType.Value(kind), domain_discrete=allowed))
    named = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))
    parts: list[tuple[str, dict[str, Any]]] = [
        (metadata.EXPERIMENT_TAG, {"experiment": api_pb2.Experiment(hparam_infos=infos, metric_infos=named)}),
        (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
        (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
    ]
    made = []
    for tag, fields in parts:
        content = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **fields)
        about = _plugin(metadata.PLUGIN_NAME, content.SerializeToString())
        made.append(Summary(value=[Summary.Value(tag=tag, metadata=about)]))
    return made
