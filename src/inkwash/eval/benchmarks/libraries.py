"""Judges that live in other people's libraries: CLIP, LLM2CLIP, the style encoders, DreamSim, mPLUG.

A published number belongs to one implementation, so each judge is loaded through the library that the official scorer
uses, from weights that the user has; no library is a dependency, and none is imported before its judge is asked for.
What is missing is one sentence with the place to get it. Nothing here is ever downloaded.
"""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

from PIL import Image

from inkwash.core.errors import ConfigError

LINKS = {  # package -> where it comes from
    "clip": "pip install git+https://github.com/openai/CLIP.git",
    "transformers": "pip install transformers",
    "llm2vec": "pip install llm2vec, https://github.com/McGill-NLP/llm2vec",
    "dreamsim": "pip install dreamsim, https://github.com/ssundaram21/dreamsim",
    "modelscope": "pip install 'inkwash[modelscope]', https://github.com/modelscope/modelscope",
}
_NAMED_BYTES = 2**20


def library(module: str, judge: str) -> Any:
    """A module of somebody else's package, or one sentence."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as problem:
        raise ConfigError(
            f"the judge {judge} needs the Python package {package} ({problem}): {LINKS[package]}."
        ) from problem


def fingerprint(path: Path) -> str:
    """A short name for weights: the size and the first megabyte of the file, or of all large files of a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.stat().st_size}:".encode())
        with file.open("rb") as content:
            digest.update(content.read(_NAMED_BYTES))
    return digest.hexdigest()[:8]


def pick_device(device: str | None) -> str:
    """The device that judges run on."""
    from inkwash.core.device import pick_device as pick

    return str(pick(device))


class ClipScorer:
    """CLIP ViT-L/14 with OpenAI's own package: text cut at 77 tokens, fp16 on a GPU as the official scorers have it."""

    def __init__(self, weights: Path, device: str | None = None) -> None:
        self.device = pick_device(device)
        self.clip = library("clip", "CLIP")
        self.model, self.prepare = self.clip.load(str(weights), device=self.device)
        self.model.eval()
        self.name = f"clip-vit-l-14[{fingerprint(weights)}]"

    def cosine(self, image: Image.Image, text: str) -> float:
        """Cosine of a picture and a text."""
        import torch

        with torch.no_grad():
            image_features = self.model.encode_image(self.prepare(image.convert("RGB"))[None].to(self.device))
            text_features = self.model.encode_text(self.clip.tokenize([text], truncate=True).to(self.device))
        return float(torch.nn.functional.cosine_similarity(image_features.float(), text_features.float())[0])


class Llm2Clip:
    """LLM2CLIP as OneIG's reasoning score loads it: bf16, the text through Llama and llm2vec, 336-pixel pictures."""

    VISION = "LLM2CLIP-Openai-L-14-336"
    LANGUAGE = "LLM2CLIP-Llama-3-8B-Instruct-CC-Finetuned"
    PICTURES = "clip-vit-large-patch14-336"
    _BASE = "meta-llama/Meta-Llama-3-8B-Instruct"  # llm2vec looks at the name to choose a chat format

    def __init__(self, folder: Path, device: str | None = None) -> None:
        import torch

        for part in (self.VISION, self.LANGUAGE, self.PICTURES):
            if not (folder / part).is_dir():
                raise ConfigError(f"the judge LLM2CLIP needs the folder {folder / part}; fetch it from its hub.")
        self.device = pick_device(device)
        hub, pooled = library("transformers", "LLM2CLIP"), library("llm2vec", "LLM2CLIP")
        options = {"torch_dtype": torch.bfloat16, "trust_remote_code": True}
        self.prepare = hub.CLIPImageProcessor.from_pretrained(str(folder / self.PICTURES))
        self.vision = hub.AutoModel.from_pretrained(str(folder / self.VISION), **options).to(self.device).eval()
        language = hub.AutoModel.from_pretrained(str(folder / self.LANGUAGE), **options)
        language.config._name_or_path = self._BASE
        tokenizer = hub.AutoTokenizer.from_pretrained(str(folder / self.LANGUAGE))
        self.texts = pooled.LLM2Vec(language, tokenizer, pooling_mode="mean", max_length=512, doc_max_length=512)
        self.name = f"llm2clip-l-14-336[{fingerprint(folder / self.VISION)}]"

    def cosine(self, image: Image.Image, text: str) -> float:
        """Cosine of a picture and a text."""
        import torch

        with torch.no_grad():
            pixels = self.prepare(images=image.convert("RGB"), return_tensors="pt").pixel_values
            image_features = self.vision.get_image_features(pixels.to(self.device, torch.bfloat16))
            encoded = self.texts.encode([text], convert_to_tensor=True).to(self.device, torch.bfloat16)
            text_features = self.vision.get_text_features(encoded)
        return float(torch.nn.functional.cosine_similarity(image_features.float(), text_features.float())[0])


class StyleJudge:
    """OneIG's style: CSD and the benchmark's own encoder, against its reference embeddings."""

    def __init__(self, csd: Path, clip: Path, encoder: Path, references: Path, device: str | None = None) -> None:
        import torch

        self.device = pick_device(device)
        self.csd = _Csd(csd, clip, self.device)
        hub = library("transformers", "OneIG-StyleEncoder")
        model = hub.CLIPVisionModelWithProjection.from_pretrained(str(encoder), torch_dtype=torch.bfloat16)
        self.encoder, self.prepare = model.to(self.device).eval(), hub.CLIPImageProcessor()
        self.references = [_embeddings(references / name) for name in ("CSD_embed.pt", "SE_embed.pt")]
        self.name = f"csd+oneig-style[{fingerprint(csd)},{fingerprint(encoder)}]"

    def cosines(self, image: Image.Image, style: str) -> tuple[list[float], list[float]]:
        """Cosines to every reference picture of the style, under both encoders."""
        import torch

        picture = image.convert("RGB")
        with torch.no_grad():
            pixels = self.prepare(images=picture, return_tensors="pt").pixel_values
            embeds = self.encoder(pixels.to(self.device, torch.bfloat16)).image_embeds
        embeddings = [self.csd.embed(picture), torch.nn.functional.normalize(embeds, dim=-1)[0]]
        found = []
        for embedding, known in zip(embeddings, self.references, strict=True):
            if style not in known:
                raise ConfigError(f"OneIG's reference embeddings have no style {style!r}; fetch the official files.")
            found.append((known[style].float().cpu() @ embedding.float().cpu()).tolist())
        return found[0], found[1]


class _Csd:
    """Contrastive style descriptors: CLIP ViT-L/14's picture tower with another projection."""

    def __init__(self, weights: Path, clip: Path, device: str) -> None:
        import torch

        loaded, self.prepare = library("clip", "CSD").load(str(clip), device=device)
        self.tower, self.device = loaded.visual.float().eval(), device
        self.tower.proj = None
        state = torch.load(weights, map_location="cpu", weights_only=False)["model_state_dict"]
        state = {name.removeprefix("module."): value for name, value in state.items()}
        tower = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
        self.tower.load_state_dict(tower)
        self.projection = state["last_layer_style"].to(device).float()

    def embed(self, image: Image.Image) -> Any:
        """The unit vector of a picture's style."""
        import torch

        with torch.no_grad():
            features = self.tower(self.prepare(image)[None].to(self.device))
        return torch.nn.functional.normalize(features @ self.projection, dim=-1)[0]


def _embeddings(path: Path) -> Any:
    import torch

    if not path.is_file():
        raise ConfigError(f"{path} is missing; it is part of OneIG-Bench's repository.")
    return torch.load(path, map_location="cpu", weights_only=False)


class DreamSim:
    """The DreamSim ensemble: how different two pictures look."""

    def __init__(self, weights: Path, device: str | None = None) -> None:
        self.device = pick_device(device)
        load = library("dreamsim", "DreamSim").dreamsim
        self.model, self.prepare = load(pretrained=True, device=self.device, cache_dir=str(weights))
        self.name = f"dreamsim-ensemble[{fingerprint(weights)}]"

    def distance(self, a: Image.Image, b: Image.Image) -> float:
        """Perceptual distance, 0 for equal pictures."""
        import torch

        with torch.no_grad():
            first, second = (self.prepare(image.convert("RGB")).to(self.device) for image in (a, b))
            return float(self.model(first, second))


class Mplug:
    """DPG-Bench's official judge: mPLUG-large, tuned for questions about pictures, through modelscope."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        pipelines = library("modelscope.pipelines", "mPLUG")
        device = pick_device(device)
        self.pipe = pipelines.pipeline("visual-question-answering", model=str(folder), device=device)
        self.name = f"mplug-vqa-large[{fingerprint(folder)}]"

    def answer(self, image: Image.Image, question: str) -> str:
        """The model's answer as it stands; the benchmark counts exactly `yes`."""
        return str(self.pipe({"image": image.convert("RGB"), "question": question})["text"])
