"""How much a model computes: multiply-accumulates per second of audio, counted from its shape.

Decision: each model has one count, whatever the scheme. It covers the products in convolutions, Linear layers and attention
on 5 s of audio (attention grows with the square of the length, so the length has to be fixed). Norms, activations and softmax
are not counted, because they need few products. What a runtime saves or adds is not counted either: int8 computes the same
number of products, each at a lower cost.
"""

SECONDS, RATE = 5.0, 16_000


def macs_per_second(config: dict) -> float:
    """Multiply-accumulates per second of a model with this config.json, of any family, on SECONDS of audio.

    A convolution [frames, in] -> [frames', out] with kernel k has frames' x out x in x k, a Linear frames x in x out, and
    attention 2 x frames x frames x hidden per layer, for the scores and for the weighted sums.
    """
    frames, channels, total = round(SECONDS * RATE), 1, 0
    for out, kernel, stride in zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"], strict=True):
        frames = (frames - kernel) // stride + 1
        total += frames * out * channels * kernel
        channels = out
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    convolutions, kernel = 1, config["num_conv_pos_embeddings"]
    if config["model_type"] == "data2vec-audio":
        convolutions, kernel = kernel, config["conv_pos_kernel_size"]
    positions = frames + 1 - kernel % 2  # an even kernel gives one extra frame, which is dropped
    group = hidden // config["num_conv_pos_embedding_groups"]
    total += frames * channels * hidden + convolutions * positions * hidden * group * kernel
    layer = 4 * hidden * hidden + 2 * frames * hidden + 2 * hidden * config["intermediate_size"]
    if config["model_type"] == "wavlm":
        layer += 8 * hidden  # the gate on the position bias: a Linear with 8 outputs per head
    if adapter := config.get("adapter_attn_dim"):
        layer += 2 * hidden * adapter
    total += layers * frames * layer + frames * hidden * config["vocab_size"]
    return total / SECONDS
