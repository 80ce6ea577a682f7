#!/usr/bin/env python3
"""Hugging Face transformers beside gridmill: `generate` on random weights of the same shapes, made on the device.

A measurement is what a line of `gridmill bench` is: so many rows, prompts of random tokens of one length, greedy, exactly
`gen` new tokens each (no end of text), bf16. transformers takes the rows as one static batch. One JSON line a measurement
on stdout: prefill_s is a run of one new token, total_s one of `gen`, each an entry a repeat.

usage: python3 tests/gpu/peers.py --shape xlstm-7b --batch 1,8,64 --prompt 256 --gen 64
       python3 tests/gpu/peers.py --device cpu --tiny --shape llama-8b --batch 2      (tries the program, measures nothing)
Exit status: 69 without torch, transformers or the device; 1 if a measurement failed (its line says why).
"""
import argparse
import datetime
import json
import sys
import time

# The shapes of `gridmill bench` (src/bench/shapes.cpp): sizes that differ from transformers' defaults and those that do not.
SHAPES = {
    "llama-8b": {"class": "Llama", "vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32,
                 "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 14336,
                 "rms_norm_eps": 1e-5, "max_position_embeddings": 8192, "tie_word_embeddings": False,
                 "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "xlstm-7b": {"class": "xLSTM", "vocab_size": 50304, "hidden_size": 4096, "num_hidden_layers": 32, "num_heads": 8,
                 "qk_dim_factor": 0.5, "v_dim_factor": 1.0, "ffn_proj_factor": 2.667, "ffn_round_up_to_multiple_of": 64,
                 "norm_eps": 1e-6, "gate_soft_cap": 15.0, "output_logit_soft_cap": 30.0, "tie_word_embeddings": False,
                 "mode": "inference", "return_last_states": True},
}
# Parameters of gridmill's shapes, so that a configuration that is read otherwise is noticed.
PARAMETERS = {"llama-8b": 8030261248, "xlstm-7b": 6865424896}
TINY = {"vocab_size": 512, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 32, "intermediate_size": 256, "num_heads": 4}


def fail(message, status):
    print(f"peers.py: error: {message}", file=sys.stderr)
    sys.exit(status)


def make_model(torch, transformers, shape, device, tiny):
    """A model with random weights, made where it stays."""
    sizes = dict(SHAPES[shape])
    family = sizes.pop("class")
    if tiny:
        sizes.update({key: value for key, value in TINY.items() if key in sizes})
    config = getattr(transformers, family + "Config")(**sizes)
    # Greedy for a fixed number of tokens: nothing may end a row.
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = getattr(transformers, family + "ForCausalLM")(config)
    finally:
        torch.set_default_dtype(before)
    model = model.to(device=device, dtype=torch.bfloat16).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if not tiny and parameters != PARAMETERS[shape]:
        raise RuntimeError(f"{parameters} parameters, but gridmill's {shape} has {PARAMETERS[shape]}")
    return model, parameters


def kernels_of(transformers, model):
    """Which implementation runs: of attention, or of the mLSTM."""
    if type(model).__name__.startswith("xLSTM"):
        installed = getattr(transformers.utils, "is_xlstm_available", lambda: False)()
        config = model.config
        return (f"package xlstm {'installed' if installed else 'not installed: native'}, "
                f"{config.chunkwise_kernel}, {config.sequence_kernel}, {config.step_kernel}")
    return "attention " + str(getattr(model.config, "_attn_implementation", "unknown"))


def measure(torch, model, device, batch, prompt, gen, repeat):
    vocabulary = model.config.vocab_size
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(3, vocabulary, (batch, prompt), generator=generator).to(device)
    mask = torch.ones_like(ids)

    def seconds(new_tokens):
        if device != "cpu":
            torch.cuda.synchronize()
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, max_new_tokens=new_tokens, min_new_tokens=new_tokens,
                                 do_sample=False, num_beams=1, use_cache=True, eos_token_id=None, pad_token_id=0)
        if device != "cpu":
            torch.cuda.synchronize()
        if tuple(out.shape) != (batch, prompt + new_tokens):
            raise RuntimeError(f"generate returned {tuple(out.shape)}, expected {(batch, prompt + new_tokens)}")
        return time.perf_counter() - start

    seconds(2)  # warms up
    prefill_s, total_s = [], []
    for _ in range(repeat):
        prefill_s.append(seconds(1))
        total_s.append(seconds(gen))
    return prefill_s, total_s


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--batch", default="1,8,64")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--gen", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a few thousand parameters: tries the program")
    arguments = parser.parse_args()
    try:
        import torch
        import transformers
    except ImportError as error:
        fail(f"{error}; torch and transformers are needed", 69)
    if arguments.device != "cpu" and not torch.cuda.is_available():
        fail("torch sees no CUDA device", 69)
    transformers.logging.set_verbosity_error()

    line = {"record": "peer", "peer": "transformers", "shape": arguments.shape, "tiny": arguments.tiny,
            "device": torch.cuda.get_device_name() if arguments.device != "cpu" else "cpu", "dtype": "bf16",
            "prompt": arguments.prompt, "gen": arguments.gen,
            "version": f"transformers {transformers.__version__}, torch {torch.__version__}"}
    status = 0
    try:
        torch.manual_seed(1)
        start = time.perf_counter()
        model, parameters = make_model(torch, transformers, arguments.shape, arguments.device, arguments.tiny)
        line.update(parameters=parameters, make_s=round(time.perf_counter() - start, 2), kernels=kernels_of(transformers, model))
    except Exception as error:  # whatever a library of others throws is the result
        print(json.dumps(line | {"error": f"{type(error).__name__}: {error}"}), flush=True)
        fail(f"{arguments.shape}: {error}", 1)
    for batch in map(int, arguments.batch.split(",")):
        record = line | {"batch": batch}
        try:
            prefill_s, total_s = measure(torch, model, arguments.device, batch, arguments.prompt, arguments.gen, arguments.repeat)
            record |= {"prefill_s": prefill_s, "total_s": total_s}
        except Exception as error:
            record |= {"error": f"{type(error).__name__}: {error}"}
            print(f"peers.py: error: {arguments.shape}, batch {batch}: {error}", file=sys.stderr)
            status = 1
        record["at"] = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        print(json.dumps(record), flush=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
