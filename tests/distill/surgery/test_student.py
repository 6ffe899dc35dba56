"""Surgery keeps what it says it keeps: a student that drops nothing is its parent, and every tensor's origin is named."""

import copy

import pytest
import torch
from transformers import AutoModelForCTC, Wav2Vec2Config, Wav2Vec2ForCTC

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import importance, student
from pipeline.params import Student

WAVEFORM = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
AUDIO = [torch.randn(1, 4000 + 800 * i, generator=torch.Generator().manual_seed(i)) for i in range(4)]


def parent(norm: str = "group") -> Wav2Vec2ForCTC:
    torch.manual_seed(0)
    return Wav2Vec2ForCTC(
        Wav2Vec2Config(
            hidden_size=48, num_hidden_layers=4, num_attention_heads=4, intermediate_size=96, conv_dim=[16] * 7,
            num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, vocab_size=12, do_stable_layer_norm=True,
            feat_extract_norm=norm, conv_bias=norm == "layer",
        )
    ).eval()  # fmt: skip


def settings(**changes) -> Student:
    training = {"steps": 1, "learning_rate": 1e-3}
    return Student.model_validate({"from": "teacher", "importance": "weights", "training": training, **changes})


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_student_that_drops_nothing_is_its_parent(norm):
    model = parent(norm)
    same, rows = student.build(model, settings())
    assert torch.equal(same.eval()(WAVEFORM).logits, model(WAVEFORM).logits)
    assert all(row["how"] == "whole" for row in rows)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_channels_nobody_uses_can_go_without_a_trace(norm):
    """With half of the feed-forward units, heads and conv channels silent, the slimmer student computes the same."""
    model = parent(norm)
    weights = model.state_dict()
    for i in range(4):
        layer = student.LAYER.format(i)
        weights[f"{layer}feed_forward.output_dense.weight"][:, ::2] = 0
        weights[f"{layer}attention.out_proj.weight"][:, 12:36] = 0  # heads 1 and 2
        weights[f"{layer}attention.v_proj.weight"][12:36] = 0
    for i in range(7):
        prefix = "wav2vec2.feature_extractor.conv_layers."
        if i < 6:
            weights[f"{prefix}{i + 1}.conv.weight"][:, 1::2] = 0
    # The last convolution's channels meet in a layer norm, which no channel leaves without a trace: they all stay.
    slim, rows = student.build(model, settings(feed_forward=48))
    assert torch.allclose(slim.eval()(WAVEFORM).logits, model(WAVEFORM).logits, atol=1e-5)
    narrow = settings(feed_forward=48, heads=2, hidden=24)
    choice = student._choose(model, student._config(model.config, narrow), narrow, [])
    assert choice.units[0].tolist() == list(range(1, 96, 2))
    assert {int(i) // 12 for i in choice.value[0]} == {0, 3}
    matters = importance.of_weights(model, [0, 1, 2, 3])
    assert student._best(matters.conv[2], 8).tolist() == list(range(0, 16, 2))


def test_the_positional_convolution_is_cut_group_by_group():
    """Kept outputs of the cut convolution equal the parent's when the channels that went were silent."""
    model = parent()
    smaller, _ = student.build(model, settings(hidden=24, heads=2))
    kept = student._best(importance.of_weights(model, [0, 1, 2, 3]).stream, 24, 4)
    audible = torch.zeros(1, 48, 20)
    audible[:, kept] = torch.randn(1, 24, 20, generator=torch.Generator().manual_seed(2))
    whole = model.wav2vec2.encoder.pos_conv_embed.conv(audible)[:, kept]
    cut = smaller.wav2vec2.encoder.pos_conv_embed.conv(audible[:, kept])
    assert torch.allclose(whole, cut, atol=1e-5)


def test_a_student_in_all_dimensions_loads_as_any_wav2vec2(tmp_path):
    small, rows = student.build(parent(), settings(layers=2, hidden=24, heads=2, feed_forward=48, conv_channels=8))
    small.save_pretrained(tmp_path)
    again = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert torch.equal(again(WAVEFORM).logits, small.eval()(WAVEFORM).logits)
    assert sum(p.numel() for p in small.parameters()) < 0.2 * sum(p.numel() for p in parent().parameters())
    assert [row["to"] for row in rows if row["how"] == "fresh"] == []


def test_what_is_not_initialized_is_listed():
    _, rows = student.build(parent(), settings(hidden=18, heads=2))  # 18 channels can't be shared out over 4 groups
    fresh = [row["to"] for row in rows if row["from"] is None]
    assert fresh == [student.GAIN, student.DIRECTION]


def test_the_parent_is_left_as_it_was():
    model = parent()
    before = copy.deepcopy(model.state_dict())
    student.build(model, settings(layers=2, hidden=24, heads=2))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("wanted", "choose", "kept"),
    [(4, "even", [0, 4, 7, 11]), (1, "even", [6]), (3, "first", [0, 1, 2]), (2, "last", [10, 11]),
     ([1, 5], "even", [1, 5]), (None, "even", list(range(12)))],
)  # fmt: skip
def test_layers_are_chosen_as_asked(wanted, choose, kept):
    assert student.kept_layers(12, settings(layers=wanted, choose=choose)) == kept


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"hidden": 96}, "hidden 96 > 48"), ({"layers": 9}, "has 4"), ({"layers": [3, 1]}, "rising"),
     ({"heads": 2}, "hidden / heads"), ({"hidden": 22, "heads": 4}, "not a multiple"),
     ({"config": {"hiden_dropout": 0.1}}, "hiden_dropout")],
)  # fmt: skip
def test_impossible_students_are_refused_by_name(changes, named):
    with pytest.raises(BigfootError, match=named):
        student.build(parent(), settings(**changes))


def test_a_student_may_learn_with_specaugment_where_its_parent_did_not():
    """transformers makes the mask's embedding only where SpecAugment is on: the student's is new then."""
    old = parent()
    config = copy.deepcopy(old.config)
    config.mask_time_prob = config.mask_feature_prob = 0.0
    plain = Wav2Vec2ForCTC(config)
    assert "wav2vec2.masked_spec_embed" not in plain.state_dict()
    _, rows = student.build(plain, settings(layers=2, config={"mask_time_prob": 0.1}))
    assert [row["to"] for row in rows if row["from"] is None] == ["wav2vec2.masked_spec_embed"]
