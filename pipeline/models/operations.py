"""How much a model computes: multiply-accumulates a second of audio, counted from its shape.

Decision: one count for a model, whatever its scheme, of the products in its convolutions, its Linear layers and its attention,
on 5 s of audio (attention grows with the square of the length, so a length has to be named). What costs no products to speak
of (norms, activations, softmax) is not counted, nor what a runtime saves or adds: int8 does as many, each is cheaper.
"""

SECONDS, RATE = 5.0, 16_000


def macs_per_second(config: dict) -> float:
    """Of a Wav2Vec2ForCTC with this config.json, hearing SECONDS of audio.

    A convolution [frames, in] -> [frames', out] of kernel k has frames' x out x in x k of them, a Linear frames x in x out,
    attention 2 x frames x frames x hidden a layer: the scores, and the sums that they weigh.
    """
    frames, channels, total = round(SECONDS * RATE), 1, 0
    for out, kernel, stride in zip(config["conv_dim"], config["conv_kernel"], config["conv_stride"], strict=True):
        frames = (frames - kernel) // stride + 1
        total += frames * out * channels * kernel
        channels = out
    hidden, layers = config["hidden_size"], config["num_hidden_layers"]
    kernel, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    positions = frames + 1 - kernel % 2  # an even kernel gives a frame too many, which is dropped
    total += frames * channels * hidden + positions * hidden * (hidden // groups) * kernel
    layer = 4 * hidden * hidden + 2 * frames * hidden + 2 * hidden * config["intermediate_size"]
    total += layers * frames * layer + frames * hidden * config["vocab_size"]
    return total / SECONDS
