"""A tiny encoder and tiny heads for tests: random weights, the same in every run.

The encoder is 64 wide with one attention head, since `load_encoder` takes no other shape from a
file without being told the number of heads.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from plainmask.decoder.decoder import DecoderConfig, PlainMaskDecoder
from plainmask.decoder.propagation import Propagation
from plainmask.encoder.vit import Encoder
from plainmask.encoder.weights import load_encoder
from plainmask.heads.head import EncoderRef, Head, HeadConfig
from plainmask.pictures.geometry import InputProtocol
from plainmask.results.task import Task
from plainmask.tasks import Thresholds
from plainmask.vocabulary import Vocabulary

WIDTH, DEPTH, PATCH = 64, 4, 16


def tiny_encoder_state() -> dict[str, Tensor]:
    """A DINOv3 of 4 blocks under Hugging Face's names."""
    shapes = {
        "embeddings.cls_token": (1, 1, WIDTH),
        "embeddings.register_tokens": (1, 2, WIDTH),
        "embeddings.patch_embeddings.weight": (WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for block in range(DEPTH):
        for name, shape in {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "attention.q_proj.weight": (WIDTH, WIDTH),
            "attention.q_proj.bias": (WIDTH,),
            "attention.k_proj.weight": (WIDTH, WIDTH),
            "attention.v_proj.weight": (WIDTH, WIDTH),
            "attention.v_proj.bias": (WIDTH,),
            "attention.o_proj.weight": (WIDTH, WIDTH),
            "attention.o_proj.bias": (WIDTH,),
            "layer_scale1.lambda1": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "mlp.up_proj.weight": (2 * WIDTH, WIDTH),
            "mlp.up_proj.bias": (2 * WIDTH,),
            "mlp.down_proj.weight": (WIDTH, 2 * WIDTH),
            "mlp.down_proj.bias": (WIDTH,),
            "layer_scale2.lambda1": (WIDTH,),
        }.items():
            shapes[f"layer.{block}.{name}"] = shape
    generator = torch.Generator().manual_seed(0)
    return {key: torch.randn(shape, generator=generator) * 0.2 for key, shape in shapes.items()}


def tiny_encoder() -> Encoder:
    """The encoder itself; its name is "custom"."""
    return load_encoder(tiny_encoder_state())


def save_tiny_encoder(folder: Path) -> Path:
    """The encoder as a file, for `--encoder` and `encoder=`."""
    path = folder / "encoder.safetensors"
    save_file(tiny_encoder_state(), path)
    return path


def tiny_head(task: Task, encoder: Encoder, num_classes: int = 3) -> Head:
    """A head of one block and 6 queries on this encoder; its classes are class_0, class_1, …"""
    config = DecoderConfig(
        width=WIDTH,
        heads=1,
        num_queries=6,
        num_classes=num_classes,
        num_blocks=1,
        ffn_hidden=WIDTH,
        upscale_stages=1,
    )
    head = HeadConfig(
        name=f"tiny-{task}",
        task=task,
        vocabulary=Vocabulary.numbered(num_classes),
        decoder=config,
        encoder=EncoderRef.of(encoder),
        input=InputProtocol(kind="stride", size=48),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Head(head, PlainMaskDecoder(config).eval())


def tiny_video_head(
    task: Task, encoder: Encoder, propagation: Propagation = "gru", **updates: Any
) -> Head:
    """A head that propagates, and that is easily sure of something."""
    image = tiny_head(task, encoder)
    config = image.config.decoder.model_copy(update={"propagation": propagation})
    updates = {
        "decoder": config,
        "name": f"tiny-video-{task}",
        "thresholds": Thresholds(score=0.3, overlap=0.1, top_k=5),
        "input": InputProtocol(kind="video", size=48),
    } | updates
    with torch.random.fork_rng():
        torch.manual_seed(3)
        decoder = PlainMaskDecoder(config).eval()
    with torch.no_grad():
        decoder.predict.classify.weight.mul_(4)
        decoder.queries.mul_(3)
    return Head(image.config.model_copy(update=updates), decoder)


def save_with_encoder(head: Head, encoder: Encoder, path: Path) -> Path:
    """A head and its encoder as a folder that can be loaded by name."""
    config = head.config.model_copy(update={"own_encoder": encoder.config, "name": path.name})
    Head(config, head.decoder, encoder).save(path)
    return path
