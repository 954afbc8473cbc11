// Finds classes by a part of their name; rows that do not fit are hidden.
const find = document.getElementById('find');
if (find) find.addEventListener('input', () => {
  const part = find.value.trim().toLowerCase();
  let shown = 0;
  for (const row of document.querySelectorAll('#classes tr, #others tr')) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(part);
    shown += !row.hidden;
  }
  if (part) document.getElementById('more').open = true;
  document.getElementById('found').textContent = part ? `${shown} found` : '';
});
