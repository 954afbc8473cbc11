"""How the pages of reports look, light and dark, wide, narrow and printed, and what they say when pointed at."""

STYLE = """
:root { color-scheme: light dark;
  --ground:#f6f7f9; --card:#ffffff; --ink:#1b2430; --soft:#5d6978; --faint:#8d98a6; --rule:#e1e6ec;
  --a:#2f6fde; --b:#d9730d; --good:#1a8a5a; --bad:#c9374c; --board:#eef1f5; --tip:#1b2430; --tip-ink:#ffffff; }
@media (prefers-color-scheme: dark) { :root {
  --ground:#12161c; --card:#1a2028; --ink:#e8edf3; --soft:#a5b1bf; --faint:#76828f; --rule:#2c3540;
  --a:#6ea8ff; --b:#f5a04c; --good:#4cc38a; --bad:#ff7085; --board:#222a34; --tip:#e8edf3; --tip-ink:#12161c; } }
.classification { --kind:#3b82f6 } .localisation { --kind:#f08c00 } .both { --kind:#a855f7 }
.duplicate { --kind:#0ea5a4 } .background { --kind:#e5484d } .missed { --kind:#e639a6 }
* { box-sizing:border-box }
body { margin:0; background:var(--ground); color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif }
main { max-width:1120px; margin:0 auto; padding:2.2rem 1.2rem 3rem }
h1 { font-size:1.9rem; line-height:1.2; margin:0 0 .3rem; letter-spacing:-.015em; overflow-wrap:anywhere }
h2 { font-size:1.25rem; margin:2.6rem 0 .3rem; letter-spacing:-.01em }
h3 { font-size:1rem; margin:0 0 .5rem }
p { margin:.3rem 0 .9rem; max-width:46rem } .sub { color:var(--soft); margin-bottom:1.4rem }
.read { color:var(--soft); font-size:.875rem; margin:.6rem 0 0; max-width:none }
.card { background:var(--card); border:1px solid var(--rule); border-radius:12px; padding:1.1rem 1.2rem; min-width:0 }
.two { display:grid; grid-template-columns:repeat(2,minmax(0,1fr)); gap:1rem; margin-top:1rem }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr)); gap:.8rem }
.tile b { display:block; color:var(--ink); font-size:1.75rem; line-height:1.2; font-weight:650;
  font-variant-numeric:tabular-nums }
.tile > span { color:var(--soft); font-size:.84rem } .tile em { font-style:normal; font-size:.85rem;
  margin-left:.5rem; white-space:nowrap; display:inline-block }
.verdict { margin-top:.8rem; border-left:4px solid var(--kind,var(--a)) } .verdict p { margin:.2rem 0; max-width:none }
.verdict strong { font-size:1.08rem }
.curves { display:grid; grid-template-columns:repeat(auto-fill,minmax(165px,1fr)); gap:.9rem 1.1rem }
.pictures { display:grid; grid-template-columns:repeat(auto-fill,minmax(300px,1fr)); gap:1rem; margin-top:.8rem }
.pair { display:grid; grid-template-columns:1fr 1fr; gap:.8rem }
figure { margin:0 } .picture { background:var(--card); border:1px solid var(--rule); border-radius:12px;
  overflow:hidden; break-inside:avoid }
figcaption { display:flex; flex-direction:column; padding:.6rem .8rem .8rem; font-size:.84rem; line-height:1.4 }
figcaption span { color:var(--soft); overflow-wrap:anywhere } figcaption .gone { color:var(--bad) }
.file { font-family:ui-monospace,Menlo,Consolas,monospace; font-size:.78rem }
.scroll { overflow-x:auto; margin-top:.8rem; background:var(--card); border:1px solid var(--rule); border-radius:12px }
.card .scroll { border:0; margin:0 } .two .card .scroll { margin:0 -.6rem } .apart { margin-top:1rem }
.scroll + .card { margin-top:1rem }
.apart .two { margin:0; align-items:center }
table { border-collapse:collapse; width:100%; font-size:.875rem; font-variant-numeric:tabular-nums }
th,td { padding:.4rem .62rem; text-align:right; border-top:1px solid var(--rule); white-space:nowrap; font-weight:400 }
thead th { color:var(--soft); border-top:0; font-size:.8rem } tbody th { font-weight:600 }
th:first-child { text-align:left } .prose td:last-child, .prose th:last-child { text-align:left; white-space:normal;
  min-width:18rem; color:var(--soft) } .record td { text-align:left; white-space:normal; overflow-wrap:anywhere;
  font-family:ui-monospace,Menlo,Consolas,monospace; font-size:.8rem }
.confusion td, .confusion thead th + th { text-align:center; min-width:3.2rem } .confusion td.zero {
  color:var(--faint) }
.better { color:var(--good) } .worse { color:var(--bad) } .same { color:var(--faint) }
svg { display:block; width:100%; height:auto } svg.heat { max-width:640px; margin:0 auto }
svg text { font:11px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif; fill:var(--soft) }
svg text.name { fill:var(--ink); font-size:12.5px; font-weight:600 } svg text.axis { fill:var(--soft); font-size:11px }
svg text.faint { fill:var(--faint); font-size:10px } svg text.strong { fill:var(--ink); font-size:12px }
.grid { stroke:var(--rule); stroke-width:1 } .base { stroke:var(--faint); stroke-width:1 }
.dashed { stroke:var(--faint); stroke-width:1.2; stroke-dasharray:4 4 }
.run-a { --run:var(--a) } .run-b { --run:var(--b) }
.stroke { fill:none; stroke:var(--run); stroke-width:2.2; stroke-linejoin:round }
.stroke.run-b { stroke-dasharray:6 3 }
.fill { fill:var(--run); opacity:.13 } .thin { fill:none; stroke:var(--faint); stroke-width:1; opacity:.6 }
.thin.many { opacity:.22 }
.solid { fill:var(--run) } rect.right { fill:var(--good) } rect.wrong { fill:var(--bad) }
rect.kind { fill:var(--kind) } rect.total { fill:var(--faint) } rect.board { fill:var(--board) }
rect.kind.run-a, rect.total.run-a { opacity:.45 }
.heat1 { opacity:.25 } .heat2 { opacity:.5 } .heat3 { opacity:.75 }
.ground { fill:var(--board) }
.boxes .found, .boxes .truth { fill:transparent; stroke:var(--kind); stroke-width:2.4;
  vector-effect:non-scaling-stroke }
.boxes .found.right { stroke:#22b573; stroke-width:1.5 } .boxes .found.uncounted { stroke:#9aa4b0; stroke-width:1.2 }
.boxes .truth { stroke:#ffffff; stroke-width:1.2; stroke-dasharray:3 3; filter:drop-shadow(0 0 1px #000) }
.boxes .truth.found { stroke:none } .boxes .truth.difficult { stroke:#9aa4b0 }
.boxes .truth.missed { stroke:var(--kind); stroke-width:2.6; stroke-dasharray:7 4; filter:none }
.boxes .found.localisation { stroke-dasharray:2 3 } .boxes .found.classification { stroke-dasharray:none }
.boxes .found.both { stroke-dasharray:8 3 2 3 } .boxes .found.duplicate { stroke-dasharray:1 5; stroke-width:3 }
.boxes .found.background { stroke-dasharray:12 3 }
.flag { fill:var(--kind) } svg text.mark { fill:#ffffff; font-weight:700; font-size:inherit }
.legend { list-style:none; display:flex; flex-wrap:wrap; gap:.35rem 1.3rem; padding:0; margin:.6rem 0;
  font-size:.84rem }
.legend li { display:flex; align-items:center; gap:.45rem } .legend span { color:var(--soft) }
svg.sample { width:34px; height:16px; background:#5b6672; border-radius:4px; flex:none }
.key { display:flex; flex-wrap:wrap; gap:.3rem 1.2rem; font-size:.9rem; margin:.2rem 0 1rem } .key i {
  display:inline-block;
  width:1.6rem; border-top:3px solid var(--run); vertical-align:.28em; margin-right:.5rem }
.key .run-b i { border-top-style:dashed }
details summary { cursor:pointer; color:var(--soft); padding:.8rem 0 .6rem }
#tip { position:fixed; z-index:9; max-width:19rem; padding:.3rem .6rem; border-radius:6px; font-size:.82rem;
  line-height:1.35;
  background:var(--tip); color:var(--tip-ink); pointer-events:none; overflow-wrap:anywhere }
#tip[hidden] { display:none }
footer { color:var(--faint); font-size:.8rem; margin-top:2.5rem }
@media (max-width:760px) { main { padding:1.3rem .8rem 2rem } .two { grid-template-columns:minmax(0,1fr) }
  th,td { padding:.35rem .42rem; font-size:.8rem } .prose th { white-space:normal }
  .prose td:last-child, .prose th:last-child { min-width:10rem } h1 { font-size:1.5rem } .card { padding:.9rem }
  .pair { grid-template-columns:1fr }
  .curves { grid-template-columns:repeat(2,minmax(0,1fr)) } }
@media print { :root { --ground:#fff; --card:#fff; --ink:#111; --soft:#444; --faint:#777; --rule:#ddd; --a:#2f6fde;
  --b:#d9730d; --good:#1a8a5a; --bad:#c9374c; --board:#eef1f5 } * { print-color-adjust:exact;
  -webkit-print-color-adjust:exact }
  main { max-width:none; padding:0 } .card,.scroll { break-inside:avoid } h2 { break-after:avoid } th,td {
  white-space:normal;
  padding:.25rem .45rem } .prose td:last-child { min-width:0 } .pictures, .two { grid-template-columns:1fr 1fr } }
"""

SCRIPT = """
'use strict';
const tip = document.getElementById('tip');
const show = event => {
  const place = event.target.closest && event.target.closest('[data-tip]');
  tip.hidden = !place;
  if (!place) return;
  tip.textContent = place.dataset.tip;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + 'px';
  tip.style.top = (event.clientY + box.height + 24 > innerHeight ? event.clientY - box.height - 10
    : event.clientY + 16) + 'px';
};
document.addEventListener('pointermove', show);
document.addEventListener('click', show);
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(part => { part.open = true; }));
document.documentElement.dataset.ready = 'yes';
"""
