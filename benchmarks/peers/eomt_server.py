"""The server that people would write for several EoMT models: LitServe, one `LitAPI` a model.

    python benchmarks/peers/eomt_server.py [--models 4] [--size small] [--port 9000]

Networks with random weights in bfloat16 where the CPU has it, at 640 pixels, batches of up to 4
within 10 ms; panoptic post-processing by transformers' own processor, masks as COCO's RLE. Model N
answers at /N: `{"image": "<base64>"}`. Needs litserve and transformers.
"""

import argparse
import base64
import io
from types import SimpleNamespace
from typing import Any

import litserve  # pyright: ignore[reportMissingImports]
import numpy as np
import torch
from eomt import QUERIES, SIDE, VOCABULARY
from PIL import Image
from pycocotools import mask as coco
from torch import Tensor

from plainmask.decoder.decoder import DecoderConfig
from plainmask.encoder.presets import find_preset
from plainmask.encoder.vit import Encoder
from plainmask.inference.eomt import eomt_model
from plainmask.inference.shared_pass import SharedPass, pick_dtype


class Model(litserve.LitAPI):  # pyright: ignore[reportUntypedBaseClass]
    """One EoMT of the encoder's size."""

    size = "small"

    def setup(self, device: str) -> None:
        from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil

        torch.manual_seed(0)
        encoder = Encoder(find_preset(f"dinov3-{self.size}").config)
        config = DecoderConfig(
            width=encoder.config.width,
            heads=encoder.config.heads,
            num_queries=QUERIES,
            num_classes=len(VOCABULARY),
            num_blocks=4,
            ffn_hidden=encoder.config.width,
            upscale_stages=2,
        )
        cpu = torch.device("cpu")
        shared = SharedPass.of(encoder, cpu, pick_dtype("auto", cpu))
        self.dtype = shared.dtype
        _, self.model = eomt_model(shared, config, SIDE)
        self.processor: Any = EomtImageProcessorPil()

    def decode_request(self, request: dict[str, str]) -> tuple[Tensor, tuple[int, int]]:
        with Image.open(io.BytesIO(base64.b64decode(request["image"]))) as file:
            picture = file.convert("RGB")
        pixels = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)
        width, height = picture.size
        return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1, (height, width)

    def batch(self, inputs: list[Any]) -> tuple[Tensor, list[tuple[int, int]]]:
        return torch.stack([pixels for pixels, _ in inputs]), [size for _, size in inputs]

    def predict(self, x: tuple[Tensor, list[tuple[int, int]]]) -> list[Any]:
        with torch.inference_mode():
            found = self.model(pixel_values=x[0].to(self.dtype))
            outputs = SimpleNamespace(
                masks_queries_logits=found.masks_queries_logits.float(),
                class_queries_logits=found.class_queries_logits.float(),
                patch_offsets=None,
            )
            return self.processor.post_process_panoptic_segmentation(outputs, target_sizes=x[1])

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        ids = np.asarray(output["segmentation"])
        for segment in output["segments_info"]:
            rle: Any = coco.encode(np.asfortranarray(ids == segment["id"], np.uint8))
            segment["counts"] = rle["counts"].decode("ascii")
        return {"segments": output["segments_info"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--size", default="small")
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    Model.size = options.size
    models: list[litserve.LitAPI] = [
        Model(max_batch_size=4, batch_timeout=0.01, api_path=f"/{number}")
        for number in range(options.models)
    ]
    server = litserve.LitServer(models, accelerator="cpu", timeout=600)
    server.run(host="127.0.0.1", port=options.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
