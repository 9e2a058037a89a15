"""Snapshots of checkpoints from the two hubs: Hugging Face, and ModelScope (an optional extra).

Both keep what they fetched in a cache, resume broken downloads and are asked for named files only. `HF_ENDPOINT`
points to a mirror; `INKWASH_OFFLINE` or `HF_HUB_OFFLINE` forbids asking at all; `INKWASH_CACHE` moves the cache.
Whatever goes wrong comes back as one sentence that says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inkwash.core import env
from inkwash.core.errors import MissingExtraError, WeightsError
from inkwash.core.text import one_line

NAMES = {"huggingface": "Hugging Face", "modelscope": "ModelScope"}


@dataclass(frozen=True, kw_only=True)
class HubAccess:
    """What one call says about its hub; None leaves it to the environment. Only Hugging Face's takes a token."""

    cache_dir: str | Path | None = None
    local_files_only: bool | None = None
    token: str | bool | None = None


def fetch(
    repo: str,
    *,
    patterns: Sequence[str],
    revision: str | None = None,
    hub: str = "huggingface",
    access: HubAccess = HubAccess(),
) -> Path:
    """The local folder with the files of `repo` that match `patterns`, downloaded where they are not there yet.

    `revision` is a branch, tag or commit; `None` is the hub's default. Raises `WeightsError`, or
    `MissingExtraError` when the hub's own library is not installed.
    """
    download = {"huggingface": from_hugging_face, "modelscope": from_modelscope}[hub]
    return download(repo, patterns=patterns, revision=revision, access=access)


def from_hugging_face(
    repo: str,
    *,
    patterns: Sequence[str],
    revision: str | None = None,
    access: HubAccess = HubAccess(),
) -> Path:
    """A snapshot through `huggingface_hub`, in its own cache unless `INKWASH_CACHE` is set."""
    from huggingface_hub import errors, snapshot_download

    offline = env.offline() if access.local_files_only is None else access.local_files_only
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            cache_dir=access.cache_dir or _cache("huggingface"),
            allow_patterns=list(patterns),
            local_files_only=offline,
            endpoint=os.environ.get("HF_ENDPOINT") or None,
            library_name="inkwash",
            token=access.token,
        )
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{repo} asks on Hugging Face for its terms to be accepted: do so on its page, then run hf auth login."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"Hugging Face has no model {repo}, or it is private: check the name, or run hf auth login."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"{repo} has no revision {revision!r} on Hugging Face: check the branch or tag.") from error
    except errors.HFValidationError as error:
        raise WeightsError(
            f"{repo!r} is not a model name on Hugging Face; one looks like zai-org/GLM-Image."
        ) from error
    except Exception as error:  # the library lets errors of its transport through, which have no common base
        raise _unreachable(repo, "huggingface", error, offline) from error
    return Path(folder)


def from_modelscope(
    repo: str,
    *,
    patterns: Sequence[str],
    revision: str | None = None,
    access: HubAccess = HubAccess(),
) -> Path:
    """A snapshot through `modelscope`, in its own cache unless `INKWASH_CACHE` is set."""
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise MissingExtraError("Downloading from ModelScope", extra="modelscope") from error
    offline = env.offline() if access.local_files_only is None else access.local_files_only
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            cache_dir=str(access.cache_dir) if access.cache_dir else _cache("modelscope"),
            allow_patterns=list(patterns),
            local_files_only=offline,
        )
    except Exception as error:  # as above
        raise _unreachable(repo, "modelscope", error, offline) from error
    return Path(folder)


def _cache(hub: str) -> str | None:
    """Where to keep snapshots; `None` leaves it to the hub's library, whose cache other programs share."""
    return str(env.cache_dir() / hub) if os.environ.get("INKWASH_CACHE", "").strip() else None


def _unreachable(repo: str, hub: str, error: Exception, offline: bool) -> WeightsError:
    place = NAMES[hub]
    if offline:
        return WeightsError(
            f"{repo} is not complete in the local cache and downloads are switched off: unset INKWASH_OFFLINE and "
            "HF_HUB_OFFLINE, or give the path of a folder that holds it."
        )
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    reason = one_line(cause, 1000)
    return WeightsError(
        f"{repo} could not be fetched from {place} ({reason[:200]}): check the network and free disk space and run the "
        "command again (it resumes), set HF_ENDPOINT to a mirror, or give the path of a folder that holds it."
    )
