#!/usr/bin/env python3
"""Writes the seeds of gguf_fuzz: whole tiny models as GGUF files, with each kind of tokenizer."""
import struct
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus/gguf"
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
F32_TENSOR, Q8_0, Q4_K = 0, 8, 12


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def value(kind, content):
    if kind == STRING:
        return text(content)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], content)


def array(kind, contents):
    return struct.pack("<IQ", kind, len(contents)) + b"".join(value(kind, content) for content in contents)


def write(name, architecture, tokens, width=32):
    keys = [("general.architecture", STRING, value(STRING, architecture))]
    for key, number in (("block_count", 1), ("context_length", 16), ("embedding_length", width), ("feed_forward_length", 32),
                        ("attention.head_count", 2), ("attention.head_count_kv", 1)):
        keys.append((f"{architecture}.{key}", U32, value(U32, number)))
    keys.append((f"{architecture}.attention.layer_norm_rms_epsilon", F32, value(F32, 1e-5)))
    keys += tokens
    head = width // 2
    shapes = {"token_embd.weight": (width, 4), "output_norm.weight": (width,), "blk.0.attn_norm.weight": (width,),
              "blk.0.ffn_norm.weight": (width,), "blk.0.attn_q.weight": (width, width), "blk.0.attn_k.weight": (width, head),
              "blk.0.attn_v.weight": (width, head), "blk.0.attn_output.weight": (width, width),
              "blk.0.ffn_gate.weight": (width, 32), "blk.0.ffn_up.weight": (width, 32), "blk.0.ffn_down.weight": (32, width)}
    infos, data = b"", b""
    for tensor, shape in shapes.items():
        rows = shape[1] if len(shape) == 2 else 1
        kind, block, size = (F32_TENSOR, 1, 4) if len(shape) == 1 else (Q4_K, 256, 144) if shape[0] % 256 == 0 else (Q8_0, 32, 34)
        infos += text(tensor) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", extent) for extent in shape)
        infos += struct.pack("<IQ", kind, len(data))
        data += bytes(shape[0] // block * size * rows)
        data += bytes(-len(data) % 32)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    header += b"".join(text(key) + struct.pack("<I", kind) + content for key, kind, content in keys) + infos
    (CORPUS / name).write_bytes(header + bytes(-len(header) % 32) + data)


def tokens_of(model, tokens, types, scores=None, merges=None, pre=None):
    keys = [("tokenizer.ggml.model", STRING, value(STRING, model)),
            ("tokenizer.ggml.tokens", ARRAY, array(STRING, tokens)),
            ("tokenizer.ggml.token_type", ARRAY, array(I32, types)),
            ("tokenizer.ggml.bos_token_id", U32, value(U32, 1)),
            ("tokenizer.ggml.add_bos_token", BOOL, value(BOOL, True)),
            ("tokenizer.chat_template", STRING, value(STRING, "{{ messages[0].content }}"))]
    if scores is not None:
        keys.append(("tokenizer.ggml.scores", ARRAY, array(F32, scores)))
    if merges is not None:
        keys.append(("tokenizer.ggml.merges", ARRAY, array(STRING, merges)))
    if pre is not None:
        keys.append(("tokenizer.ggml.pre", STRING, value(STRING, pre)))
    return keys


if __name__ == "__main__":
    CORPUS.mkdir(exist_ok=True)
    pieces = ["<unk>", "<s>", "\u2581a", "a"]
    write("llama_spm", "llama", tokens_of("llama", pieces, [2, 3, 1, 1], scores=[0, 0, -1, -2]))
    write("qwen2_bpe", "qwen3", tokens_of("gpt2", ["a", "<s>", "b", "ab"], [1, 3, 1, 1], merges=["a b"], pre="qwen2"))
    write("gemma_unigram", "gemma", tokens_of("t5", pieces, [2, 3, 1, 1], scores=[0, 0, -1, -2]))
