"""How much a model computes: multiply-accumulates per second of audio, counted from its shape.

Decision: each model has one count, whatever the scheme. It covers the products in convolutions, Linear layers and attention
on 5 s of audio (attention grows with the square of the length, so the length has to be fixed). Norms, activations and softmax
are not counted, because they need few products. What a runtime saves or adds is not counted either: int8 computes the same
number of products, each at a lower cost.
"""

from pipeline.models.forward import frame_counts
from pipeline.speech.audio import SAMPLE_RATE

SECONDS = 5.0


def macs_per_second(config: dict) -> float:
    """Multiply-accumulates per second of a model with this config.json, of any family, on SECONDS of audio."""
    return sum(macs(config, round(SECONDS * SAMPLE_RATE)).values()) / SECONDS


def macs(config: dict, samples: int) -> dict[str, float]:
    """Multiply-accumulates for so many samples of each part of a model with this config.json, of any family.

    A convolution [frames, in] -> [frames', out] with kernel k has frames' x out x in x k, a Linear frames x in x out, and
    attention 2 x frames x frames x hidden per layer, for the scores and for the weighted sums.
    """
    channels, convolutions = 1, []
    counts = frame_counts(config["conv_kernel"], config["conv_stride"], samples)
    for frames, out, kernel in zip(counts, config["conv_dim"], config["conv_kernel"], strict=True):
        convolutions.append(frames * out * channels * kernel)
        channels = out
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    positional, kernel = 1, config["num_conv_pos_embeddings"]
    if config["model_type"] == "data2vec-audio":
        positional, kernel = kernel, config["conv_pos_kernel_size"]
    positions = frames + 1 - kernel % 2  # an even kernel gives one extra frame, which is dropped
    group = hidden // config["num_conv_pos_embedding_groups"]
    layer = 4 * hidden * hidden + 2 * hidden * config["intermediate_size"]
    if config["model_type"] == "wavlm":
        layer += 8 * hidden  # the gate on the position bias: a Linear with 8 outputs per head
    if adapter := config.get("adapter_attn_dim"):
        layer += 2 * hidden * adapter
    return {
        "first convolution": convolutions[0],
        "convolutions": sum(convolutions[1:]),
        "positional convolutions": positional * positions * hidden * group * kernel,
        "linears": frames * (channels * hidden + layers * layer + hidden * config["vocab_size"]),
        "attention": layers * 2 * frames * frames * hidden,
    }
