// Shows the tip of the element under the pointer, and opens folded parts before printing.
'use strict';
const tip = document.getElementById('tip');
const show = event => {
  const place = event.target.closest && event.target.closest('[data-tip]');
  const byKey = event.type === 'click' && !event.detail;  // a click by the keyboard has no place of its own
  tip.hidden = !place || (byKey && !place.isConnected);
  if (tip.hidden) return;
  tip.textContent = place.dataset.tip;
  const box = tip.getBoundingClientRect(), around = place.getBoundingClientRect();
  const [x, y] = byKey ? [around.left, around.bottom - 16] : [event.clientX, event.clientY];
  tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + 'px';
  tip.style.top = (y + box.height + 24 > innerHeight ? y - box.height - 10 : y + 16) + 'px';
};
document.addEventListener('pointermove', show);
document.addEventListener('click', show);
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(part => { part.open = true; }));
document.documentElement.dataset.ready = 'yes';
