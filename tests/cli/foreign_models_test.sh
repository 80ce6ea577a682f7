#!/bin/bash
# Usage: foreign_models_test.sh SOURCE_DIR GRIDMILL
# A GGUF file, and nothing else, becomes rows in two commands; they are those of the Hugging Face
# folder with the values that the Python package gguf makes of the same file.
set -euo pipefail
data=$1/tests/data/convert/quantised
gridmill=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf 'Once upon a time\nThe\n' > prompts.txt

"$gridmill" convert "$data/tiny-llama.gguf" gguf.h5 2> convert.log
grep -q 'Q4_0.*dequantised' convert.log || { cat convert.log; echo "no line on dequantised weights"; exit 1; }
"$gridmill" generate --model gguf.h5 --prompts prompts.txt --output gguf-out.h5 --max-length 40
"$gridmill" export gguf-out.h5 --output gguf.jsonl

# The folder has no tokenizer of its own; the same pieces are in the file of llama2.c.
"$gridmill" convert "$data/tiny-llama" folder.h5 --tokenizer "$1/models/stories260K/tok512.bin"
"$gridmill" generate --model folder.h5 --prompts prompts.txt --output folder-out.h5 --max-length 40
"$gridmill" export folder-out.h5 --output folder.jsonl
cmp gguf.jsonl folder.jsonl
test "$(wc -l < gguf.jsonl)" -eq 2

# The checkpoints have one hash: configuration and every parameter are equal.
for name in gguf folder; do
  "$gridmill" inspect $name.h5 --json | tr ',{' '\n\n' | grep -m 1 '"hash"' > $name.hashes
done
test -s gguf.hashes
cmp gguf.hashes folder.hashes

# A cut file ends with 65 and leaves nothing behind.
head -c 5000 "$data/tiny-llama.gguf" > cut.gguf
code=0
"$gridmill" convert cut.gguf cut.h5 2> cut.log || code=$?
test "$code" -eq 65
grep -q 'cut.gguf' cut.log
test ! -e cut.h5
echo passed
