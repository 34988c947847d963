"""The small classifier whose features stand in for Inception's, for digits and clothes."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 28
FEATURES = 64
CLASSES = 10
# Those that we train, each with the entry of config.yaml that it is trained on.
CLASSIFIERS = {"digits": "Mnist_Mini", "clothes": "Fashion_Mnist"}


class Classifier(nn.Module):
    """(B, 1, 28, 28) in [-1, 1] -> features (B, 64), which are 0 or more, and logits (B, 10)."""

    def __init__(self):
        super().__init__()

        def stage(c_in: int, c_out: int) -> list[nn.Module]:
            return [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), nn.MaxPool2d(2)]

        layers = [*stage(1, 24), *stage(24, 48), *stage(48, 96), nn.Flatten(), nn.Linear(96 * 9, FEATURES), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(FEATURES, CLASSES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return features, self.head(features)


@torch.no_grad()
def normalise_features(model: Classifier, x: Tensor) -> None:
    """Scales the features to a mean square of 1 over x (N, 1, 28, 28), and changes no logit.

    KID's cubic kernel is made for features of about that size.
    """
    linear, head = model.features[-2], model.head[-1]
    square = torch.stack([model.features(part).square().mean() for part in x.split(500)]).mean()
    for tensor in (linear.weight, linear.bias):
        tensor /= square.sqrt()  # the ReLU after it keeps the scale
    head.weight *= square.sqrt()


def jitter(x: Tensor) -> Tensor:
    """Each picture (B, 1, H, W) turned by up to 12 degrees, scaled by up to 10 % and shifted by up to 2 pixels."""
    angle, scale = (torch.rand(2, len(x)) * 2 - 1) * torch.tensor([[0.2], [0.1]])
    scale = scale + 1
    shift = (torch.rand(len(x), 2) * 2 - 1) * 2 / 14
    turn = torch.stack([scale * angle.cos(), -angle.sin(), angle.sin(), scale * angle.cos()], dim=1).view(-1, 2, 2)
    places = F.affine_grid(torch.cat([turn, shift[:, :, None]], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, places, align_corners=False) - 1
