// Shows the tip of the element under the pointer, and opens folded parts before printing.
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
