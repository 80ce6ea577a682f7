# The walk "A chat job on Slurm with your own model" of docs/README.md; sourced by run.sh. The answers equal those of the same
# model read from another file format, run without Slurm.
scenario_chat() {
  mkdir -p chat && cd chat || fail "cd chat"
  rm -rf ./*
  python3 "$root/tests/slurm/chat_folder.py" "$root/models/stories260K/stories260K.bin" \
    "$root/tests/data/tokenizer/stories260K-hf/tokenizer.json" "$root/jobs/recipes/chat.jinja" folder || fail "no folder"
  "$GRIDMILL" convert folder model.h5 2> convert.log || { cat convert.log; fail "convert"; }
  "$GRIDMILL" inspect model.h5 > inspect.log || fail "inspect"
  for id in $(seq 40); do
    printf '{"id": %d, "messages": [{"role": "user", "content": "Tell me about bird %d."}]}\n' "$id" "$id"
  done > chats.jsonl
  cat > job.cfg << CONFIG
model = model.h5
prompts = chats.jsonl
output = answers.h5
max-new-tokens = 64
temperature = 0.7
top-p = 0.9
threads = 1
CONFIG
  "$GRIDMILL" generate --config job.cfg --show 3 > shown.log 2>&1 || { cat shown.log; fail "--show"; }
  [[ $(grep -c 'about bird' shown.log) -ge 3 ]] || { cat shown.log; fail "--show does not show three prompts"; }
  [[ ! -e answers.h5 ]] || fail "--show made a file"
  job=$(sbatch --parsable --nodes 2 --ntasks-per-node 2 --cpus-per-task 1 "--output=$PWD/../$out.log" \
          "$root/slurm/generate.sbatch" --config job.cfg) || fail "sbatch"
  "$GRIDMILL" status answers.h5 > status.log 2>&1 || true  # before, while or after it runs
  complete
  "$GRIDMILL" status answers.h5 > status.log 2>&1 || { cat status.log; fail "status"; }
  grep -q '40 of 40 rows done, 0 failed' status.log || { cat status.log; fail "not 40 rows"; }
  "$GRIDMILL" report answers.h5 -o answers.html || fail "report"
  grep -q '</html>' answers.html || fail "no page"
  "$GRIDMILL" export answers.h5 --messages --join -o answers.jsonl || fail "export"
  python3 - << 'CHECK' || fail "answers.jsonl"
import json
rows = [json.loads(line) for line in open("answers.jsonl")]
assert [row["id"] for row in rows] == list(range(1, 41)), "the records' own fields"
for row in rows:
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"], row
    assert row["messages"][1]["content"], row
CHECK
  # The same model from its other format, with the same template and tokenizer, on one rank.
  "$GRIDMILL" convert "$root/models/stories260K/stories260K.bin" other.h5 --tokenizer folder/tokenizer.json 2> convert.log ||
    { cat convert.log; fail "convert of the other format"; }
  "$GRIDMILL" generate --config job.cfg --model other.h5 --chat-template folder/chat_template.jinja --output other-answers.h5 \
    --eod-token-id 2 > other.log 2>&1 || { cat other.log; fail "the job with the other format"; }
  "$GRIDMILL" export other-answers.h5 --messages --join -o other.jsonl || fail "export of the other job"
  cmp answers.jsonl other.jsonl || fail "the answers differ from those of the same model in another format"
}
