"""The tensors of a model, counted from its config alone, by what schemes do with them.

Decision: counted, not built: thousands of shapes are weighed against a budget, and building one takes longer than counting
them all.
"""

from dataclasses import dataclass, field
from math import prod


@dataclass
class Tensors:
    """The shapes of a model's tensors. Linears are [out, in]; convolutions [out, in of a group, kernel].

    `convolutions`: the feature encoder's. `positional`: the encoder's, their weight norm folded. `rest`: numbers in biases,
    norms and all that no scheme lowers. `training`: numbers that only a file to train from has.
    """

    linears: list[tuple[int, int]] = field(default_factory=list)
    convolutions: list[tuple[int, int, int]] = field(default_factory=list)
    positional: list[tuple[int, int, int]] = field(default_factory=list)
    head: tuple[int, int] = (0, 0)
    rest: int = 0
    training: int = 0

    def _linear(self, out: int, inputs: int, count: int = 1) -> None:
        self.linears += count * [(out, inputs)]
        self.rest += count * out

    @property
    def numbers(self) -> int:
        """All of a model folder's parameters."""
        weights = [*self.linears, self.head, *self.convolutions, *self.positional]
        return sum(map(prod, weights)) + self.rest + self.training


def tensors(config: dict) -> Tensors:
    """The tensors of a model of any family with this config.json."""
    family, hidden, vocabulary = config["model_type"], config["hidden_size"], config["vocab_size"]
    found, channels = Tensors(), 1
    for number, (out, kernel) in enumerate(zip(config["conv_dim"], config["conv_kernel"], strict=True)):
        found.convolutions.append((out, channels, kernel))
        has_norm = number == 0 or config.get("feat_extract_norm", "layer") == "layer"
        found.rest += out * (2 * has_norm + bool(config["conv_bias"]))
        channels = out
    if config.get("feat_proj_layer_norm", True):
        found.rest += 2 * channels
    found._linear(hidden, channels)
    group, kernel = hidden // config["num_conv_pos_embedding_groups"], config["num_conv_pos_embeddings"]
    if family == "data2vec-audio":
        found.positional = kernel * [(hidden, group, config["conv_pos_kernel_size"])]
    else:
        found.positional = [(hidden, group, kernel)]
        found.training += kernel  # the weight norm's gain
    found.rest += len(found.positional) * hidden + 2 * hidden  # biases; the encoder's norm
    layers, width = config["num_hidden_layers"], config["intermediate_size"]
    found._linear(hidden, hidden, 4 * layers)
    found._linear(width, hidden, layers)
    found._linear(hidden, width, layers)
    found.rest += layers * 4 * hidden
    if family == "wavlm":
        heads = config["num_attention_heads"]
        found._linear(8, hidden // heads, layers)
        found.rest += heads * (layers + config["num_buckets"])
    if adapter := config.get("adapter_attn_dim"):
        found._linear(adapter, hidden, layers)
        found._linear(hidden, adapter, layers)
        found.rest += layers * 2 * hidden
    if config.get("mask_time_prob", 0) > 0 or config.get("mask_feature_prob", 0) > 0:
        found.training += hidden
    found.head = (vocabulary, hidden)
    found.rest += vocabulary
    return found
