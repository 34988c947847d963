"""What the settings are made of: blocks, and the types of values beyond pydantic's own, with what is said of wrong ones."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_serializer
from pydantic import SerializerFunctionWrapHandler as Dump


class Block(BaseModel):
    """Unknown keys and values of another type are errors; nothing is changed once it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    # Keys that are left out where they have their default: a file that needs none of them is as it was before they came.
    rare: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, dump: Dump) -> dict[str, object]:
        fields = type(self).model_fields
        return {key: value for key, value in dump(self).items() if key not in self.rare or value != fields[key].default}


def _number_from_text(value: object) -> object:
    """YAML 1.1 reads 1e-4 (no dot) as text; whoever writes it means a number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def text_of_number(value: object) -> object:
    """A number as its text, for a setting that is a text of numbers: what is said of a wrong text is said of it, too."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _two_sides(value: list) -> list:
    """Says what a list of another length ought to be."""
    if len(value) != 2:
        raise ValueError("a list must be of two whole numbers, [HEIGHT, WIDTH]")
    return value


def _one_of_equal_sides(value: int | list[int]) -> int | list[int]:
    """Squares are written by one number."""
    return value[0] if isinstance(value, list) and value[0] == value[1] else value


def _size(most: int) -> object:
    """The type of N, or [HEIGHT, WIDTH], of which none exceeds `most`; a mistake is told of the one that was meant."""
    side = Annotated[int, Field(ge=1, le=most)]
    both = Annotated[list[side], Field(min_length=2, max_length=2), BeforeValidator(_two_sides), Tag("both")]
    which = Discriminator(lambda value: "both" if isinstance(value, list) else "side")
    return Annotated[Annotated[side, Tag("side")] | both, which]


Number = Annotated[float, BeforeValidator(_number_from_text)]
PositiveInt = Annotated[int, Field(ge=1, le=10**9)]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
# A path may hold anything but a zero byte; an empty one would silently be the current folder.
PathText = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
ImageSize = Annotated[_size(1024), AfterValidator(_one_of_equal_sides)]
Resize = _size(2048)

# A sampler -> its timesteps.
TunedTimes = Annotated[dict[str, Annotated[list[int], Field(min_length=1, max_length=1000)]], Field(max_length=1000)]
