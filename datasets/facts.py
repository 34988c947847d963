"""What is known of each source before its files are looked at: splits, sizes, classes, extractor, licence. Nowhere else."""

from typing import NamedTuple

from utils.errors import RequestError


class SourceFacts(NamedTuple):
    """One source of pictures.

    splits: each split's number of pictures; None: only the folder itself tells. side, channels: of the original pictures,
    None where they differ among themselves. class_names: one a class, in the order of the labels; () where there are no
    classes, or where only the folder tells. extractor: that of evaluation/ which suits them; None: Inception, where its
    weights are at hand. asset: the file of an embedded set in datasets/assets. torchvision: the class that knows the files.
    licence_id, hub_name: what the licence and the set are called on the Hugging Face Hub, for model cards.
    """

    splits: dict[str, int | None]
    side: int | None
    channels: int | None
    class_names: tuple[str, ...]
    extractor: str | None
    licence: str
    origin: str
    asset: str | None = None
    torchvision: str | None = None
    licence_id: str = "unknown"
    hub_name: str | None = None


DIGITS = tuple("0123456789")
EMOJI_GROUPS = (
    "Activities",
    "Animals & Nature",
    "Component",
    "Flags",
    "Food & Drink",
    "Objects",
    "People & Body",
    "Smileys & Emotion",
    "Symbols",
    "Travel & Places",
)
CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FLOWER_NAMES = (
    "pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon "
    "orchid, bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, "
    "yellow iris, globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire "
    "lily, pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, "
    "stemless gentian, artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine"
    " sea holly, ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, "
    "daffodil, sword lily, poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common "
    "dandelion, petunia, wild pansy, primula, sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange"
    " dahlia, pink-yellow dahlia?, cautleya spicata, japanese anemone, black-eyed susan, silverbush, californian "
    "poppy, osteospermum, spring crocus, bearded iris, windflower, tree poppy, gazania, azalea, water lily, rose,"
    " thorn apple, morning glory, passion flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus, "
    "columbine, desert-rose, tree mallow, magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball"
    " moss, foxglove, bougainvillea, camellia, mallow, mexican petunia, bromelia, blanket flower, trumpet "
    "creeper, blackberry lily"
)

FACTS: dict[str, SourceFacts] = {
    "folder": SourceFacts({"train": None}, None, None, (), None, "the owner's", "the user's own pictures"),
    "mnist_mini": SourceFacts(
        {"train": 7_000, "test": 1_000},
        28,
        1,
        DIGITS,
        "digits",
        "CC BY-SA 3.0",
        "8,000 pictures of MNIST, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges",
        asset="mnist_mini.npz",
        licence_id="cc-by-sa-3.0",
        hub_name="ylecun/mnist",
    ),
    "emoji": SourceFacts(
        {"train": 1_911},
        64,
        3,
        EMOJI_GROUPS,
        "efficientnet_lite0",  # they are fewer than Inception has features
        "Apache License 2.0",
        "Noto Emoji, by Google, https://github.com/googlefonts/noto-emoji",
        asset="emoji_64.npz",
        licence_id="apache-2.0",
    ),
    "mnist": SourceFacts(
        {"train": 60_000, "test": 10_000},
        28,
        1,
        DIGITS,
        "digits",
        "CC BY-SA 3.0",
        "MNIST, by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, http://yann.lecun.com/exdb/mnist/",
        torchvision="MNIST",
        licence_id="cc-by-sa-3.0",
        hub_name="ylecun/mnist",
    ),
    "fashion_mnist": SourceFacts(
        {"train": 60_000, "test": 10_000},
        28,
        1,
        CLOTHES,
        "clothes",
        "MIT License",
        "Fashion-MNIST, by Zalando Research, https://github.com/zalandoresearch/fashion-mnist",
        torchvision="FashionMNIST",
        licence_id="mit",
        hub_name="zalando-datasets/fashion_mnist",
    ),
    "cifar10": SourceFacts(
        {"train": 50_000, "test": 10_000},
        32,
        3,
        CIFAR10_CLASSES,
        None,
        "none stated",
        "CIFAR-10, by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton, https://www.cs.toronto.edu/~kriz/cifar.html",
        torchvision="CIFAR10",
        hub_name="uoft-cs/cifar10",
    ),
    "flower102": SourceFacts(
        {"train": 8_189},
        None,
        3,
        tuple(FLOWER_NAMES.split(", ")),
        None,
        "none stated",
        "Oxford Flowers-102, by M-E. Nilsback and A. Zisserman, https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        torchvision="Flowers102",
    ),
}


def check_split(source: str, split: str) -> None:
    """Raises RequestError where the set has no such split."""
    splits = FACTS[source].splits
    if split not in splits:
        raise RequestError(f"{source} has no {split!r} split, only {' and '.join(map(repr, splits))}")
