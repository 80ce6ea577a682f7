#!/usr/bin/env python3
"""Makes a Hugging Face folder with a chat template of a llama2.c file: what a user of an own chat model has.

usage: python3 chat_folder.py MODEL.bin TOKENIZER.json TEMPLATE.jinja FOLDER      (standard library only)
"""
import json
import pathlib
import shutil
import struct
import sys


def rotary_halves(rows, heads):
    """Rows of q or k: llama2.c rotates neighbours of a head, Hugging Face its halves."""
    width = len(rows) // heads
    return [rows[head * width + 2 * (row % (width // 2)) + row // (width // 2)] for head in range(heads) for row in range(width)]


def main():
    source, tokenizer, template, folder = map(pathlib.Path, sys.argv[1:])
    data = source.read_bytes()
    width, hidden, layers, heads, kv_heads, vocabulary, length = struct.unpack("7i", data[:28])
    kv_width = width // heads * kv_heads
    at = 28

    def take(rows, columns):
        nonlocal at
        taken = [data[at + 4 * columns * row:at + 4 * columns * (row + 1)] for row in range(rows)]
        at += 4 * rows * columns
        return taken

    tensors = {"model.embed_tokens.weight": ([vocabulary, width], take(vocabulary, width))}

    def take_layers(name, rows, columns, change=lambda matrix: matrix):
        for layer in range(layers):
            shape = [rows, columns] if rows > 1 else [columns]
            tensors[f"model.layers.{layer}.{name}.weight"] = (shape, change(take(rows, columns)))

    take_layers("input_layernorm", 1, width)
    take_layers("self_attn.q_proj", width, width, lambda rows: rotary_halves(rows, heads))
    take_layers("self_attn.k_proj", kv_width, width, lambda rows: rotary_halves(rows, kv_heads))
    take_layers("self_attn.v_proj", kv_width, width)
    take_layers("self_attn.o_proj", width, width)
    take_layers("post_attention_layernorm", 1, width)
    take_layers("mlp.gate_proj", hidden, width)
    take_layers("mlp.down_proj", width, hidden)
    take_layers("mlp.up_proj", hidden, width)
    tensors["model.norm.weight"] = ([width], take(1, width))

    header, content = {}, b""
    for name, (shape, rows) in tensors.items():
        begin = len(content)
        content += b"".join(rows)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(content)]}
    text = json.dumps(header).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + content)
    (folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": width, "intermediate_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary,
        "max_position_embeddings": length, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}))
    shutil.copy(tokenizer, folder / "tokenizer.json")
    shutil.copy(template, folder / "chat_template.jinja")


main()
