"""The settings: every key that config.yaml may hold, its type, its default and its meaning. One class a block.

Each block goes to exactly one consumer (see its docstring). `python -m utils.settings > config.schema.json` writes the JSON
schema by which editors complete and check config.yaml.
"""

import json
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from diffusion import Guidance, SampleInfo, build_diffusion
from diffusion.distillation import Student, check_student
from models.build import attention_strides, check_channels, check_time_embedding
from utils.setting_checks import (
    check_data,
    check_given_betas,
    check_spreads,
    check_teaching,
    check_tuned_times,
    read_guidance,
)
from utils.setting_types import BatchSize, Block, ImageSize, Number, PathText, PositiveInt, Resize, TunedTimes
from utils.shapes import sides
from utils.train_settings import TrainSettings


class DataSettings(Block):
    """To `datasets.ImageDataset`, whole."""

    source: Literal["folder", "mnist_mini", "emoji", "mnist", "fashion_mnist", "cifar10", "flower102"] = Field(
        "folder", description="Where the pictures come from; folder: the folder or file that data_path names."
    )
    data_path: PathText | None = Field(
        None,
        description="A folder of pictures, a zip, tar, npz, npy or parquet file; or where a downloaded set lies or will lie.",
    )
    image_size: ImageSize = Field(32, description="In pixels: N, the side of square pictures, or [HEIGHT, WIDTH].")
    image_channel: Literal[1, 3] = Field(3, description="1: grey, 3: RGB.")
    crop: Literal["center", "random", "none"] = Field(
        "center",
        description="What is taken of a picture: its centre, another part each time it is seen, or all, padded with black.",
    )
    resize: Resize | None = Field(
        None,
        description="What a picture is scaled to before: N, its shorter side (crop none: its longer); [HEIGHT, WIDTH], "
        "whatever its proportions; null: just enough to cover image_size (crop none: to fit into it).",
    )
    horizontal_flip: bool = Field(True, description="Mirror half of the pictures; wrong for digits and text.")
    download: bool = Field(True, description="Fetch a missing torchvision set; false reads what is there.")
    skip_unreadable: bool = Field(False, description="Skip and list broken pictures of a folder, instead of stopping.")
    cache_dir: PathText = Field("data/cache", description="Where the decoded pictures are kept.")
    class_from_folder: bool = Field(False, description="Each folder directly below data_path, or in that archive, is a class.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""
        return self.image_channel, *sides(self.image_size)


class ModelSettings(Block):
    """To `models.build_model`."""

    base_channels: Annotated[int, Field(ge=1, le=8192)] = Field(128, description="Channels of the first level.")
    channel_mult: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=11)] = Field(
        [1, 2, 2, 2], description="Channels of each level, times base_channels; each level halves the last one."
    )
    num_res_blocks: Annotated[int, Field(ge=1, le=64)] = Field(2, description="Residual blocks of a level.")
    attention_resolutions: Annotated[list[PositiveInt], Field(max_length=11)] = Field(
        [16], description="Sides of the feature maps with self-attention."
    )
    num_heads: PositiveInt | None = Field(4, description="Attention heads; null where head_channels is given.")
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="Dropout inside the residual blocks.")
    norm_groups: PositiveInt = Field(32, description="Groups of GroupNorm; divides the channels of every level.")
    patch_size: PositiveInt = Field(1, description="Fold squares of this many pixels into channels before the network.")
    num_classes: Annotated[int, Field(ge=0, le=100_000)] = Field(
        0, description="Classes that can be asked for: the data's number of them; 0: the network takes no labels."
    )
    # What networks of others have otherwise; off by default.
    head_channels: PositiveInt | None = Field(None, description="Channels of an attention head, instead of num_heads.")
    attention_bias: bool = Field(False, description="Biases of the attention's queries, keys and values.")
    norm_eps: Annotated[Number, Field(gt=0, le=1)] = Field(1e-5, description="What GroupNorm adds to the variance.")
    asymmetric_padding: bool = Field(False, description="Pad maps that are halved below and right alone.")
    frequency_shift: Literal[0, 1] = Field(0, description="1: the time embedding's frequencies reach their lowest.")
    scale_shift_norm: bool = Field(False, description="The time scales and shifts the second norm of a residual block.")
    time_scale: Annotated[Number, Field(gt=0, le=1e6)] = Field(1.0, description="What t is multiplied by first.")

    rare: ClassVar[tuple[str, ...]] = (
        *("head_channels", "attention_bias", "norm_eps", "asymmetric_padding", "frequency_shift"),
        *("scale_shift_norm", "time_scale"),
    )


class DiffusionSettings(Block):
    """To `diffusion.build_diffusion`."""

    rare: ClassVar[tuple[str, ...]] = ("betas", "shift", "network_input")

    timestep_num: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="T, the steps of noise in training."
    )
    beta_schedule: Literal["linear", "cosine", "sigmoid", "flow", "given"] = Field("cosine", description="How the noise grows.")
    betas: Annotated[list[Number], Field(max_length=100_000)] | None = Field(
        None, description="Of beta_schedule given: the variances of the steps, timestep_num of them."
    )
    shift: Annotated[Number, Field(ge=0.01, le=100)] = Field(
        1.0, description="Multiplies sigma / signal at every t: above 1 for larger pictures (Esser et al. 2024)."
    )
    zero_terminal_snr: bool = Field(
        False, description="Leave nothing of the picture at the last step (Lin et al. 2023)."
    )
    objective: Literal["pred_noise", "pred_x0", "pred_v", "pred_flow", "pred_edm"] = Field(
        "pred_noise", description="What the network predicts."
    )
    sigma_data: Annotated[Number, Field(gt=0, le=10)] = Field(
        0.5, description="Of objective pred_edm and weighting edm (Karras et al. 2022): the pixels' standard deviation."
    )
    loss_type: Literal["l1", "l2", "huber", "picture_huber"] = Field(
        "l1", description="Distance between prediction and target, of pixels, or of whole pictures."
    )
    loss_of_clipped: bool = Field(
        False,
        description="No error where the predicted x_0 overshoots a black or white pixel: it is clipped while drawing.",
    )
    clipped_above: Annotated[Number, Field(gt=0, le=1)] = Field(
        1.0, description="Of loss_of_clipped: pixels from this value on, of -1 to 1, count as white."
    )
    weighting: Literal["none", "p2", "min_snr", "edm"] = Field(
        "none", description="How much each timestep counts in the loss."
    )
    p2_k: Annotated[Number, Field(gt=0)] = Field(1.0, description="Of weighting p2 (Choi et al. 2022).")
    p2_gamma: Annotated[Number, Field(ge=0)] = Field(1.0, description="Of weighting p2; the paper takes 0.5 and 1.")
    min_snr_gamma: Annotated[Number, Field(gt=0)] = Field(5.0, description="Of weighting min_snr (Hang et al. 2023).")
    network_input: Literal["x_t", "x_u"] = Field(
        "x_t",
        description="What the network is shown: x_t and t, or x_u and its time, as flow matching's networks elsewhere are.",
    )
    self_condition: bool = Field(False, description="Show the network its last estimate of x_0 (Chen et al. 2022).")
    clip_denoised: Literal["dynamic"] | bool = Field(
        True,
        description="Clip the predicted x_0 to [-1, 1] while drawing; dynamic: to each picture's own range, scaled.",
    )
    variance: Literal["fixed_small", "fixed_large", "learned"] = Field("fixed_small", description="Variance of a DDPM step.")


class SampleSettings(Block):
    """To `sampling.drawing`: the grids of a training, and test_solver.py's defaults."""

    sample_num: Annotated[int, Field(ge=1, le=1_000_000)] = Field(64, description="How many pictures.")
    sample_info: str = Field("DDIM_50_0p0", description="The sampler: METHOD_STEPS_ETA.")
    batch_size: BatchSize = Field(64, description="Pictures drawn at a time.")
    tuned_times: TunedTimes = Field(
        {}, description="By sampler, the timesteps of _tuned; written by python -m sampling.schedule."
    )

    rare: ClassVar[tuple[str, ...]] = ("tuned_times",)


class RunSettings(Block):
    """To both scripts: where, on what, and from which seed."""

    save_dir: PathText | None = Field(None, description="Where the run is kept; null: train_results/ and the data set's name.")
    start_from: PathText | None = Field(
        None, description="A checkpoint whose weights, network and diffusion a new run begins with; null: from nothing."
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Everything random follows from it.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="auto: a CUDA device, else Apple's GPU (mps), else the CPU."
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto",
        description="Of the network's arithmetic; auto: bf16 where the device has it natively, fp16 on older GPUs, else fp32.",
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto",
        description="Channels last in memory; auto: on CUDA in bf16 and fp16, and for drawing in fp32 on a CPU.",
    )
    deterministic: bool = Field(
        False, description="Only such algorithms on a GPU as give the same bits each time; slower. CPUs always do."
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="torch.compile; auto: of large networks on a GPU, for runs long enough to repay the wait. Unless it is "
        "false, small networks on a GPU run as CUDA graphs.",
    )


class Blocks(Block):
    """All blocks: what `Train_Setting` may hold, and each entry of `Train_Data`."""

    data: DataSettings = DataSettings()
    model: ModelSettings = ModelSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    train: TrainSettings = TrainSettings()
    sample: SampleSettings = SampleSettings()
    run: RunSettings = RunSettings()


class Settings(Blocks):
    """The resolved settings of one run: they are printed, saved beside it, and travel inside its checkpoints."""

    # It is printed, and may come from a stranger's file: nothing that steers a terminal.
    data_name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        """Refuses combinations that cannot work, before any picture is touched."""
        image_size, model = self.data.image_size, self.model
        strides = attention_strides(image_size, model.patch_size, len(model.channel_mult), model.attention_resolutions)
        check_time_embedding(model.base_channels, model.frequency_shift)
        check_channels(
            model.base_channels, model.channel_mult, strides, model.norm_groups, model.num_heads, model.head_channels
        )
        check_data(self.data.source, self.data.data_path, self.data.image_size, self.data.crop, self.data.resize)
        info = SampleInfo.parse(self.sample.sample_info)
        train, diffusion = self.train, self.diffusion
        check_teaching(train, diffusion.timestep_num, diffusion.objective, diffusion.weighting, self.model.num_classes)
        info.check_fits(self.diffusion.timestep_num, self.model.num_classes)
        check_student(info, [self.student])
        if info.resamplings != 1:
            raise ValueError(f"sample.sample_info {info}: _r{info.resamplings} is for filling in pictures alone; leave it out")
        check_tuned_times(info, self.sample.tuned_times, self.diffusion.timestep_num)
        check_given_betas(self.diffusion.beta_schedule, self.diffusion.betas, self.diffusion.timestep_num)
        build_diffusion(**self.diffusion.model_dump())
        if self.diffusion.loss_of_clipped and self.diffusion.clip_denoised is not True:
            raise ValueError("diffusion.loss_of_clipped needs diffusion.clip_denoised=true")
        check_spreads(self.train.model_dump(include={"timestep_logit_normal", "timestep_log_normal"}))
        return self

    @property
    def student(self) -> Student | None:
        """What the network has learned from a teacher, where it has one."""
        return None if self.train.student is None else Student(self.train.student, self.train.student_steps)

    @property
    def teacher_guidance(self) -> Guidance:
        """How a student's teacher is guided."""
        return read_guidance(self.train.teacher_guidance)

    @property
    def first_weights(self) -> str | None:
        """The checkpoint that a new run begins with: one to go on from, or its teacher; None: from nothing."""
        return self.run.start_from or self.train.teacher

    def model_arguments(self) -> dict[str, object]:
        """What `models.build_model` is given: the model block, and what the data and the diffusion ask of a network."""
        return {
            "image_size": self.data.image_size,
            "image_channel": self.data.image_channel,
            "self_condition": self.diffusion.self_condition,
            "learned_variance": self.diffusion.variance == "learned",
            **self.model.model_dump(),
        }


class ConfigFile(Block):
    """config.yaml as a whole."""

    Train_Setting: Blocks = Field(Blocks(), description="The defaults.")
    CPU_Setting: Blocks = Field(Blocks(), description="For a training without a GPU, over the defaults: smaller sizes.")
    Student_Setting: Blocks = Field(
        Blocks(), description="For a student, over the entry of its data set: its loss, its timesteps, no label dropped."
    )
    Train_Data: dict[str, Blocks] = Field({}, description="One entry a data set; each overrides any key of any block.")


if __name__ == "__main__":
    print(json.dumps(ConfigFile.model_json_schema(), indent=2))
