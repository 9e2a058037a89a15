"""The AR generator that starts from a language model computes what the language model computes on text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Glm4Config, Glm4ForCausalLM

from inkwash.core.errors import WeightsError
from inkwash.models.glm.decoder import RopeParameters
from inkwash.models.glm_image.ar import ARGenerator
from inkwash.models.glm_image.config import ARConfig, ARTextConfig, VisionConfig, VQConfig
from inkwash.train.embedding import freeze_text, join_state
from inkwash.train.glm4 import load_glm4

VISUAL, TEXT = 40, 60


def generator(vocab: int = VISUAL + TEXT, layers: int = 2) -> ARGenerator:
    text = ARTextConfig(
        vocab_size=vocab,
        vision_vocab_size=VISUAL,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rope_parameters=RopeParameters(partial_rotary_factor=0.5, mrope_section=(1, 2, 1)),
    )
    vision = VisionConfig(depth=1, hidden_size=16, num_heads=2, intermediate_size=16, image_size=32, patch_size=16)
    quantizer = VQConfig(embed_dim=8, num_embeddings=32, latent_channels=16)
    return ARGenerator(
        ARConfig(
            text_config=text,
            vision_config=vision,
            vq_config=quantizer,
            image_token_id=79,
            image_start_token_id=32,
            image_end_token_id=33,
        )
    )


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> tuple[Glm4ForCausalLM, Path]:
    torch.manual_seed(0)
    config = Glm4Config(
        vocab_size=TEXT,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rms_norm_eps=1e-5,
        attention_bias=True,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    )
    model = Glm4ForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("glm4")
    model.save_pretrained(folder)
    return model, folder


@torch.no_grad()
def test_text_means_what_it_meant_to_the_language_model(language: tuple[Glm4ForCausalLM, Path]) -> None:
    reference, folder = language
    model = generator()
    load_glm4(model, folder)
    ids = torch.randint(TEXT, (2, 12), generator=torch.Generator().manual_seed(1))
    positions = torch.arange(12).expand(3, 2, 12)
    ours = model.eval()(ids + VISUAL, positions)
    theirs = reference.model(ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)
    assert model.lm_head.weight.shape == (VISUAL, 32)
    assert 0.01 < float(model.model.language_model.embed_tokens.weight[:VISUAL].std()) < 0.03, "new visual rows"


def test_frozen_text_rows_stay_and_visual_rows_learn(language: tuple[Glm4ForCausalLM, Path]) -> None:
    model = generator()
    load_glm4(model, language[1])
    before = model.model.language_model.embed_tokens.weight.detach().clone()
    ids = torch.tensor([[VISUAL + 3, 5, VISUAL + 59, 39]])
    positions = torch.arange(4).expand(3, 1, 4)
    whole = model(ids, positions).detach()
    freeze_text(model)
    torch.testing.assert_close(model(ids, positions), whole)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(ids, positions).square().sum().backward()
    optimizer.step()
    after = join_state(model.state_dict())["model.language_model.embed_tokens.weight"]
    assert torch.equal(after[VISUAL:], before[VISUAL:])
    assert not torch.equal(after[5], before[5])


@pytest.mark.parametrize(
    ("sizes", "word"),
    [({"vocab": 80}, "raise vocab_size to 100"), ({"layers": 1}, "num_hidden_layers is 2 there")],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    language: tuple[Glm4ForCausalLM, Path], sizes: dict[str, int], word: str
) -> None:
    with pytest.raises(WeightsError, match=word):
        load_glm4(generator(**sizes), language[1])


def test_another_kind_of_checkpoint_is_refused(language: tuple[Glm4ForCausalLM, Path], tmp_path: Path) -> None:
    text = (language[1] / "config.json").read_text().replace('"glm4"', '"llama"')
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match="'llama' checkpoint"):
        load_glm4(generator(), tmp_path)
