"""`from_diffusers`: a UNet2DModel pipeline of diffusers as a model.safetensors of this project."""

from pathlib import Path

from interop.card import write_card
from interop.diffusers_pipeline import read_pipeline
from utils.checkpoints import write_checkpoint
from utils.errors import RequestError
from utils.files import check_writable


def run(source: str, output: str, null_class: int | None = None, patch_size: int | None = None) -> list[Path]:
    """Writes the pipeline in the folder or file `source` to the file `output`; returns that, and its model card.

    For null_class and patch_size, and for what is refused, see `read_pipeline`.
    """
    path = Path(output).absolute()
    if path.suffix != ".safetensors":
        raise RequestError(f"OUT {output}: the name must end with .safetensors")
    if path.exists():
        raise RequestError(f"OUT {output} exists already; choose another name")
    check_writable(path.parent, "OUT")
    checkpoint = read_pipeline(source, null_class, patch_size)
    settings = checkpoint.settings.model_dump_json()
    write_checkpoint(path, checkpoint.state_dict, settings, checkpoint.step, checkpoint.classes)
    return [path, write_card(path.parent, path.stem, checkpoint, files=[path.name])]
