"""A decoder as an exported graph: taps, and in a video queries, in; predictions out.

Letters: B batch, Q queries, C classes without "no object", D width, T taps, h w patch grid,
R prefix tokens, N = R + h*w tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from plainmask.decoder.decoder import Choice, DecoderConfig, PlainMaskDecoder, Predictions
from plainmask.decoder.propagation import State
from plainmask.encoder.exported import tap_names
from plainmask.encoder.vit import Features
from plainmask.graphs.graph import Graph

QUERIES = "queries"
"""Input of heads that propagate: (B, Q, D), those that the frame starts from."""
OUTPUTS = ("mask_logits", "class_logits", "first_queries")
"""Of every head: see `Predictions`; and (B, Q, D), the queries that every video starts from."""
NEXT = "next_queries"
"""Output of heads that propagate: (B, Q, D), those that the next frame starts from."""


class ExportedDecoder(nn.Module):
    """What inference needs of a `PlainMaskDecoder`, computed by another runtime on the CPU."""

    queries: Tensor

    def __init__(self, graph: Graph, config: DecoderConfig, taps: Sequence[int], prefix: int):
        super().__init__()
        self.graph, self.config = graph, config
        self.names = tap_names(taps)
        self.num_taps = len(taps)
        # The learnt queries are known to the graph alone; the smallest picture makes it tell.
        tokens = torch.zeros(1, prefix + 1, self.num_taps * config.width)
        start = torch.zeros(1, config.num_queries, config.width)
        found = self._run(tokens, (1, 1), start)
        self.register_buffer("queries", found["first_queries"][0], persistent=False)
        self.eval()

    @torch.no_grad()
    def forward(self, features: Features, *, choose: Choice | None = None) -> Predictions:
        """As `PlainMaskDecoder.forward`, but with all queries: `choose` would save no work here."""
        queries = self.first_queries(features.taps[0].shape[0])
        found = self._run(self.fuse(features), features.grid, queries)
        return Predictions(found["mask_logits"], found["class_logits"])

    def fuse(self, features: Features) -> Tensor:
        """All taps side by side, (B, N, T*D) float32: laterals are part of the graph."""
        return torch.cat(features.taps, dim=-1).float()

    @torch.no_grad()
    def step(
        self, fused: Tensor, grid: tuple[int, int], state: State | None = None
    ) -> tuple[Predictions, State]:
        """As `PlainMaskDecoder.step`, of what `fuse` gave."""
        first = self.first_queries(fused.shape[0])
        state = state or State.start(first, self.config.num_classes)
        found = self._run(fused, grid, state.queries)
        predictions = Predictions(found["mask_logits"], found["class_logits"])
        return predictions, state.after(found.get(NEXT, first), predictions.class_logits)

    def first_queries(self, batch: int) -> Tensor:
        """The learnt queries, with which every video starts: (B, Q, D)."""
        return self.queries.expand(batch, -1, -1)

    def _run(self, fused: Tensor, grid: tuple[int, int], queries: Tensor) -> dict[str, Tensor]:
        prefix = fused.shape[1] - grid[0] * grid[1]
        inputs: dict[str, Tensor] = {}
        names = zip(self.names[::2], self.names[1::2], strict=True)
        for (patches, before), tap in zip(names, fused.chunk(self.num_taps, dim=-1), strict=True):
            inputs[before], rest = tap[:, :prefix], tap[:, prefix:]
            inputs[patches] = rest.unflatten(1, grid)
        if QUERIES in self.graph.inputs:
            inputs[QUERIES] = queries.float()
        found = self.graph({name: value.contiguous().numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in found.items()}


AnyDecoder: TypeAlias = PlainMaskDecoder | ExportedDecoder
"""A decoder, whoever computes it."""
