"""Where a model is: a file, the folder of a run or of an export, or a repository of the Hugging Face Hub."""

import os
import re
from pathlib import Path, PurePosixPath

from interop.diffusers_folder import find_files
from utils.checkpoints import STATE_SUFFIXES, WEIGHTS_FILE
from utils.errors import RequestError

HUB = "hf:"
HUB_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")  # of a user's or a repository's name
SUFFIXES = (".safetensors", *STATE_SUFFIXES)


def find_model(text: str | Path) -> Path:
    """The file that `text` names: itself, the model.safetensors of a folder (or its only one), the weights of a pipeline of
    diffusers, or hf:USER/REPO[/FILE].

    What is not yet in the Hub's cache is downloaded. RequestError for a folder without such a file, or a name of the Hub that
    is none, is not to be had, or leads out of its repository.
    """
    if str(text).startswith(HUB):
        return _from_hub(str(text))
    path = Path(text)
    return _in_folder(path) if path.is_dir() else path


def _in_folder(folder: Path) -> Path:
    """The model in a folder; each name is the folder's own, so none leads elsewhere."""
    path = folder / WEIGHTS_FILE
    if path.exists():
        return path
    if (folder / "model_index.json").exists():
        return find_files(str(folder)).weights
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    what = f"holds {len(found)} .safetensors files" if found else f"holds no {WEIGHTS_FILE}"
    raise RequestError(f"{folder.absolute()} is a folder that {what}: name the file in it, such as {path}")


def _from_hub(text: str) -> Path:
    """hf:USER/REPO or hf:USER/REPO/FILE: the file, in the Hub's cache."""
    parts = text.removeprefix(HUB).split("/")
    if len(parts) < 2 or not all(HUB_PART.fullmatch(part) and "--" not in part and ".." not in part for part in parts[:2]):
        raise RequestError(f"{text!r} is no model of the Hub: it is written hf:USER/REPO or hf:USER/REPO/FILE")
    repo, file = "/".join(parts[:2]), "/".join(parts[2:]) or WEIGHTS_FILE
    inner = PurePosixPath(file)
    if any(part in ("", ".", "..") for part in file.split("/")) or "\\" in file or ":" in file or inner.is_absolute():
        raise RequestError(f"{text!r} leads out of its repository: FILE is a path in it, such as weights/{WEIGHTS_FILE}")
    if inner.suffix not in SUFFIXES:
        raise RequestError(f"{text!r} is no checkpoint: FILE ends with {' or '.join(SUFFIXES)}")
    path = _download(repo, file, text)
    _check_inside(path, text)
    return path


def _download(repo: str, file: str, text: str) -> Path:
    """The file's path in the cache, where it is fetched to if it is not there yet."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise RequestError(f"{text} needs huggingface_hub: pip install -r requirements-hub.txt") from None
    try:
        return Path(hf_hub_download(repo, file))
    except LocalEntryNotFoundError:
        raise RequestError(
            f"{text} is not in the Hub's cache, and the Hub cannot be reached; try again with a network, and without "
            "HF_HUB_OFFLINE"
        ) from None
    except EntryNotFoundError:
        raise RequestError(
            f"{text}: {repo} has no file {file}; name another one, hf:{repo}/FILE, or, if it is a pipeline of diffusers, "
            f"hf download {repo} --local-dir DIR, and --model_path DIR"
        ) from None
    except HfHubHTTPError as error:
        reason = str(error).split("\n")[0]
        raise RequestError(
            f"{text} is not to be had ({reason}); see that it is spelled rightly, and, where it is private, hf auth login"
        ) from None
    except ValueError as error:
        raise RequestError(f"{text}: {str(error).splitlines()[0]}") from None


def _check_inside(path: Path, text: str) -> None:
    """RequestError unless the file, whose name in the cache is a link, lies in that cache: a forged one may lead anywhere."""
    from huggingface_hub import constants

    cache, whole = os.path.realpath(constants.HF_HUB_CACHE), os.path.realpath(path)
    if os.path.commonpath([whole, cache]) != cache:
        raise RequestError(f"{text} leads to {whole}, out of the Hub's cache {cache}: it is not read")
