"""Pages of `gridmill report` in headless Chromium: they load without a console message, search, order and
filter work, and hostile texts are shown as texts. With --keep FOLDER pages and screenshots stay there."""

import argparse
import html
import json
import pathlib
import re
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MODELS = HERE.parent.parent / "models"
HOSTILE = [
    "</script><script>document.title = 'owned'</script>",
    "<img src=x onerror=\"document.title = 'owned'\">",
    "<!-- <script>",
    "\u202eright to left override, \u05e9\u05dc\u05d5\u05dd, \u0645\u0631\u062d\u0628\u0627",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji, \u65e5\u672c\u8a9e",
    "zero \x00 byte and \u2028 line separator",
]
TEMPLATE = ("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}assistant:{% endif %}")

# Runs in the page behind its own script; what it finds becomes the text of an element.
PROBE = """
<pre id="probe"></pre><script>
(() => {
  const byId = (id) => document.getElementById(id);
  const rows = () => [...document.querySelectorAll("#list button")].map((b) => Number(b.dataset.row));
  const type = (text) => { byId("search").value = text; byId("search").dispatchEvent(new Event("input")); };
  const order = (name) => { byId("order").value = name; byId("order").dispatchEvent(new Event("change")); };
  const found = {all: rows(), title: document.title};
  for (const option of byId("order").options) { order(option.value); found[option.value] = rows(); }
  order("row");
  type(QUERY);
  found.query = rows();
  found.marks = document.querySelectorAll("mark").length;
  type("no row has this text");
  found.nothing = rows();
  type("");
  const chip = document.querySelector(".chip");
  chip.click();
  found.without_chip = rows();
  chip.click();
  found.chip = chip.dataset.reason;
  found.coloured = document.querySelectorAll(".said span[title]").length;
  found.tokens = [...document.querySelectorAll("#list button")].map((b) => {
    b.click();
    return [...document.querySelectorAll(".side.chosen .said, .side:only-child .said")].map((s) => s.textContent).join("");
  });
  found.sides = document.querySelectorAll(".side").length;
  found.bubbles = document.querySelectorAll(".bubble").length;
  document.querySelectorAll("#list button")[0].click();
  byId("theme").click();
  found.theme = document.documentElement.dataset.theme;
  found.scripts = document.scripts.length;
  byId("probe").textContent = JSON.stringify(found);
})();
</script>
"""


def run(words, folder, codes=(0,)):
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, timeout=200)
    assert done.returncode in codes, (words, done.returncode, done.stderr.decode(errors="replace")[-3000:])
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def browse(folder, page, flags):
    """Stdout of Chromium; its console must stay empty."""
    with tempfile.TemporaryDirectory() as profile:
        out, err = run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                        f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=3000",
                        *flags, (folder / page).as_uri()], folder)
    console = [line for line in err.splitlines() if "CONSOLE" in line]
    assert not console, console
    return out


def probe(folder, page, query):
    text = (folder / page).read_text()
    assert text.count("</body>") == 1, "the end of the page stands there once"
    probed = folder / ("probe-" + page)
    probed.write_text(text.replace("</body>", PROBE.replace("QUERY", json.dumps(query)) + "</body>"))
    dom = browse(folder, probed.name, ["--dump-dom"])
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    assert found, "the probe has not run"
    return json.loads(html.unescape(found.group(1)))


def sample_of(folder, page):
    text = (folder / page).read_text()
    return json.loads(re.search(r'id="sample-data">(.*?)</script>', text, re.S).group(1))


def check_page(folder, page, query, exported):
    """What holds for every page; `exported` are the lines of `gridmill export`, by index."""
    assert (folder / page).stat().st_size < 3_000_000
    assert not re.search(r'(src|href)="(?!data:,")', (folder / page).read_text().split('id="sample-data"')[0])
    sample = sample_of(folder, page)
    rows = {row["row"]: row for row in sample["rows"]}
    found = probe(folder, page, query)
    assert found["title"] != "owned"
    assert found["scripts"] == 3, found["scripts"]  # data, script, probe
    assert found["all"] == sorted(rows) == found["row"]
    assert found["longest"] == sorted(rows, key=lambda i: (-rows[i]["tokens"], i))
    assert found["shortest"] == sorted(rows, key=lambda i: (rows[i]["tokens"], i))
    if "unlikely" in found:
        means = [rows[i]["mean"] for i in found["unlikely"] if rows[i]["mean"] is not None]
        assert means == sorted(means)
        assert found["coloured"] > 0
    wanted = [i for i in sorted(rows)
              if query.lower() in (rows[i]["text"] + rows[i].get("failure", "")
                                   + json.dumps(sample["prompts"][rows[i]["prompt"]], ensure_ascii=False)).lower()]
    assert found["query"] == wanted and wanted, (found["query"], wanted)
    assert found["nothing"] == []
    assert found["without_chip"] == [i for i in sorted(rows) if rows[i]["reason"] != found["chip"]]
    assert found["theme"] in ("light", "dark")
    for index, shown in zip(found["all"], found["tokens"]):
        wanted = exported[index].get("failure") or exported[index]["text"]
        assert wanted.strip() in shown, (index, wanted, shown)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gridmill", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    gridmill = options.gridmill.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        run([gridmill, "convert", MODELS / "stories260K" / "stories260K.bin", "stories.model.h5", "--tokenizer",
             MODELS / "stories260K" / "tok512.bin"], folder)
        (folder / "chat.jinja").write_text(TEMPLATE)
        with open(folder / "prompts.jsonl", "w") as prompts:
            for text in ["Once upon a time", "Lily and Tom", *HOSTILE]:
                prompts.write(json.dumps({"prompt": text}) + "\n")
            for text in ["Tell me about a cat", HOSTILE[0]]:
                prompts.write(json.dumps({"messages": [{"role": "system", "content": "Be kind."},
                                                       {"role": "user", "content": text}]}) + "\n")
            prompts.write('{"no prompt": "</script>"}\nno JSON <b>at all</b>\n')
        common = [gridmill, "generate", "--model", "stories.model.h5", "--prompts", "prompts.jsonl", "--progress", "none"]
        jobs = {
            "plain": ["--max-new-tokens", "40", "--samples-per-prompt", "3", "--chat-template", "chat.jinja"],
            "logprobs": ["--max-new-tokens", "60", "--logprobs", "--stop", ".", "--samples-per-prompt", "2",
                         "--chat-template", "chat.jinja", "--metrics", "metrics.jsonl"],
        }
        for name, words in jobs.items():
            run([*common, "--output", f"{name}.h5", *words], folder, codes=(1,))
            run([gridmill, "report", f"{name}.h5", "-o", f"{name}.html"], folder)
            out, _ = run([gridmill, "export", f"{name}.h5", "--include-stop"], folder)
            exported = {line["index"]: line for line in map(json.loads, out.strip("\n").split("\n"))}
            found = check_page(folder, f"{name}.html", "script", exported)
            assert found["sides"] == (3 if name == "plain" else 2)
            browse(folder, f"{name}.html", ["--dump-dom"])
            if options.keep:
                for theme in ("light", "dark"):
                    text = (folder / f"{name}.html").read_text()
                    (folder / f"{name}-{theme}.html").write_text(
                        text.replace('<html lang="en">', f'<html lang="en" data-theme="{theme}">'))
                    browse(folder, f"{name}-{theme}.html",
                           [f"--screenshot={folder / (name + '-' + theme)}.png", "--window-size=1280,2600"])
            print(f"{name}: {len(found['all'])} rows, search, order and filter work")
        # The prompts of the sample are those of the file, whatever they hold.
        texts = [prompt.get("text", "") for prompt in sample_of(folder, "plain.html")["prompts"]]
        for hostile in HOSTILE:
            assert any(hostile.replace("\x00", "") in text.replace("\x00", "") for text in texts), (hostile, texts)


if __name__ == "__main__":
    main()
