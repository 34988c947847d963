"""How many pictures are read as their class: by a classifier of it, or by a linear probe on features."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from evaluation import linear_probe
from evaluation.extractor import Features
from evaluation.linear_probe import fit_linear_probe
from evaluation.measures import class_figures
from evaluation.picture_metrics import PictureMetrics, SeedSets
from evaluation.reading import Reader
from evaluation.record import describe, markdown_by_class
from evaluation.reference import RealPictures
from utils.pictures import save_png


class Means:
    """An extractor whose 12 features are the means of the quarters of a picture, which classify nothing."""

    name, hash, dimension, is_classifier, least = "means", "0" * 12, 12, False, 13

    def __call__(self, pictures, batch_size=None, ranks=None):
        means = F.adaptive_avg_pool2d(torch.as_tensor(np.array(pictures)) / 255, 2).flatten(1)
        return Features(means, torch.zeros(len(means), 1000))


def coloured(folder, count, is_sorted=True):
    """Dark pictures, reddish and bluish ones in turn, in a folder each, or in either."""
    rng = np.random.default_rng(0)
    for i in range(count):
        picture = rng.integers(0, 100, (3, 8, 8), dtype=np.uint8)
        picture[2 * (i % 2)] += 100
        home = folder / ("red", "blue")[i % 2 if is_sorted else int(rng.integers(2))]
        home.mkdir(exist_ok=True)
        save_png(home / f"{i}.png", torch.from_numpy(picture))


# The probe


def test_the_probe_is_where_the_gradient_of_its_loss_is_zero():
    torch.manual_seed(0)
    labels = torch.randint(0, 3, (90,))
    features = torch.randn(90, 5) + F.one_hot(labels, 5)
    probe = fit_linear_probe(features, labels, 3)
    std = features.std(dim=0, correction=0)
    W, bias = (probe.weight * std[:, None]).requires_grad_(), probe.bias.requires_grad_()
    loss = F.cross_entropy(features / std @ W + bias, labels) + linear_probe.WEIGHT_DECAY / 2 * W.square().sum()
    for gradient in torch.autograd.grad(loss, (W, bias)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-4)


def test_the_probe_does_not_see_the_scale_of_features_and_bears_those_that_never_change():
    torch.manual_seed(0)
    labels = torch.arange(60) % 2
    features = torch.randn(60, 4) + labels[:, None]
    probe = fit_linear_probe(features, labels, 2)
    logits = probe(features)
    scale, shift = torch.tensor([0.1, 1, 10, 100]), torch.tensor([1.0, -2, 3, 4])
    moved = torch.cat([scale * features + shift, torch.full((60, 1), 7.0)], dim=1)
    torch.testing.assert_close(fit_linear_probe(moved, labels, 2)(moved), logits, rtol=1e-2, atol=1e-2)
    assert logits.isfinite().all() and not probe.weight.requires_grad


def test_a_probe_can_learn_from_what_an_extractor_gives(extractor, reference):
    """Made in inference mode, the features are not of it: those could not be learned from."""
    features = extractor(reference.held_out.pictures[:20]).features
    labels = reference.held_out.labels[:20]
    assert (fit_linear_probe(features, labels, 10)(features).argmax(dim=1) == labels).all()


# The reader


def test_classes_are_read_by_the_digits_own_classifier_and_of_others_by_a_probe(extractor, reference):
    own = Reader(extractor, reference.held_out_reference)
    assert own.probe_name is None and own.reads(10) and not own.reads(5)
    digits = tuple("0123456789")
    assert own.reads(10, digits) and not own.reads(10, digits[::-1])  # ten classes, but others
    answers = own.answers(reference.held_out.features, reference.held_out.labels)
    right = reference.held_out.features.logits.argmax(dim=1) == reference.held_out.labels
    assert torch.equal(answers["read_as_asked"], right) and right.double().mean() > 0.98
    assert answers["confident"].double().mean() > 0.9

    real = RealPictures("ours", np.zeros((4, 1, 8, 8), np.uint8), Features(torch.eye(4), torch.zeros(4, 1000)))
    classes = {"labels": torch.tensor([0, 0, 1, 1]), "class_names": ("a", "b")}
    read = Reader(Means(), real._replace(**classes))
    assert read.probe_name == "a linear probe on the features, fitted to ours, 4 pictures"
    assert read.reads(2) and read.reads(2, ("a", "b")) and not read.reads(2, ("b", "a")) and not read.reads(3)
    answers = read.answers(real.features, torch.tensor([0, 1, 1, 0]))
    assert list(answers) == ["read_as_asked"] and answers["read_as_asked"].tolist() == [True, False, True, False]
    for unread in (Reader(Means(), real), Reader(None, real._replace(**classes))):
        assert unread.probe_name is None and not unread.reads(2)


@pytest.mark.parametrize("is_sorted, low, high", [(True, 1, 1), (False, 0.3, 0.7)])
def test_the_floor_is_the_share_of_held_out_pictures_that_a_probe_on_the_others_reads(
    dataset, folder, is_sorted, low, high
):
    """Of classes that can be seen all are read, of such as were dealt out at random about a half."""
    coloured(folder, 120, is_sorted)
    metrics = PictureMetrics(dataset(class_from_folder=True), Means())
    seed_sets = SeedSets(0, 40, 2)
    floor = metrics.floor(seed_sets, is_read=metrics.reader.reads(2, ("blue", "red")))
    read = floor["figures"]["read_as_asked"]
    assert len(read["each"]) == 2 and low <= read["mean"] <= high
    assert sum(of["pictures"] for of in floor["by_class"].values()) == 60 and set(floor["by_class"]) == {"blue", "red"}
    assert low <= sum(of["pictures"] * of["read_as_asked"] for of in floor["by_class"].values()) / 60 <= high
    read_by = metrics.reader.probe_name
    assert read_by == "a linear probe on the features, fitted to folder, the other half, 60 pictures"
    assert read_by in describe(metrics.protocol(seed_sets), "ema", read_by)
    assert "read_as_asked" not in metrics.floor(seed_sets)["figures"]  # of a network that is asked for no class


def test_a_set_without_labels_is_not_read(dataset, folder):
    coloured(folder, 60)
    metrics = PictureMetrics(dataset(), Means())
    is_read = metrics.reader.reads(2, ("blue", "red"))
    floor = metrics.floor(SeedSets(0, 30, 1), is_read)
    assert not is_read and metrics.reader.probe_name is None
    assert "by_class" not in floor and "read_as_asked" not in floor["figures"] and "kid" in floor["figures"]


def test_halves_of_a_set_keep_their_labels_with_their_pictures(dataset, folder):
    coloured(folder, 40)
    reference = PictureMetrics(dataset(class_from_folder=True), Means()).reference
    for part in (reference.held_out, reference.held_out_reference, reference.held_out_part(15, seed=3)):
        is_red = part.pictures[:, 0].mean(axis=(1, 2)) > part.pictures[:, 2].mean(axis=(1, 2))
        assert part.labels.tolist() == is_red.astype(int).tolist() and part.class_names == ("blue", "red")
    assert len(part.labels) == 15


# The tables


def test_figures_by_class_count_what_was_asked_for_and_how_it_is_read():
    yes = torch.tensor([True, True, False, True])
    answers = {"read_as_asked": yes, "confident": ~yes}
    assert class_figures(answers, torch.tensor([0, 0, 0, 2]), ("a", "b", "c")) == {
        "a": {"pictures": 3, "read_as_asked": 2 / 3, "confident": 1 / 3},
        "c": {"pictures": 1, "read_as_asked": 1.0, "confident": 0.0},
    }


def test_the_table_by_class_has_all_together_and_real_pictures_where_they_are_known():
    by_class = {"a": {"pictures": 3, "read_as_asked": 1.0}, "b": {"pictures": 1, "read_as_asked": 0.0}}
    real = {"a": {"pictures": 2, "read_as_asked": 0.5}}
    assert markdown_by_class({"by_class": by_class, "floor": {"by_class": real}}).splitlines() == [
        "| class asked for | pictures | read as it | real pictures | read as it |",
        "|---|---|---|---|---|",
        "| a | 3 | 100.0% | 2 | 50.0% |",
        "| b | 1 | 0.0% | 0 |  |",
        "| all | 4 | 75.0% | 2 | 50.0% |",
    ]
    called_all = {"all": {"pictures": 3, "read_as_asked": 1.0}}  # a class of that name
    assert markdown_by_class({"by_class": called_all, "floor": {}}).splitlines()[2:] == ["| all | 3 | 100.0% |"] * 2
    sure = {"a": {"pictures": 3, "read_as_asked": 1.0, "confident": 0.5}}
    assert markdown_by_class({"by_class": sure, "floor": {}}).splitlines()[0::2] == [
        "| class asked for | pictures | read as it | confident |",
        "| a | 3 | 100.0% | 50.0% |",
    ]
    assert markdown_by_class({"by_class": None, "floor": {}}) == ""
