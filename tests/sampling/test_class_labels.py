"""Which class a picture is of: by its seed, or as --class_label says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampling.labels import classes_asked_for, labels_for
from utils.errors import RequestError

NAMES = ("cat", "dog", "7", "blue, whale")


@pytest.mark.parametrize(
    "spec, labels",
    [
        ("3", [3, 3, 3, 3]),
        ("0,1,2", [1, 2, 0, 1]),
        ("all", [0, 1, 2, 3]),
        ("dog", [1, 1, 1, 1]),
        ("Cat, dog", [1, 0, 1, 0]),
        ("7", [2, 2, 2, 2]),
        ("Blue, Whale", [3, 3, 3, 3]),
    ],
)
def test_what_is_asked_for(spec, labels):
    assert labels_for([4, 5, 6, 7] if spec == "all" else [1, 2, 3, 4] if "," in spec else range(4), spec, 4, NAMES) == labels


@pytest.mark.parametrize("spec", ["4", "-1", "", ",", "cow", "0,9", "1.0", "٣", "all,0", "0-2"])
def test_a_class_that_there_is_not(spec):
    with pytest.raises(RequestError) as error:
        labels_for([0], spec, 4, NAMES)
    message = str(error.value)
    assert "\n" not in message and "0 to 3" in message and "cat, dog" in message


def test_a_network_without_classes():
    assert labels_for([0, 1], None, 0) is None
    with pytest.raises(RequestError, match="without classes"):
        labels_for([0, 1], "3", 0)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=20), st.integers(1, 50))
def test_a_picture_s_class_follows_from_its_seed_alone(seeds, num_classes):
    labels = labels_for(seeds, None, num_classes)
    assert labels == [labels_for([seed], None, num_classes)[0] for seed in seeds]
    assert all(0 <= label < num_classes for label in labels)


def test_classes_come_as_often_as_in_the_data():
    shares = [0.5, 0.0, 0.3, 0.2]
    labels = labels_for(range(20_000), None, 4, NAMES, shares)
    found = [labels.count(label) / len(labels) for label in range(4)]
    assert found[1] == 0
    assert found == pytest.approx(shares, abs=4 * (0.25 / 20_000) ** 0.5)  # four standard errors at most
    alike = labels_for(range(20_000), None, 4)
    assert [alike.count(label) / len(alike) for label in range(4)] == pytest.approx([0.25] * 4, abs=0.0125)


def test_all_asks_for_every_class_in_turn():
    assert classes_asked_for("all", 5) == [0, 1, 2, 3, 4]
    assert labels_for([7, 8], "all", 5) == [2, 3]
