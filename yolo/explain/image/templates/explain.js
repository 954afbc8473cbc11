// Chooses which map, which boxes and which detection are shown.
document.querySelectorAll('[data-maps]').forEach(part => {
  const choice = part.querySelector('[data-class-choice]');
  const times = part.querySelector('[data-times-objectness]');
  const update = () => {
    const best = choice.value === 'best';
    part.querySelectorAll('.class-map').forEach(map => {
      map.querySelector('.best').style.display = best ? '' : 'none';
      const stacked = map.querySelector('.stacked');
      stacked.toggleAttribute('hidden', best);
      stacked.style.display = best ? 'none' : '';
      const image = stacked.querySelector('image');
      if (!best) image.setAttribute('y', -Number(choice.value) * Number(image.dataset.step));
      if (times.checked) map.setAttribute('mask', map.dataset.mask);
      else map.removeAttribute('mask');
    });
    const name = 'Probability of ' + choice.options[choice.selectedIndex].dataset.name;
    part.querySelectorAll('[data-map-title]').forEach(title => {
      title.textContent = (best ? 'Most probable class' : name) + (times.checked ? ' × objectness' : '');
    });
  };
  choice.addEventListener('change', update);
  times.addEventListener('change', update);
  update();
});
const choosePanel = id => {
  const panel = document.getElementById(id);
  const all = panel && panel.closest('[data-panels]');
  if (!all) return;
  all.querySelectorAll('.panel').forEach(each => { each.hidden = each !== panel; });
  all.querySelectorAll('[data-panel-choice]').forEach(button => {
    button.setAttribute('aria-pressed', button.dataset.panelChoice === id);
  });
};
document.querySelectorAll('[data-panel-choice]').forEach(button => {
  button.addEventListener('click', () => choosePanel(button.dataset.panelChoice));
});
document.querySelectorAll('[data-boxes]').forEach(part => {
  part.querySelectorAll('[data-stage-choice]').forEach(button => {
    button.addEventListener('click', () => {
      part.dataset.stage = button.dataset.stageChoice;
      part.querySelectorAll('[data-stage-choice]').forEach(each => {
        each.setAttribute('aria-pressed', each === button);
      });
    });
  });
  const same = (event, selector) => {
    const place = event.target.closest(selector);
    return place ? part.querySelectorAll('[data-row="' + Number(place.dataset.row) + '"]') : [];
  };
  const light = event => {
    part.querySelectorAll('.lit').forEach(each => each.classList.remove('lit'));
    same(event, '[data-row]').forEach(each => each.classList.add('lit'));
  };
  part.addEventListener('pointerover', light);
  part.addEventListener('click', event => {
    light(event);
    same(event, '[data-row]').forEach(each => { if (each.dataset.panel) choosePanel(each.dataset.panel); });
  });
});
document.documentElement.dataset.explained = 'yes';
