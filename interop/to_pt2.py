"""A network as a program of torch.export: python -m interop to_pt2 MODEL OUT.pt2"""

from pathlib import Path

import torch

from interop.card import write_card
from interop.drawable import TRACED_BATCH, check_equal, load_export
from interop.locate import find_model
from utils.checkpoints import model_name
from utils.errors import RequestError
from utils.files import atomic_write, check_writable

ABOUT = "diffusion.json"  # the file in the archive that says what drawing needs beside the network


def run(model: str, out: str) -> list[Path]:
    """Writes `out`, the network of `model` (a file, a folder or hf:USER/REPO) with `Drawable`'s inputs and outputs, any batch.

    It runs without this project, on the CPU: torch.export.load(out).module(). RequestError, and nothing written, if that does
    not compute what the network itself does.
    """
    path, out = find_model(model), Path(out)
    if out.suffix != ".pt2":
        raise RequestError(f"{out}: the file's name must end with .pt2")
    check_writable(out.absolute().parent, "OUT.pt2")
    export = load_export(path)
    inputs = export.example(TRACED_BATCH)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    shapes = {name: {0: batch} for name in inputs}
    program = torch.export.export(export.module, (), inputs, dynamic_shapes=shapes, strict=False)
    with atomic_write(out) as temporary:
        with temporary.open("wb") as file:
            torch.export.save(program, file, extra_files={ABOUT: export.about()})
        # Read back, as whoever gets it does: it was written here, so nothing in it is a stranger's.
        with temporary.open("rb") as file:
            again = torch.export.load(file).module()
        difference = check_equal(export, lambda inputs: again(**inputs), out)
    print(f"Checked: the program and the network differ by {difference:.1e} at most, in batches of 1 and 3")
    card = write_card(out.absolute().parent, model_name(path), export.checkpoint, weights=path, files=[out.name])
    return [out, card]
