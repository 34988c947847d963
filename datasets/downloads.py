"""The sets that torchvision knows: where their files belong, how to get them, how to read them."""

import hashlib
import http.client
import importlib.util
import os
import shutil
import urllib.request
from functools import partial

import numpy as np

from datasets.facts import FACTS
from datasets.picture_set import Archive, ArrayPictures, Items, PathPictures, PictureSet
from utils.bars import progress_bar
from utils.errors import RequestError
from utils.files import exclusive, folder_made

FLOWER_NUM = FACTS["flower102"].splits["train"]
DEFAULT_ROOT = "data"
STAGING = ".download"  # below the root; a file leaves it once its checksum is right, so no half file is ever in place
SILENCE_SECONDS = 15  # a server that says nothing for so long counts as no network


def torchvision_root(data_path: str | None) -> str:
    """The absolute folder below which torchvision puts each set into one of its own."""
    return os.path.realpath(os.path.expanduser(DEFAULT_ROOT if data_path is None else data_path))


def find_mnist(source: str, data_path: str | None, split: str) -> PictureSet:
    """MNIST or Fashion-MNIST, in torchvision's folders."""
    import torchvision.datasets  # takes a second, and most runs do without

    facts = FACTS[source]
    known = getattr(torchvision.datasets, facts.torchvision)
    folder = f"{facts.torchvision}/raw"
    archives = []
    for name, md5 in known.resources:
        urls = tuple(mirror + name for mirror in known.mirrors)
        archives.append(Archive(f"{folder}/{name}", urls, md5, folder, [f"{folder}/{name.removesuffix('.gz')}"]))
    files = sorted(name for archive in archives for name in archive.files)
    root = torchvision_root(data_path)
    read = partial(read_mnist, facts.torchvision, root, split)
    number = facts.splits[split]
    return PictureSet(source, source, root, split, files, number, read, facts.class_names, True, tuple(archives))


def read_mnist(class_name: str, root: str, split: str) -> Items:
    """uint8 (N, 28, 28) and their classes. Raises RequestError where a file is not what its header says."""
    import torchvision.datasets

    known = getattr(torchvision.datasets, class_name)
    try:
        content = known(root, train=split == "train")
        return Items(ArrayPictures(content.data.numpy()), content.targets.numpy().astype(np.int64))
    # torchvision keeps no checksum of the unpacked files and reads them trustingly; a bad header fails anywhere.
    except (AssertionError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise RequestError(
            f"the {split} files in {os.path.join(root, class_name, 'raw')} are damaged ({one_line(error)}); empty that "
            f"folder and set data.download to true, or put the .gz files from {known.mirrors[0]} into it"
        ) from error


def find_cifar10(data_path: str | None, split: str) -> PictureSet:
    """CIFAR-10, in torchvision's folder."""
    from torchvision.datasets import CIFAR10

    names = [name for name, _ in CIFAR10.train_list + CIFAR10.test_list] + [CIFAR10.meta["filename"]]
    files = sorted(f"{CIFAR10.base_folder}/{name}" for name in names)
    archive = Archive(CIFAR10.filename, (CIFAR10.url,), CIFAR10.tgz_md5, ".", files)
    root, facts = torchvision_root(data_path), FACTS["cifar10"]
    read, number = partial(read_cifar10, root, split), facts.splits[split]
    return PictureSet("cifar10", "cifar10", root, split, files, number, read, facts.class_names, True, (archive,))


def read_cifar10(root: str, split: str) -> Items:
    """uint8 (N, 32, 32, 3) and their classes. Raises RequestError, with the names of files whose checksum is wrong."""
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    folder = os.path.join(root, CIFAR10.base_folder)
    sums = [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
    # Checked before torchvision unpickles them: a pickle may do anything.
    damaged = [name for name, md5 in sums if not check_integrity(os.path.join(folder, name), md5)]
    if damaged:
        raise RequestError(
            f"{folder} has damaged files (wrong checksum): {listed(damaged)}; delete that folder and set data.download "
            f"to true, or put {CIFAR10.filename} from {CIFAR10.url} into {root}"
        )
    content = CIFAR10(root, train=split == "train")
    return Items(ArrayPictures(content.data), np.array(content.targets, np.int64))


def find_flower102(data_path: str | None, split: str, require_labels: bool) -> PictureSet:
    """Oxford Flowers-102, the pictures of all three splits: 8,189 of many sizes, in the order of their numbers.

    The classes are in a file of their own, which is MATLAB's and needs scipy: they are read where both are there, and
    the file is fetched only where `require_labels` asks for it. RequestError if it does and there is no scipy.
    """
    from torchvision.datasets import Flowers102

    folder, root = "flowers-102", torchvision_root(data_path)
    jpegs = [f"{folder}/jpg/image_{number:05d}.jpg" for number in range(1, FLOWER_NUM + 1)]

    def archive(key: str, files: list[str] | None = None) -> Archive:
        name, md5 = Flowers102._file_dict[key]
        path = f"{folder}/{name}"
        return Archive(path, (Flowers102._download_url_prefix + name,), md5, folder, files or [path])

    archives, labels = (archive("image", jpegs),), archive("label")
    has_scipy = importlib.util.find_spec("scipy") is not None
    if require_labels and not has_scipy:
        raise RequestError("the classes of flower102 are in a MATLAB file, which needs scipy: pip install scipy")
    has_labels = require_labels or (has_scipy and os.path.isfile(os.path.join(root, labels.path)))
    files = [*jpegs, labels.path] if has_labels else jpegs
    read = partial(read_flower102, root, jpegs, labels if has_labels else None)
    archives += (labels,) if has_labels else ()
    names = FACTS["flower102"].class_names
    return PictureSet("flower102", "flower102", root, split, files, len(jpegs), read, names, has_labels, archives)


def read_flower102(root: str, jpegs: list[str], label_file: Archive | None) -> Items:
    """The pictures and, from the label file, their classes. RequestError if its checksum is wrong."""
    pictures = PathPictures(root, jpegs)
    if label_file is None:
        return Items(pictures, None)
    from scipy.io import loadmat
    from torchvision.datasets.utils import check_integrity

    path = os.path.join(root, label_file.path)
    if not check_integrity(path, label_file.md5):
        raise RequestError(
            f"{path} is damaged (wrong checksum); delete it, or get {label_file.urls[0]} and put it there"
        )
    return Items(pictures, loadmat(path, variable_names=["labels"])["labels"].reshape(-1).astype(np.int64) - 1)


def require_files(pictures: PictureSet, download: bool) -> None:
    """Sees to it that the set's files are there: unpacks archives that are, downloads those that are not if it may.

    Raises RequestError that says which files are missing, where they would go, and from where to get them.
    """
    if not download:
        check_files(pictures)
    if not missing_files(pictures):
        return
    staging = os.path.join(pictures.root, STAGING)
    try:
        with folder_made(pictures.root), exclusive(f"{staging}.lock"):
            # Asked again: another process may have fetched them while this one waited.
            for archive in needed_archives(pictures):
                shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
                try:
                    unpack(pictures, archive, staging)
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise RequestError(f"{missing_line(pictures)}; downloading them failed ({one_line(error)})") from error
    if missing_files(pictures):
        raise RequestError(f"{missing_line(pictures)}; the archive that was unpacked does not hold them")


def check_files(pictures: PictureSet) -> None:
    """Raises RequestError unless the set's files, or the archives that hold them, are there. Changes nothing."""
    if not all(is_in_place(pictures, archive) for archive in needed_archives(pictures)):
        raise RequestError(f"{missing_line(pictures)}, or set data.download to true")


def unpack(pictures: PictureSet, archive: Archive, staging: str) -> None:
    """Puts an archive's contents in their place, each moved there whole. Downloads it unless it is there."""
    from torchvision.datasets.utils import check_integrity, extract_archive

    path = pictures.path(archive.path)
    if not check_integrity(path, archive.md5):
        path = fetch(archive, staging)
    if archive.files == [archive.path]:
        os.makedirs(pictures.path(archive.unpack_to), exist_ok=True)
        os.replace(path, pictures.path(archive.path))
        return
    contents = os.path.join(staging, "contents")
    os.makedirs(contents, exist_ok=True)
    extract_archive(path, contents)
    for folder, _, names in os.walk(contents):
        target = os.path.join(pictures.path(archive.unpack_to), os.path.relpath(folder, contents))
        os.makedirs(target, exist_ok=True)
        for name in names:
            os.replace(os.path.join(folder, name), os.path.join(target, name))


def fetch(archive: Archive, staging: str) -> str:
    """The path of the downloaded archive, its checksum verified. Raises what the last mirror raised."""
    path = os.path.join(staging, os.path.basename(archive.path))
    os.makedirs(staging, exist_ok=True)
    for number, url in enumerate(archive.urls, 1):
        try:
            fetch_from(url, path, archive.md5)
            break
        except (OSError, http.client.HTTPException):
            if number == len(archive.urls):
                raise
    return path


def fetch_from(url: str, path: str, md5: str) -> None:
    """Downloads `url` to `path`. Raises OSError or HTTPException; the first also where the checksum is another."""
    request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0"})  # some servers turn Python's own away
    found = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as response, open(path, "wb") as file:
        title = f"downloading {os.path.basename(path)}"
        with progress_bar(response.length, "B", title=title) as bar:
            while piece := response.read(2**20):
                file.write(piece)
                found.update(piece)
                bar.update(len(piece))
    if found.hexdigest() != md5:
        raise OSError(f"what {url} gave is corrupted: its MD5 checksum is not {md5}")


def missing_files(pictures: PictureSet) -> list[str]:
    """The files of the set that are not there."""
    return [name for name in pictures.files if not os.path.isfile(pictures.path(name))]


def needed_archives(pictures: PictureSet) -> list[Archive]:
    """The archives that hold the files which are missing."""
    missing = set(missing_files(pictures))
    return [archive for archive in pictures.archives if not missing.isdisjoint(archive.files)]


def is_in_place(pictures: PictureSet, archive: Archive) -> bool:
    """Whether the archive lies, whole, where a user would put it."""
    from torchvision.datasets.utils import check_integrity

    return check_integrity(pictures.path(archive.path), archive.md5)


def missing_line(pictures: PictureSet) -> str:
    """Which files are missing, where they belong, and which archives a user could fetch by hand."""
    missing = missing_files(pictures)
    wanted = [archive for archive in needed_archives(pictures) if not is_in_place(pictures, archive)]
    place = os.path.dirname(pictures.path(missing[0]))
    line = f"{pictures.source}: {listed([os.path.basename(name) for name in missing])} missing from {place}"
    if wanted:
        urls = ", ".join(archive.urls[0] for archive in wanted)
        them = "it" if len(wanted) == 1 else "them"
        line += f"; get {urls} and put {them} into {os.path.dirname(pictures.path(wanted[0].path))}"
    return line


def listed(names: list[str]) -> str:
    """The first few names, and how many there are besides."""
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown


def one_line(error: BaseException) -> str:
    """What an exception says, or else its name, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
