"""`SummaryWriter`: numbers, histograms, pictures and text of a run, written to event files as it goes."""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import ModuleType

    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

__all__ = ["FileWriter", "SummaryWriter"]


def _protocol() -> ModuleType:
    """The module that makes _protocol().

    Raises:
        ImportError: the package `tensorboard` is not there.
    """
    try:
        from . import _summaries
    except ImportError as error:
        raise ImportError(
            f"utils.tensorboard needs the package tensorboard: pip install tensorboard\n({error})"
        ) from error
    return _summaries


class FileWriter:
    """Writes events to a file in ``log_dir``.

    Args:
        log_dir: the folder; it is made if need be.
        max_queue: how many events wait before a call writes them.
        flush_secs: how many seconds they wait at most.
        filename_suffix: the end of the file's name.
    """

    def __init__(
        self, log_dir: str | os.PathLike[str], max_queue: int = 10, flush_secs: int = 120, filename_suffix: str = ""
    ) -> None:
        self.event_writer = _protocol().EventFileWriter(str(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """The folder."""
        return self.event_writer.get_logdir()

    def add_event(self, event: Event, step: int | None = None, walltime: float | None = None) -> None:
        """Write an event of a step, at a time in seconds since 1970; now without one."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, summary: Summary, global_step: int | None = None, walltime: float | None = None) -> None:
        """Write a summary as an event."""
        self.add_event(_protocol().Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        """Write what waits."""
        self.event_writer.flush()

    def close(self) -> None:
        """Write what waits and close the file."""
        self.event_writer.close()

    def reopen(self) -> None:
        """Go on in a new file of the same folder."""
        self.event_writer.reopen()


class SummaryWriter:
    """Writes what a run reports to ``log_dir``, for TensorBoard to show.

    Args:
        log_dir: the folder; ``runs/TIME_HOST`` followed by ``comment`` without one.
        comment: the end of the folder's name.
        purge_step: TensorBoard forgets what an earlier run wrote for this step and later ones.
        max_queue, flush_secs, filename_suffix: see :class:`FileWriter`.

    All methods that add something take ``global_step``, the number on the horizontal axis, and ``walltime``, seconds
    since 1970 in place of now.

    Example:
        >>> with utils.tensorboard.SummaryWriter("runs/first") as writer:  # doctest: +SKIP
        ...     for step in range(100):
        ...         writer.add_scalar("loss", 1 / (step + 1), step)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = log_dir
        self.purge_step = purge_step
        self.max_queue, self.flush_secs, self.filename_suffix = max_queue, flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] | None = None
        self.default_bins: list[float] | None = None
        self._get_file_writer()

    def _get_file_writer(self) -> FileWriter:
        """The writer of the folder itself, opened again if it was closed."""
        if self.file_writer is None or self.all_writers is None:
            self.file_writer = FileWriter(self.log_dir, self.max_queue, self.flush_secs, self.filename_suffix)
            self.all_writers = {self.file_writer.get_logdir(): self.file_writer}
            if self.purge_step is not None:
                made = _protocol()
                self.file_writer.add_event(made.Event(step=self.purge_step, file_version="brain.Event:2"))
                start = made.SessionLog(status=made.SessionLog.START)
                self.file_writer.add_event(made.Event(step=self.purge_step, session_log=start))
                self.purge_step = None
        return self.file_writer

    def _add(self, summary: Summary, global_step: int | None, walltime: float | None) -> None:
        self._get_file_writer().add_summary(summary, global_step, walltime)

    def get_logdir(self) -> str | os.PathLike[str]:
        """The folder."""
        return self.log_dir

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number, or a tensor of one.

        Raises:
            AssertionError: a tensor of more.
        """
        self._add(_protocol().scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: dict[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several numbers in one diagram; each name has a folder of its own under ``log_dir``."""
        base = self._get_file_writer().get_logdir()
        if self.all_writers is None:
            raise RuntimeError("the writer is closed")
        for name, value in tag_scalar_dict.items():
            folder = f"{base}/{main_tag.replace('/', '_')}_{name}"
            if folder not in self.all_writers:
                self.all_writers[folder] = FileWriter(folder, self.max_queue, self.flush_secs, self.filename_suffix)
            summary = _protocol().scalar(main_tag, value, False, False)
            self.all_writers[folder].add_summary(summary, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """How values are spread.

        Args:
            bins: limits, or how NumPy is to choose them (``"auto"``); ``"tensorflow"`` is limits that grow by a tenth.
            max_bins: join bins until there are no more than that.
        """
        if isinstance(bins, str) and bins == "tensorflow":
            self.default_bins = self.default_bins or _protocol().default_bins()
            bins = self.default_bins
        self._add(_protocol().histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: int,
        sum: float,
        sum_squares: float,
        bucket_limits: Any,
        bucket_counts: Any,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """A histogram that was counted already: upper limits of bins, and their counts.

        Raises:
            ValueError: there are not as many limits as counts.
        """
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
        fields = {"min": min, "max": max, "num": num, "sum": sum, "sum_squares": sum_squares}
        limits, counts = list(map(float, bucket_limits)), list(map(float, bucket_counts))
        summary = _protocol().histogram_raw(tag, bucket_limit=limits, bucket=counts, **fields)
        self._add(summary, global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture of numbers from 0 to 1, or of 8-bit integers. Needs Pillow.

        ``dataformats`` names the dimensions: channels, height, width.
        """
        self._add(_protocol().picture(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """A batch of pictures in one, eight in a row; or a list of them. Needs Pillow."""
        if isinstance(img_tensor, list):
            img_tensor = _protocol().np.stack([_protocol().array_of(image) for image in img_tensor])
        self._add(_protocol().picture(tag, img_tensor, dataformats), global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """A matplotlib figure, or a list of figures of one size; closed afterwards if ``close``."""
        layout = "NCHW" if isinstance(figure, list) else "CHW"
        self._add(_protocol().picture(tag, _protocol().figure_pixels(figure, close), layout), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44100,
        walltime: float | None = None,
    ) -> None:
        """Sound: samples from -1 to 1."""
        self._add(_protocol().sound(tag, snd_tensor, sample_rate), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Text, in Markdown."""
        self._add(_protocol().text(tag, text_string), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: dict[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """The settings of a run and what came of it, for TensorBoard's table of runs.

        Args:
            hparam_dict: numbers, strings and booleans by name.
            metric_dict: numbers by tag.
            hparam_domain_discrete: all values that a setting may have.
            run_name: the folder under ``log_dir``; the time without one.

        Raises:
            TypeError: an argument is no dict, or a list of values does not suit its setting.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        choices = hparam_domain_discrete or {}
        if not isinstance(choices, dict):
            raise TypeError("parameter: hparam_domain_discrete should be a dictionary, nothing logged.")
        for name, values in choices.items():
            known = name in hparam_dict and isinstance(values, list)
            if not known or not all(isinstance(value, type(hparam_dict[name])) for value in values):
                raise TypeError(
                    f"parameter: hparam_domain_discrete[{name}] should be a list of same type as hparam_dict[{name}]."
                )
        made = _protocol().hyperparameters(hparam_dict, metric_dict, choices)
        folder = os.path.join(self._get_file_writer().get_logdir(), run_name or str(time.time()))
        with SummaryWriter(folder) as run:
            for summary in made:
                run._add(summary, global_step, None)
            for tag, value in metric_dict.items():
                run.add_scalar(tag, value, global_step)

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError: programs are not compiled, so there is no graph of one to show."""
        raise NotImplementedError(
            "SummaryWriter.add_graph(): needs a traced program, and nothing is traced; print(model) or "
            "print(fx.symbolic_trace(model).graph) and add_text() show its structure"
        )

    def add_embedding(self, mat: Any, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises NotImplementedError: TensorBoard's projector is not written for."""
        raise NotImplementedError(
            "SummaryWriter.add_embedding(): files of TensorBoard's projector are not written; save the matrix with "
            "numpy.savetxt(..., delimiter='\\t') and load it at https://projector.tensorflow.org"
        )

    def flush(self) -> None:
        """Write what waits."""
        for writer in (self.all_writers or {}).values():
            writer.flush()

    def close(self) -> None:
        """Write what waits and close all files; the next call that adds something opens new ones."""
        for writer in (self.all_writers or {}).values():
            writer.flush()
            writer.close()
        self.file_writer = self.all_writers = None

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
