#!/usr/bin/env python3
"""Writes the files of this folder with the tools of each format (README.md).

python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy torch safetensors transformers gguf==0.19.0 compressed-tensors==0.20.1 bitsandbytes==0.50.2
/tmp/venv/bin/pip install --no-deps autoawq==0.2.9 auto-gptq==0.7.1
/tmp/venv/bin/python make_fixtures.py
"""
import importlib.metadata
import importlib.util
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[3] / "models"


def tool_file(distribution, path):
    """A module by its file: the packages themselves want CUDA when they are imported."""
    place = importlib.metadata.distribution(distribution).locate_file(path)
    spec = importlib.util.spec_from_file_location(Path(path).stem + "_of_" + distribution.replace("-", "_"), place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(name, config, parts, expected):
    """parts: the tensors as the format has them; expected: the tool's values, as `expected.NAME`."""
    tensors = {key: value.contiguous() for key, value in parts.items()}
    tensors.update({"expected." + key: value.float().contiguous() for key, value in expected.items()})
    save_file(tensors, HERE / f"{name}.safetensors")
    (HERE / f"{name}.json").write_text(json.dumps(config, indent=1) + "\n")


def random_weight(rows, columns, seed):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) * 0.1


def groups_of(weight, bits, size):
    """Asymmetric scales and zeros of groups along the inputs, [out, groups]."""
    grouped = weight.reshape(weight.shape[0], -1, size)
    low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    scales = ((high - low) / (2**bits - 1)).half().float()
    zeros = torch.clamp(torch.round(-low / scales), 1, 2**bits - 1)
    return scales, zeros


def gptq():
    linear_class = tool_file("auto-gptq", "auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py").QuantLinear
    ordered_class = tool_file("auto-gptq", "auto_gptq/nn_modules/qlinear/qlinear_cuda.py").QuantLinear
    for name, bits, size, ordered in (("gptq", 4, 32, False), ("gptq8", 8, 32, False), ("gptq_order", 4, 32, True)):
        weight = random_weight(32, 64, bits)
        linear = torch.nn.Linear(64, 32, bias=False)
        linear.weight.data = weight.clone()
        scales, zeros = groups_of(weight, bits, size)
        groups = torch.arange(64, dtype=torch.int32) // size
        if ordered:
            groups = groups[torch.randperm(64, generator=torch.Generator().manual_seed(1))]
        packed = (ordered_class if ordered else linear_class)(bits, size, 64, 32, False, weight_dtype=torch.float32)
        packed.pack(linear, scales.clone(), zeros.clone(), groups)
        # The tool's own values: the identity through the layer.
        values = packed(torch.eye(64)).detach().t()
        parts = {"m.qweight": packed.qweight, "m.qzeros": packed.qzeros, "m.scales": packed.scales.half()}
        if ordered:
            parts["m.g_idx"] = packed.g_idx.to(torch.int32)
        config = {"quant_method": "gptq", "bits": bits, "group_size": size, "desc_act": ordered, "sym": False}
        write(name, config, parts, {"m.weight": values})


def awq():
    utils = tool_file("autoawq", "awq/utils/packing_utils.py")
    weight = random_weight(32, 64, 9)
    scales, zeros = groups_of(weight, 4, 32)
    codes = torch.clamp(torch.round(weight / scales.repeat_interleave(32, 1)) + zeros.repeat_interleave(32, 1), 0, 15)

    def pack(lines):  # as WQLinear_GEMM.from_linear does: output order[i] of a word lies at nibble i
        words = torch.zeros(lines.shape[0], lines.shape[1] // 8, dtype=torch.int64)
        for nibble, output in enumerate(utils.AWQ_ORDER):
            words |= lines.to(torch.int64)[:, output::8] << (4 * nibble)
        return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)

    parts = {"m.qweight": pack(codes.t()), "m.qzeros": pack(zeros.t()), "m.scales": scales.t().half()}
    values = utils.dequantize_gemm(parts["m.qweight"], parts["m.qzeros"], parts["m.scales"].float(), 4, 32)
    write("awq", {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True}, parts,
          {"m.weight": values.t()})


def compressed_tensors():
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    def one(name, form, shape, activations=None, **arguments):
        arguments = QuantizationArgs(**arguments)
        scheme = QuantizationScheme(targets=["Linear"], weights=arguments, input_activations=activations)
        weight = random_weight(*shape, seed=len(name))
        strategy = str(getattr(arguments.strategy, "value", arguments.strategy))
        size = arguments.group_size if strategy == "group" else shape[1]
        grouped = weight.reshape(shape[0], -1, size)
        low, high = grouped.amin(-1), grouped.amax(-1)
        if strategy == "tensor":
            low, high = low.amin().reshape(1), high.amax().reshape(1)
        if strategy == "block":
            rows, columns = arguments.block_structure
            cells = [[weight[r:r + rows, c:c + columns] for c in range(0, shape[1], columns)] for r in range(0, shape[0], rows)]
            low = torch.tensor([[float(cell.min()) for cell in line] for line in cells])
            high = torch.tensor([[float(cell.max()) for cell in line] for line in cells])
        scale, zero = calculate_qparams(low, high, arguments)
        if form == "mxfp4-pack-quantized":
            scale = torch.exp2(torch.ceil(torch.log2(grouped.abs().amax(-1) / 6)))
        compressor = BaseCompressor.get_value_from_registry(form)
        state = {"weight": weight, "weight_scale": scale}
        if not arguments.symmetric:
            state["weight_zero_point"] = zero.to(torch.int8)
        state = compressor.compress(state, scheme)
        values = compressor.decompress(dict(state), scheme)["weight"]
        config = {"quant_method": "compressed-tensors", "format": form,
                  "config_groups": {"group_0": {"targets": ["Linear"], "format": form,
                                                "weights": json.loads(arguments.model_dump_json())}}}
        if activations is not None:
            config["config_groups"]["group_0"]["input_activations"] = json.loads(activations.model_dump_json())
        parts = {"m." + key: value for key, value in state.items()}
        write(name, config, parts, {"m.weight": values})

    dynamic = QuantizationArgs(num_bits=8, type="int", strategy="token", dynamic=True, symmetric=True)
    one("ct_w4a16", "pack-quantized", (16, 64), num_bits=4, type="int", strategy="group", group_size=32, symmetric=True)
    one("ct_w4a16_zeros", "pack-quantized", (16, 64), num_bits=4, type="int", strategy="group", group_size=32, symmetric=False)
    one("ct_w8a16", "pack-quantized", (16, 66), num_bits=8, type="int", strategy="channel", symmetric=True)
    one("ct_w8a8", "int-quantized", (16, 64), dynamic, num_bits=8, type="int", strategy="channel", symmetric=True)
    one("ct_fp8_channel", "float-quantized", (16, 64), num_bits=8, type="float", strategy="channel", symmetric=True)
    one("ct_fp8_tensor", "float-quantized", (16, 64), num_bits=8, type="float", strategy="tensor", symmetric=True)
    one("ct_fp8_block", "float-quantized", (128, 128), num_bits=8, type="float", strategy="block", block_structure=[128, 128],
        symmetric=True)
    one("ct_mxfp4", "mxfp4-pack-quantized", (16, 64), num_bits=4, type="float", strategy="group", group_size=32, symmetric=True)


def fp8():
    """No tool needs more than these lines: FineGrainedFP8 of transformers is written from its definition."""
    for name, shape, block in (("fp8_block", (130, 136), (128, 128)), ("fp8_tensor", (16, 40), None), ("fp8_channel", (16, 40), (1, 40))):
        weight = random_weight(*shape, seed=shape[0])
        rows, columns = block or shape
        grid = torch.tensor([[float(weight[r:r + rows, c:c + columns].abs().max()) for c in range(0, shape[1], columns)]
                             for r in range(0, shape[0], rows)]) / 448
        wide = grid.repeat_interleave(rows, 0)[:shape[0]].repeat_interleave(columns, 1)[:, :shape[1]]
        codes = (weight / wide).to(torch.float8_e4m3fn)
        config = {"quant_method": "fp8", "activation_scheme": "dynamic"}
        ending = ".weight_scale"
        if name == "fp8_block":
            config["weight_block_size"] = [128, 128]
            ending = ".weight_scale_inv"
        elif name == "fp8_tensor":
            grid = grid.reshape(())
        else:
            config["quant_method"] = "fbgemm_fp8"
        write(name, config, {"m.weight": codes, "m" + ending: grid}, {"m.weight": codes.float() * wide})
    codes = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    codes[codes & 0x7F == 0x7F] = 0  # no NaN
    values = codes.view(torch.float8_e4m3fn)
    write("fp8_all_codes", {"quant_method": "fp8"}, {"m.weight": values, "m.weight_scale": torch.tensor(1.0)},
          {"m.weight": values.float()})


def bitsandbytes():
    import bitsandbytes.functional as functional
    for name, kind, nested in (("bnb_nf4", "nf4", False), ("bnb_nf4_double", "nf4", True), ("bnb_fp4", "fp4", False)):
        # Rows of whole blocks: the CPU kernel of 0.50.2 takes other scales than quantize_4bit made if a block goes on in the
        # next row.
        weight = random_weight(12, 128, 5)
        codes, state = functional.quantize_4bit(weight, quant_type=kind, compress_statistics=nested)
        values = functional.dequantize_4bit(codes, state)
        parts = {"m.weight": codes}
        parts.update({"m.weight." + key: value for key, value in state.as_dict(packed=True).items()})
        config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": kind,
                  "bnb_4bit_use_double_quant": nested}
        write(name, config, parts, {"m.weight": values})
    weight = random_weight(24, 80, 6).half()
    codes, scales, _ = functional.int8_vectorwise_quant(weight)
    values = functional.int8_vectorwise_dequant(codes, scales)
    parts = {"m.weight": codes, "m.SCB": scales, "m.weight_format": torch.tensor(0, dtype=torch.uint8)}
    write("bnb_int8", {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}, parts, {"m.weight": values})


QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4")
# Bytes of fp16 scales in a block, which random bytes would make huge or NaN.
SCALES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,)}


def gguf_blocks():
    """A tensor of every type and its values, as `expected.TYPE`. Types that the package cannot make have random codes."""
    import gguf
    random = np.random.default_rng(3)
    writer = gguf.GGUFWriter(HERE / "blocks.gguf", "blocks")
    for name in QUANTISED:
        kind = gguf.GGMLQuantizationType[name]
        if name in SCALES:
            values, size = gguf.GGML_QUANT_SIZES[kind]
            data = random.integers(0, 256, (2, 512 // values * size), dtype=np.uint8)
            for block in range(512 // values):
                for at in SCALES[name]:
                    scale = random.uniform(0.001, 0.02, 2).astype(np.float16).view(np.uint8).reshape(2, 2)
                    data[:, block * size + at:block * size + at + 2] = scale
        else:
            data = gguf.quants.quantize(random.standard_normal((2, 512)).astype(np.float32) * 0.1, kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor("expected." + name, gguf.quants.dequantize(data, kind).astype(np.float32))
    plain = random.standard_normal((2, 8)).astype(np.float32)
    writer.add_tensor("F16", plain.astype(np.float16))
    writer.add_tensor("expected.F16", plain.astype(np.float16).astype(np.float32))
    bf16 = gguf.quants.quantize(plain, gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("BF16", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("expected.BF16", gguf.quants.dequantize(bf16, gguf.GGMLQuantizationType.BF16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama2c_tokens():
    data = (MODELS / "stories260K/tok512.bin").read_bytes()
    place, tokens, scores = 4, [], []
    while place < len(data):
        score, length = struct.unpack_from("<fi", data, place)
        tokens.append(data[place + 8:place + 8 + length])
        scores.append(score)
        place += 8 + length
    types = [1] * len(tokens)
    types[0], types[1], types[2] = 2, 3, 3
    tokens[0], tokens[1], tokens[2] = b"<unk>", b"<s>", b"</s>"
    for value in range(256):
        types[3 + value] = 6
    return [token if kind == 6 else token.replace(b" ", "\u2581".encode()) for token, kind in zip(tokens, types)], scores, types


def gguf_model():
    """The same tiny Llama as a GGUF file and as a Hugging Face folder with the values that the package makes of its types."""
    import gguf
    heads, kv_heads, width, size, layers, vocab = 4, 2, 32, 64, 2, 512
    random = np.random.default_rng(4)
    writer = gguf.GGUFWriter(HERE / "tiny-llama.gguf", "llama")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(vocab)
    tokens, scores, types = llama2c_tokens()
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ bos_token }}{{ m['content'] }}{% endfor %}")
    folder = {}

    def interleaved(weight, count):  # the rows of a head: components i and i + half become neighbours
        return weight.reshape(count, 2, weight.shape[0] // count // 2, -1).swapaxes(1, 2).reshape(weight.shape)

    def add(theirs, ours, shape, kind, rotary_heads=0):
        values = (random.standard_normal(shape) * 0.2 + (1 if len(shape) == 1 else 0)).astype(np.float32)
        kind = gguf.GGMLQuantizationType[kind]
        data = gguf.quants.quantize(interleaved(values, rotary_heads) if rotary_heads else values, kind)
        writer.add_tensor(theirs, data, raw_dtype=kind)
        made = torch.from_numpy(gguf.quants.dequantize(data, kind).astype(np.float32))
        if rotary_heads:  # and back
            half = shape[0] // rotary_heads // 2
            made = made.reshape(rotary_heads, half, 2, -1).swapaxes(1, 2).reshape(shape)
        is_plain = kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)
        folder[ours] = (made if is_plain else made.bfloat16()).contiguous()

    add("token_embd.weight", "model.embed_tokens.weight", (vocab, width), "Q8_0")
    add("output_norm.weight", "model.norm.weight", (width,), "F32")
    add("output.weight", "lm_head.weight", (vocab, width), "Q4_0")
    for layer in range(layers):
        block, prefix = f"blk.{layer}.", f"model.layers.{layer}."
        add(block + "attn_norm.weight", prefix + "input_layernorm.weight", (width,), "F32")
        add(block + "attn_q.weight", prefix + "self_attn.q_proj.weight", (width, width), "Q4_0", heads)
        add(block + "attn_k.weight", prefix + "self_attn.k_proj.weight", (width // 2, width), "Q8_0", kv_heads)
        add(block + "attn_v.weight", prefix + "self_attn.v_proj.weight", (width // 2, width), "F16")
        add(block + "attn_output.weight", prefix + "self_attn.o_proj.weight", (width, width), "BF16")
        add(block + "ffn_norm.weight", prefix + "post_attention_layernorm.weight", (width,), "F32")
        add(block + "ffn_gate.weight", prefix + "mlp.gate_proj.weight", (size, width), "Q5_0")
        add(block + "ffn_up.weight", prefix + "mlp.up_proj.weight", (size, width), "Q5_1")
        add(block + "ffn_down.weight", prefix + "mlp.down_proj.weight", (width, size), "Q4_1")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    place = HERE / "tiny-llama"
    place.mkdir(exist_ok=True)
    save_file(folder, place / "model.safetensors")
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": vocab, "hidden_size": width,
              "intermediate_size": size, "num_hidden_layers": layers, "num_attention_heads": heads,
              "num_key_value_heads": kv_heads, "rms_norm_eps": 1e-5, "max_position_embeddings": 128, "rope_theta": 10000.0,
              "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2}
    (place / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    for part in (gptq, awq, compressed_tensors, fp8, bitsandbytes, gguf_blocks, gguf_model):
        if len(sys.argv) == 1 or part.__name__ in sys.argv[1:]:
            part()
            print(part.__name__)
