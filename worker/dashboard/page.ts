/** The dashboard's HTML, as a module: assets routing would cost every request (measured). */
export default `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>patchswarm edge</title>
<style>
  :root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem; }
  h1 { font-size: 1.4rem; margin: 0; }
  header, form { display: flex; gap: .75rem; align-items: baseline; flex-wrap: wrap; }
  form { margin: 2rem 0 1rem; }
  input, button { font: inherit; padding: .35rem .7rem; border: 1px solid var(--line); border-radius: .4rem; }
  .numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0; }
  .numbers div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
  .numbers b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
  td.n, th.n { text-align: right; }
  .quiet { opacity: .7; }
</style>
<header><h1>patchswarm edge</h1><span id="health" class="quiet" role="status">asking…</span></header>
<form id="ask">
  <label for="title">Title</label>
  <input id="title" name="title" required pattern="[a-z0-9][a-z0-9\\-]{0,62}" autocomplete="off" autofocus>
  <button>Show</button>
</form>
<main id="stats" aria-live="polite"></main>
<script>
  const show = (id, ...nodes) => document.getElementById(id).replaceChildren(...nodes);
  const make = (tag, text, kind) => Object.assign(document.createElement(tag), { textContent: text, className: kind ?? "" });
  const bytes = (n) => { let i = 0; for (; n >= 1000 && i < 5; i++) n /= 1000; return n.toFixed(i && n < 100 ? 1 : 0) + " " + ["B", "kB", "MB", "GB", "TB", "PB"][i]; };
  fetch("/healthz").then((r) => show("health", r.ok ? "healthy" : "answers " + r.status), () => show("health", "cannot be reached"));
  const ask = async (title) => {
    const answer = await fetch("/t/" + encodeURIComponent(title) + "/stats");
    const stats = await answer.json();
    if (!answer.ok) return show("stats", make("p", stats.title ?? "The edge failed"));
    // a seed gives to both swarms of its release and to those of its deltas, and is one seed
    const seeds = stats.swarms.reduce((sum, { torrent, complete }) => sum + (torrent === "v1" || torrent === "delta" ? 0 : complete), 0);
    const numbers = make("div", "", "numbers");
    for (const [name, value] of [["releases", stats.releases.length], ["peers now", stats.peers], ["seeds now", seeds],
      ["from the origin", bytes(stats.bytes.origin)], ["from peers", bytes(stats.bytes.peers)]]) {
      const box = make("div", name);
      box.prepend(make("b", value));
      numbers.append(box);
    }
    const table = make("table", "");
    const head = table.createTHead().insertRow();
    for (const name of ["release", "version", "channel", "status", "files", "size"]) head.append(make("th", name, name === "files" || name === "size" ? "n" : ""));
    for (const r of stats.releases) {
      const row = table.insertRow();
      row.append(make("td", r.seq), make("td", r.version), make("td", r.channel), make("td", r.status), make("td", r.files, "n"), make("td", bytes(r.bytes), "n"));
    }
    show("stats", numbers, table);
  };
  document.getElementById("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    location.hash = event.target.title.value;
  });
  const follow = () => {
    const title = decodeURIComponent(location.hash.slice(1));
    if (!title) return;
    document.getElementById("title").value = title;
    ask(title).catch(() => show("stats", make("p", "The edge cannot be reached")));
  };
  addEventListener("hashchange", follow);
  follow();
</script>
</html>
`;
