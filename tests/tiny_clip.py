"""A CLIP-shaped model with random weights, laid out as transformers.js repositories are.

Same inputs, outputs, preprocessing file and kind of tokenizer (byte-level BPE with CLIP's special
tokens) as the real ones; only smaller.
"""

from __future__ import annotations

import functools
import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SIZE, PATCH, WIDTH, DIM, CONTEXT = 32, 8, 16, 24, 77
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
START, END = "<|startoftext|>", "<|endoftext|>"
_SENTENCES = ["a photo of a dog on the beach", "two red cars in a street", "an old stone bridge"]


def make_clip(folder, *, has_text=True, layout="transformers"):
    """Write the model into a folder and return it."""
    rng = np.random.default_rng(7)
    names = {
        "transformers": ("onnx/vision_model.onnx", "onnx/text_model.onnx", "tokenizer.json"),
        "immich": ("visual/model.onnx", "textual/model.onnx", "textual/tokenizer.json"),
    }
    vision, text, tokenizer = (folder / name for name in names[layout])
    vision.parent.mkdir(parents=True)
    _save(_vision(rng, "image_embeds" if layout == "transformers" else "embedding"), vision)
    if has_text:
        text.parent.mkdir(parents=True, exist_ok=True)
        tokens = _tokenizer()
        tokens.save(str(tokenizer))
        _write(tokenizer.with_name("tokenizer_config.json"), {"pad_token": END})
        if layout == "transformers":
            _save(_text(rng, tokens, "text_embeds", ["input_ids", "attention_mask"]), text)
        else:
            _save(_text(rng, tokens, "embedding", ["text"], TensorProto.INT32), text)
    if layout == "transformers":
        config = {"projection_dim": DIM, "text_config": {"max_position_embeddings": CONTEXT}}
        _write(folder / "config.json", config)
        preprocess = {
            "do_center_crop": True, "crop_size": {"height": SIZE, "width": SIZE}, "resample": 3,
            "size": {"shortest_edge": SIZE}, "image_mean": MEAN, "image_std": STD,
        }  # fmt: skip
        _write(folder / "preprocessor_config.json", preprocess)
    else:
        config = {"embed_dim": DIM, "text_cfg": {"context_length": CONTEXT}}
        _write(folder / "config.json", config)
        preprocess = {
            "size": [SIZE, SIZE], "mean": MEAN, "std": STD, "interpolation": "bicubic",
            "resize_mode": "shortest",
        }  # fmt: skip
        _write(folder / "visual" / "preprocess_cfg.json", preprocess)
    return folder


def _write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


@functools.cache  # ties while training are broken at random
def _tokenizer():
    """Byte-level BPE, lower case, between CLIP's two special tokens."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(
                Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True
            ),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=[START, END], initial_alphabet=alphabet,
        end_of_word_suffix="</w>", show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    ids = [(START, tokenizer.token_to_id(START)), (END, tokenizer.token_to_id(END))]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=ids
    )
    return tokenizer


def _weight(rng, stored, name, *shape):
    values = (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)
    stored.append(numpy_helper.from_array(values, name))
    return name


def _vision(rng, output):
    """Patches by a strided convolution, a GELU, the mean, a projection."""
    stored = []
    kernel = (rng.standard_normal((WIDTH, 3, PATCH, PATCH)) / 8).astype(np.float32)
    stored.append(numpy_helper.from_array(kernel, "kernel"))
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["patches"], strides=[PATCH, PATCH]),
        helper.make_node("Relu", ["patches"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", _weight(rng, stored, "proj", WIDTH, DIM)], [output]),
    ]
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])
    # The unnormalised output has another first name, so that taking outputs by place would fail.
    nodes.append(helper.make_node("Identity", ["flat"], ["last_hidden_state"]))
    hidden = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", WIDTH])
    embeds = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", DIM])
    outputs = [hidden, embeds] if output == "image_embeds" else [embeds]
    return helper.make_graph(nodes, "vision", [pixels], outputs, stored)


def _text(rng, tokenizer, output, inputs, kind=TensorProto.INT64):
    """Embeddings plus positions, a causal running sum, taken at the first end token."""
    stored = []
    table = _weight(rng, stored, "table", tokenizer.get_vocab_size(), WIDTH)
    positions = _weight(rng, stored, "positions", CONTEXT, WIDTH)
    project = _weight(rng, stored, "project", WIDTH, DIM)
    for name, value in {"axis": 1, "end": tokenizer.token_to_id(END)}.items():
        array = np.array(
            value, np.int32 if name == "end" and kind == TensorProto.INT32 else np.int64
        )
        stored.append(numpy_helper.from_array(array, name))
    nodes = [
        helper.make_node("Gather", [table, inputs[0]], ["words"]),
        helper.make_node("Add", ["words", positions], ["placed"]),
        helper.make_node("CumSum", ["placed", "axis"], ["running"]),
        helper.make_node("Tanh", ["running"], ["bounded"]),
        helper.make_node("Equal", [inputs[0], "end"], ["ends"]),
        helper.make_node("Cast", ["ends"], ["ends_i"], to=TensorProto.INT32),
        helper.make_node("ArgMax", ["ends_i"], ["at"], axis=1, keepdims=1),
        helper.make_node("GatherND", ["bounded", "at"], ["pooled"], batch_dims=1),
        helper.make_node("MatMul", ["pooled", project], [output]),
    ]
    shape = ["n", CONTEXT]
    values = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
    embeds = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", DIM])
    return helper.make_graph(nodes, "text", values, [embeds], stored)


def _save(graph, path):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
