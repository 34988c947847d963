"""One drawing of a visitor's: drawn step by step, and kept so that its denoising can be gone through afterwards."""

import io
import time
import zipfile
from collections.abc import Sequence

import torch
from torch import Tensor

from datasets import to_uint8
from diffusion import SampleInfo
from diffusion.samplers import Callback
from page.limits import KEPT_BYTES
from page.machine import Tell
from page.refusals import refused
from sampling.drawing import batches_of, draw, progress_moments
from sampling.memory import default_batch, pictures_at_a_time
from sampling.provenance import texts_of
from sampling.sheets import PROGRESS_COLUMNS, final_sheet, progress_frames
from sampling.trained import Trained
from utils.errors import RequestError
from utils.pictures import grid, near_square, write_gif, write_png

MODE = "random_gen"  # the --test_mode that draws the same
MOST_MOMENTS = 64  # that are kept for the slider


class Drawing:
    """Pictures of the seeds `seed` to `seed` + `count` - 1, as `python test_solver.py` draws them.

    moments: after how many steps the denoising is kept, from 0 to all of them; frames: uint8 (moments, 2, count, C, H, W),
    x_t and the prediction of x_0 at each, of the last one the finished pictures; now: the same, of the step that is being
    taken. reached: how many of the moments were drawn. taken: how many steps. seconds: how long it took.
    """

    def __init__(self, trained: Trained, info: SampleInfo, seed: int, count: int):
        self.trained = trained
        self.info = info
        self.seeds = range(seed, seed + count)
        self.pairs = info.pairs_on(trained.diffusion)
        self.moments = kept_moments(trained, info, count)
        self.frames = torch.zeros(len(self.moments), 2, count, *trained.shape, dtype=torch.uint8)
        self.now = torch.zeros(2, count, *trained.shape, dtype=torch.uint8)
        self.reached = self.taken = 0
        self.finished = False
        self.seconds = 0.0

    @property
    def calls(self) -> int:
        """The network's, for a picture."""
        return self.info.network_calls_on(self.pairs)

    def run(self, tell: Tell) -> None:
        """Draws all; `tell` is called at each step with the number of steps taken by then."""
        trained = self.trained
        began = time.perf_counter()
        at_a_time = pictures_at_a_time(trained, min(default_batch(trained, 1, len(self.seeds)), len(self.seeds)))
        begins = ends = 0

        def callback(index, t, t_prev, x_t, prediction):
            nonlocal begins, ends
            if index == 0:  # of the next batch, or, where memory was short, of the next part of one
                begins, ends = ends, ends + len(x_t)
            self.now[0, begins:ends] = to_uint8(x_t).cpu()
            self.now[1, begins:ends] = to_uint8(prediction.x_0).cpu()
            if index in self.moments:
                place = self.moments.index(index)
                self.frames[place, :, begins:ends] = self.now[:, begins:ends]
                self.reached = max(self.reached, place + 1)
            self.taken = index
            self.seconds = time.perf_counter() - began
            tell(index)

        for seeds in batches_of(self.seeds, at_a_time):
            pictures = self._draw(seeds, callback)
            rows = slice(seeds[0] - self.seeds[0], seeds[0] - self.seeds[0] + len(seeds))
            self.now[:, rows] = pictures
            self.frames[-1, :, rows] = pictures
        self.reached, self.taken, self.finished = len(self.moments), self.info.steps, True
        self.seconds = time.perf_counter() - began

    def _draw(self, seeds: Sequence[int], callback: Callback) -> Tensor:
        trained = self.trained
        try:
            return draw(
                trained.network, trained.diffusion, self.info, seeds, trained.shape, trained.device, callback,
                labels=trained.labels_of(seeds), num_classes=trained.num_classes,
            )  # fmt: skip
        except RequestError:  # it names options of the command line
            raise refused("no_memory") from None

    def sheet(self, pictures: Tensor) -> Tensor:
        """`pictures`, (count, C, H, W), as one picture of their true size: uint8 (C, ...)."""
        return grid(pictures, near_square(len(pictures)))

    def command(self) -> str:
        """What draws the same into results/."""
        return self._texts()["command"]

    def png(self) -> bytes:
        """The grid, byte for byte as the command writes NAME_final.png."""
        file = io.BytesIO()
        write_png(file, final_sheet(self.trained, self.frames[-1, 0], self.seeds), self._texts())
        return file.getvalue()

    def gif(self) -> bytes:
        """The denoising, byte for byte as the command writes NAME_progress.gif."""
        wanted = progress_moments(self.trained.diffusion, self.info, PROGRESS_COLUMNS)
        moments = [self.frames[self.moments.index(moment), 0] for moment in wanted]
        file = io.BytesIO()
        write_gif(file, progress_frames(moments))
        return file.getvalue()

    def zip(self) -> bytes:
        """000037.png of each seed, byte for byte as the command writes it with --save_images."""
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for seed, picture in zip(self.seeds, self.frames[-1, 0]):
                single = io.BytesIO()
                write_png(single, picture, texts_of(self.trained, MODE, self.info, {"seed": seed, "sample_num": 1}))
                archive.writestr(f"{seed:06d}.png", single.getvalue())
        return file.getvalue()

    def name(self) -> str:
        """What its files are called by."""
        return self.trained.output_prefix("", self.info).name

    def _texts(self) -> dict[str, str]:
        options = {"seed": self.seeds[0], "sample_num": len(self.seeds), "save_images": None}
        return texts_of(self.trained, MODE, self.info, options)


def kept_moments(trained: Trained, info: SampleInfo, count: int) -> list[int]:
    """After how many steps the denoising of `count` pictures is kept: all that there is room for, and those of the GIF."""
    channels, height, width = trained.shape
    room = KEPT_BYTES // (2 * count * channels * height * width)
    kept = progress_moments(trained.diffusion, info, max(2, min(MOST_MOMENTS, room)))
    return sorted({*kept, *progress_moments(trained.diffusion, info, PROGRESS_COLUMNS)})
