"""What is in a data set, to be looked at before a training: python -m datasets NAME

NAME is an entry of Train_Data in config.yaml. The pictures are decoded as a training would, into the same cache; what is
unreadable is listed, not refused. Writes a contact sheet, results/NAME_data.png.
"""

from pathlib import Path

from utils.command_line import parse_data_args
from utils.script import run_script
from utils.threads import wait_passively


def main() -> int:
    """Prints the report, writes the contact sheet; returns the exit status."""
    args = parse_data_args()

    import torch

    from datasets.load import ImageDataset
    from datasets.report import make_report, sheet_rows
    from utils.config import load_data_settings
    from utils.files import check_writable
    from utils.pictures import grid, readable_scale, save_png

    settings = load_data_settings(args.config, args.data_name, args.overrides, {"data.data_path": args.data_path})
    folder = Path(args.save_dir).absolute()
    check_writable(folder, "--save_dir")
    path = folder / f"{args.data_name}_data{'' if args.split == 'train' else f'_{args.split}'}.png"
    print(f"Data:       {args.data_name}, {args.split} split, {settings.data_path or settings.source}")
    print(f"Output:     {path}", flush=True)
    data = ImageDataset(**settings.model_dump() | {"skip_unreadable": True})
    pictures, decoded = data.decode(args.split)
    decoded = decoded._replace(images=data.load(args.split).images)  # cropped once, where that is still to be done
    report = make_report(pictures, decoded, data.shaping)
    print("\n".join(report.lines()))
    rows = sheet_rows(decoded.labels, len(decoded.images), len(pictures.class_names))
    columns = max(map(len, rows))
    sheet = torch.zeros(len(rows) * columns, *decoded.images.shape[1:], dtype=torch.uint8)
    for row, chosen in enumerate(rows):
        for column, number in enumerate(chosen):
            sheet[row * columns + column] = torch.from_numpy(decoded.images[number].copy())
    names = [name[:24] for name in pictures.class_names] if len(rows) == len(pictures.class_names) else []
    save_png(path, grid(sheet, columns, scale=readable_scale(sheet), row_labels=names))
    print(f"Wrote:      {path}")
    return 0


if __name__ == "__main__":
    wait_passively()
    run_script(main)
