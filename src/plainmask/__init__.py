"""plainmask: one frozen vision encoder, many small segmentation heads.

    import plainmask
    result = plainmask.load("street-semantic")("photo.jpg")
    result.save("out")

Names are resolved when they are first used, so that importing costs little and `--help`, results
and metrics come without torch.
"""

from typing import TYPE_CHECKING

from plainmask.public import resolver

if TYPE_CHECKING:
    from plainmask.calls import evaluate, segment, train
    from plainmask.decoder.decoder import Predictions
    from plainmask.decoder.propagation import State
    from plainmask.encoder.vit import Encoder
    from plainmask.encoder.weights import load_encoder
    from plainmask.errors import HeadError, InputError, PlainmaskError, WeightsError
    from plainmask.heads.head import Head
    from plainmask.inference.follow import follow
    from plainmask.inference.loading import load, load_official
    from plainmask.inference.segmenter import HeadSegmenter, HeadStream, Segmenter
    from plainmask.inference.stream import Stream
    from plainmask.label.fit import fit
    from plainmask.results import InstanceResult, PanopticResult, Segment, SemanticResult
    from plainmask.vocabulary import Vocabulary

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "Head",
    "HeadError",
    "HeadSegmenter",
    "HeadStream",
    "InputError",
    "InstanceResult",
    "PanopticResult",
    "PlainmaskError",
    "Predictions",
    "Segment",
    "Segmenter",
    "SemanticResult",
    "State",
    "Stream",
    "Vocabulary",
    "WeightsError",
    "evaluate",
    "fit",
    "follow",
    "load",
    "load_encoder",
    "load_official",
    "segment",
    "train",
]

__getattr__ = resolver(
    __name__,
    {
        "Encoder": "encoder.vit",
        "Head": "heads.head",
        "HeadError": "errors",
        "HeadSegmenter": "inference.segmenter",
        "HeadStream": "inference.segmenter",
        "InputError": "errors",
        "InstanceResult": "results",
        "PanopticResult": "results",
        "PlainmaskError": "errors",
        "Predictions": "decoder.decoder",
        "Segment": "results",
        "Segmenter": "inference.segmenter",
        "SemanticResult": "results",
        "State": "decoder.propagation",
        "Stream": "inference.stream",
        "Vocabulary": "vocabulary",
        "WeightsError": "errors",
        "evaluate": "calls",
        "fit": "label.fit",
        "follow": "inference.follow",
        "load": "inference.loading",
        "load_encoder": "encoder.weights",
        "load_official": "inference.loading",
        "segment": "calls",
        "train": "calls",
    },
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
