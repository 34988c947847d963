"""The settings of the block `train`: see `utils.settings`."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from utils.setting_types import BatchSize, Block, Number, PathText, PositiveInt, text_of_number


class TrainSettings(Block):
    """To the loop of train_solver.py."""

    batch_size: BatchSize = Field(128, description="Pictures of a step.")
    train_epoch: Annotated[Number, Field(gt=0, le=1e9)] = Field(500.0, description="How often each picture is seen.")
    max_steps: PositiveInt | None = Field(None, description="Stop after this many steps, whatever train_epoch says.")
    optimizer: Literal["adam", "muon"] = Field(
        "adam", description="muon: Muon (Jordan 2024) for the inner matrices and convolutions, Adam for the rest."
    )
    learning_rate: Annotated[Number, Field(gt=0)] = Field(1e-4, description="Adam's, after the warm-up.")
    muon_learning_rate: Annotated[Number, Field(gt=0)] = Field(
        5e-3, description="Muon's, after the warm-up; it rises and falls with Adam's."
    )
    warmup_steps: Annotated[int, Field(ge=0, le=10**9)] = Field(
        500, description="Steps in which the learning rate rises from 0."
    )
    learning_rate_decay: Literal["none", "linear"] = Field(
        "none", description="linear: the learning rate falls to 0 over the train_epoch epochs; none: it stays."
    )
    adam_beta1: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    adam_beta2: Annotated[Number, Field(ge=0, lt=1)] = 0.99
    label_dropout: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.1,
        description="Share of the pictures shown without their label, which guidance needs; of num_classes above 0.",
    )
    timestep_logit_normal: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Draw t more often where learning pays: mean and standard deviation of logit(t / T); null: uniformly."
    )
    timestep_log_normal: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Instead, EDM's P_mean and P_std: mean and standard deviation of log(sigma / signal); null: not."
    )
    timestep_uniform_share: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0, description="Share of the pictures whose t is drawn uniformly, whatever the two above say."
    )
    grad_clip: Annotated[Number, Field(gt=0)] | None = Field(1.0, description="Largest norm of the gradient; null: no limit.")
    ema_decay: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.9999, description="Decay of the weights' moving average, which is what is drawn from; 0 switches it off."
    )
    accumulate: PositiveInt = Field(
        1,
        description="Work the batch in this many parts, one after another, where it does not fit into memory at once.",
    )
    on_nonfinite: Literal["stop", "rewind"] = Field(
        "stop",
        description="When a loss or gradient is not finite: stop, or go back to the last state and leave that batch out.",
    )
    log_every: PositiveInt = Field(50, description="Steps between two lines of the log.")
    sample_every: PositiveInt = Field(5000, description="Steps between two grids of drawn pictures.")
    save_every: PositiveInt = Field(5000, description="Steps between two checkpoints.")
    save_minutes: Annotated[Number, Field(gt=0)] | None = Field(
        10.0, description="Minutes after which a checkpoint and a grid come in any case; null: by steps alone."
    )
    keep_every: PositiveInt | None = Field(
        None, description="Steps between two states that are kept for good, in milestones/; null: the two newest only."
    )
    teacher: PathText | None = Field(
        None, description="A checkpoint to distil: the new run is its student, and begins with its network; see student."
    )
    student: Literal["consistency", "consistency_training"] | None = Field(
        None, description="How the teacher is distilled into a network of few calls; see docs/students.md."
    )
    student_steps: PositiveInt = Field(
        1, description="The jumps in which the student draws: of consistency 1, for CM_1, CM_2, ...; S: for DDIM_S_0p0 alone."
    )
    teacher_guidance: Annotated[str, BeforeValidator(text_of_number)] | None = Field(
        None, description="How the teacher of a student of consistency is guided, as in a sampler's string: cfg1p5; null: not."
    )

    rare: ClassVar[tuple[str, ...]] = ("teacher", "student", "student_steps", "teacher_guidance")
