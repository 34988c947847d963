"""Trains the classifier whose features the figures are measured in: python -m benchmarks.train_extractor

On the training split, shifted, turned and scaled a little; the held-out pictures only tell how often it is right. Two
minutes on one core for the 7,000 embedded digits. `--data_name Fashion_Mnist` makes the one for clothes.
"""

import argparse
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm import trange

from datasets import FACTS, ImageDataset, to_float
from evaluation.classifier import CLASSIFIERS, SIZE, Classifier, jitter, normalise_features
from utils.config import load_settings
from utils.errors import RequestError
from utils.files import atomic_write
from utils.script import run_script

BATCH = 100


def train(x: Tensor, labels: Tensor, epochs: int) -> Classifier:
    """The classifier after `epochs` epochs over x (N, 1, 28, 28) in [-1, 1] and labels (N,), ready to be asked."""
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = epochs * len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    order = torch.cat([torch.randperm(len(x)) for _ in range(epochs)])
    for step in trange(steps, desc="classifier", disable=None):
        batch = order[step * BATCH : (step + 1) * BATCH]
        loss = F.cross_entropy(model(jitter(x[batch]))[1], labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()
    normalise_features(model, x)
    return model


def accuracy(model: Classifier, x: Tensor, labels: Tensor) -> float:
    """The share of x (N, 1, 28, 28) whose likeliest class is the labelled one."""
    with torch.inference_mode():
        read = torch.cat([model(part)[1].argmax(dim=1) for part in x.split(500)])
    return (read == labels).double().mean().item()


def main(args: argparse.Namespace) -> int:
    """Trains the extractor of the data set `args.data_name`, says how much of either split it reads rightly, and writes it.

    RequestError if the set has no classes.
    """
    data = load_settings("config.yaml", args.data_name, flags={"data.data_path": args.data_path}).data
    name = FACTS[data.source].extractor
    if name not in CLASSIFIERS:
        raise RequestError(f"--data_name {args.data_name} has no classes; choose Mnist_Mini, Mnist or Fashion_Mnist")
    data = data.model_copy(update={"image_size": SIZE, "image_channel": 1})
    output = Path(args.output or f"checkpoints/{name}_extractor.safetensors")
    torch.manual_seed(args.seed)
    pictures, labels = {}, {}
    for split in ("train", "test"):
        images, numbers = ImageDataset(**data.model_dump()).load(split, require_labels=True)[:2]
        pictures[split] = to_float(torch.from_numpy(np.array(images)))
        labels[split] = torch.from_numpy(numbers)
    print(f"Data:    {args.data_name}, {len(labels['train']):,} pictures; {len(labels['test']):,} held out")
    print(f"Output:  {output.absolute()}", flush=True)
    model = train(pictures["train"], labels["train"], args.epochs)
    right = {split: accuracy(model, pictures[split], labels[split]) for split in pictures}
    print(f"Right:   {right['test']:.2%} of the held-out pictures, {right['train']:.2%} of the training pictures")
    metadata = {
        "extractor": name,
        "data_name": args.data_name,
        "epochs": str(args.epochs),
        "seed": str(args.seed),
        "held_out_accuracy": f"{right['test']:.4f}",
        "training_accuracy": f"{right['train']:.4f}",
        "command": shlex.join(["python", "-m", "benchmarks.train_extractor", *sys.argv[1:]]),
    }
    with atomic_write(output) as temporary:
        save_file(model.state_dict(), temporary, metadata)
    print(f"Wrote:   {output.absolute()}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_name", default="Mnist_Mini", metavar="NAME", help="Mnist_Mini, Mnist or Fashion_Mnist")
    parser.add_argument("--data_path", metavar="PATH", help="where MNIST or Fashion-MNIST lies or will lie (data)")
    parser.add_argument("--epochs", type=int, default=12, metavar="N", help="12")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="0")
    parser.add_argument("--output", metavar="FILE", help="checkpoints/digits_extractor.safetensors, or clothes_...")
    arguments = parser.parse_args()
    run_script(lambda: main(arguments))
