"use strict";
// Texts of the file reach the page as text nodes only, so nothing in them is markup or script.
(() => {
  const data = JSON.parse(document.getElementById("sample-data").textContent);
  const byId = (id) => document.getElementById(id);
  const node = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // One character a digit of base 64; a 63 says that the value goes on.
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const lengthsOf = (code) => {
    const lengths = [];
    let value = 0;
    for (const character of code) {
      const digit = digits.indexOf(character);
      value += digit;
      if (digit === 63) continue;
      lengths.push(value);
      value = 0;
    }
    return lengths;
  };
  // The square of a digit: fine steps near 0, coarse ones where a token was unlikely.
  const logprobOf = (character) => -Math.pow((digits.indexOf(character) * 4) / 63, 2);

  const number = (value, places) => value === null ? "–" : value.toFixed(places);
  const rows = data.rows;
  for (const row of rows) {
    const prompt = data.prompts[row.prompt];
    const fed = prompt.chat ? prompt.chat.map((message) => message[1]).join("\n") : prompt.text;
    row.haystack = (row.text + "\n" + (row.failure || "") + "\n" + fed).toLowerCase();
  }

  const state = {query: "", order: "row", hidden: new Set(), chosen: null};
  const orders = {
    row: (a, b) => a.row - b.row,
    longest: (a, b) => b.tokens - a.tokens || a.row - b.row,
    shortest: (a, b) => a.tokens - b.tokens || a.row - b.row,
    // Rows without log-probability come last in both orders.
    likely: (a, b) => (b.mean ?? -Infinity) - (a.mean ?? -Infinity) || a.row - b.row,
    unlikely: (a, b) => (a.mean ?? Infinity) - (b.mean ?? Infinity) || a.row - b.row,
  };

  const shown = () => rows
    .filter((row) => !state.hidden.has(row.reason) && row.haystack.includes(state.query))
    .sort(orders[state.order]);

  // `text` as nodes, with what is searched for marked.
  const marked = (parent, text) => {
    const lower = text.toLowerCase();
    let at = 0;
    // Lower case of a few letters is longer; then nothing is marked.
    if (state.query && lower.length === text.length) {
      for (let found = lower.indexOf(state.query); found >= 0; found = lower.indexOf(state.query, at)) {
        parent.append(text.slice(at, found), node("mark", "", text.slice(found, found + state.query.length)));
        at = found + state.query.length;
      }
    }
    parent.append(text.slice(at));
    return parent;
  };

  const saidBy = (row) => {
    if (row.failure) {
      const failed = marked(node("div", "said error"), row.failure);
      failed.dir = "auto";
      return failed;
    }
    const said = node("div", "said");
    said.dir = "auto";
    if (row.logprobs && !state.query) {
      let at = 0;
      lengthsOf(row.lengths).forEach((length, token) => {
        const piece = row.text.slice(at, at + length);
        at += length;
        if (!piece) return;
        const logprob = logprobOf(row.logprobs[token]);
        const span = node("span", "", piece);
        span.style.background = `rgba(var(--shade), ${Math.min(.75, -logprob / 8).toFixed(2)})`;
        span.title = `log-probability about ${logprob.toFixed(2)}`;
        said.append(span);
      });
    } else {
      marked(said, row.text);
    }
    if (row.cut) said.append(node("span", "cut", ` … ${row.cut} more tokens in the file`));
    return said;
  };

  const metaOf = (row) => {
    const meta = node("div", "meta");
    meta.append(node("span", "dot " + row.reason), node("b", "", `row ${row.row}`), node("span", "", row.reason),
                node("span", "", `${row.tokens} tokens`));
    if (row.mean !== null) meta.append(node("span", "", `mean logprob ${number(row.mean, 2)}`));
    return meta;
  };

  const showDetail = () => {
    const detail = byId("detail");
    detail.replaceChildren();
    const row = state.chosen;
    if (!row) return;
    const prompt = data.prompts[row.prompt];
    detail.append(node("h3", "", `Prompt ${prompt.prompt}`));
    if (prompt.chat) {
      const chat = node("div", "chat");
      for (const [role, text] of prompt.chat) {
        const bubble = node("div", "bubble " + (role === "user" || role === "system" ? role : "assistant"));
        const words = marked(node("div", "said"), text);
        words.dir = "auto";
        bubble.append(node("small", "", role), words);
        chat.append(bubble);
      }
      detail.append(chat);
    } else {
      const fed = marked(node("div", "fed"), prompt.text || "(empty)");
      fed.dir = "auto";
      detail.append(fed);
    }
    const samples = rows.filter((other) => other.prompt === row.prompt);
    detail.append(node("h3", "", samples.length > 1
      ? `${samples.length} of its samples, side by side` : (prompt.chat ? "Answer" : "Generated")));
    const sides = node("div", "sides");
    for (const sample of samples) {
      const side = node("div", "side" + (sample === row && samples.length > 1 ? " chosen" : ""));
      side.append(metaOf(sample), saidBy(sample));
      sides.append(side);
    }
    detail.append(sides);
    detail.scrollTop = 0;
  };

  const showList = () => {
    const found = shown();
    const list = byId("list");
    list.replaceChildren();
    if (!found.includes(state.chosen)) state.chosen = found[0] || null;
    for (const row of found) {
      const item = node("li");
      const button = node("button");
      button.dataset.row = row.row;
      button.setAttribute("aria-current", String(row === state.chosen));
      const text = node("div", "text", row.failure || row.text.trim() || "(nothing)");
      text.dir = "auto";
      const meta = node("div", "meta");
      meta.append(node("span", "dot " + row.reason), node("span", "", `row ${row.row}`),
                  node("span", "", row.tokens + " tokens" + (row.mean === null ? "" : ` · ${number(row.mean, 2)}`)));
      button.append(meta, text);
      button.addEventListener("click", () => {
        state.chosen = row;
        for (const other of list.querySelectorAll("button")) {
          other.setAttribute("aria-current", String(other === button));
        }
        showDetail();
      });
      item.append(button);
      list.append(item);
    }
    if (found.length === 0) list.append(node("li", "none", "No row of the sample matches."));
    byId("count").textContent = `${found.length} of ${rows.length}`;
    showDetail();
  };

  byId("search").addEventListener("input", (event) => {
    state.query = event.target.value.trim().toLowerCase();
    showList();
  });
  byId("order").addEventListener("change", (event) => {
    state.order = event.target.value;
    showList();
  });
  for (const chip of document.querySelectorAll(".chip")) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") === "true";
      chip.setAttribute("aria-pressed", String(!on));
      if (on) state.hidden.add(chip.dataset.reason); else state.hidden.delete(chip.dataset.reason);
      showList();
    });
  }
  byId("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
                                    : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = byId(button.dataset.copy).textContent;
      const before = button.textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // A page from a file may have no clipboard: the command is selected instead.
        getSelection().selectAllChildren(byId(button.dataset.copy));
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { button.textContent = before; }, 2000);
    });
  }
  showList();
})();
