#!/usr/bin/env python3
"""Writes the seeds of model_folder_fuzz into tests/fuzz/corpus/model_folder: tiny models with every kind of file that convert reads.

usage: make_folder_seeds.py   The tokenizers are those of corpus/tokenizer.
"""
import json
import math
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
SEPARATOR = b"\n%%\n"


def tokenizer_file(name):
    return (CORPUS / "tokenizer" / name).read_bytes()[1:].split(SEPARATOR)[0]


def safetensors(tensors):
    header, data = {}, b""
    for name, shape in tensors.items():
        count = math.prod(shape)
        values = struct.pack(f"<{count}f", *((at % 7 - 3) / 8 for at in range(count)))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def archive(name, files, links=()):
    out = b""
    for file, content in files.items():
        content = json.dumps(content).encode() if isinstance(content, (dict, list)) else content
        kind = b"link" if file in links else b"file"
        out += b"%s %s %d\n%s\n" % (kind, file.encode(), len(content), content)
    (CORPUS / "model_folder" / name).write_bytes(out)


def llama(vocabulary, **more):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8, "intermediate_size": 12,
              "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1, "vocab_size": vocabulary,
              "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32", **more}
    layer = "model.layers.0."
    tensors = {"model.embed_tokens.weight": (vocabulary, 8), "model.norm.weight": (8,), "lm_head.weight": (vocabulary, 8),
               layer + "input_layernorm.weight": (8,), layer + "post_attention_layernorm.weight": (8,),
               layer + "self_attn.q_proj.weight": (8, 8), layer + "self_attn.k_proj.weight": (4, 8),
               layer + "self_attn.v_proj.weight": (4, 8), layer + "self_attn.o_proj.weight": (8, 8),
               layer + "mlp.gate_proj.weight": (12, 8), layer + "mlp.up_proj.weight": (12, 8),
               layer + "mlp.down_proj.weight": (8, 12)}
    return config, tensors


(CORPUS / "model_folder").mkdir(exist_ok=True)
config, tensors = llama(300, rope_scaling={"type": "linear", "factor": 2.0})
archive("one_file", {"config.json": config, "model.safetensors": safetensors(tensors),
                     "tokenizer.json": tokenizer_file("metaspace"),
                     "tokenizer_config.json": {"add_bos_token": True, "bos_token": "<s>", "chat_template": "{{ messages }}"},
                     "generation_config.json": {"eos_token_id": [2, 3], "temperature": 0.6, "top_p": 0.9},
                     "chat_template.jinja": b"{% for m in messages %}{{ m.content }}{% endfor %}"})
first = dict(list(tensors.items())[:6])
second = dict(list(tensors.items())[6:])
files = {"model-00001-of-00002.safetensors": first, "model-00002-of-00002.safetensors": second}
index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, part in files.items() for name in part}}
archive("sharded", {"config.json": config, "model.safetensors.index.json": index,
                    **{file: safetensors(part) for file, part in files.items()},
                    "tokenizer.model": tokenizer_file("sentencepiece_unigram"), "added_tokens.json": {"<|end|>": 299},
                    "tokenizer_config.json": {"add_eos_token": True, "legacy": False,
                                              "added_tokens_decoder": {"298": {"content": "<|x|>", "special": True}}},
                    "special_tokens_map.json": {"bos_token": {"content": "<s>"}}})
config, tensors = llama(300, tie_word_embeddings=True)
vocabulary = {letter: at for at, letter in enumerate(["<s>", "a", "b", "ab"])}
archive("tied_with_adapter", {"config.json": config, "model.safetensors": safetensors(tensors), "vocab.json": vocabulary,
                              "merges.txt": b"#version: 0.2\na b\n", "adapter_config.json": {"peft_type": "LORA"},
                              "adapter_model.safetensors": safetensors({"a": (1,)}), "weights.safetensors": b"config.json"},
        links=("weights.safetensors",))
# Found by mutations.
archive("merges_of_no_utf8", {"config.json": config, "model.safetensors": safetensors(tensors), "vocab.json": vocabulary,
                              "merges.txt": b"a \xb4\n"})
