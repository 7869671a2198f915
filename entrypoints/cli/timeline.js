// Moves, hides and names the bars and ticks that timeline_page.py drew.
const $ = (all, at = document) => [...at.querySelectorAll(all)];
const one = (name) => document.getElementById(name);
const number = (text) => (text === '' ? null : +text);
const data = JSON.parse(one('data').textContent);
const { left, width, row } = data;
const view = { recorded: [...data.recorded], valid: [...data.valid] };
const ticks = $('.tick').map((e) => ({ e, t: +e.dataset.t, v: e.dataset.v }));
const bars = $('.bar').map((e) => {
  const { a, b, f, t } = e.dataset;
  return { e, a: number(a), b: number(b), from: +f, to: number(t) };
});
const byElement = new Map(bars.map((bar) => [bar.e, bar]));
const rows = $('.row').map((e) => {
  const name = e.querySelector('.name');
  return { e, name, own: name.textContent, bars: $('.bar', e).map((bar) => byElement.get(bar)) };
});
for (const title of $('svg title')) {
  title.parentNode.tip = title.textContent;
  title.remove();
}
let asOf = data.latest;

const x = ([a, b], t) => left + ((t - a) / (b - a)) * (width - left);
const inside = (at) => Math.min(Math.max(at, left), width);
const time = ([a, b], at) => a + ((at - left) / (width - left)) * (b - a);
const bounded = (t) => Math.min(Math.max(t, -6.2e13), 2.5e14);
const iso = (t) => new Date(t).toISOString().replace('T', ' ').replace('Z', '');

function steps([a, b]) {
  const most = (b - a) / 7;
  const lengths = [
    1, 5, 20, 100, 500, 1000, 5000, 15e3, 6e4, 3e5, 9e5, 36e5,
    108e5, 216e5, 432e5, 864e5, 1728e5, 6048e5,
  ];
  const step = lengths.find((length) => length >= most);
  const found = [];
  if (step) {
    const end = step >= 1e3 ? 19 : 23;
    const cut = step >= 864e5 ? [0, 10] : step >= 6e4 ? [5, 16] : [11, end];
    for (let t = Math.ceil(a / step) * step; t <= b; t += step) {
      found.push([t, iso(t).slice(...cut)]);
    }
    return found;
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 6000, 12000];
  const n = months.find((m) => m * 2.63e9 >= most) || 24000;
  const begin = new Date(a);
  for (let m = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / n) * n; ; m += n) {
    const t = new Date(0).setUTCFullYear(Math.floor(m / 12), ((m % 12) + 12) % 12, 1);
    if (!(t <= b)) return found;
    if (t >= a) found.push([t, iso(t).slice(0, 7)]);
  }
}

function mark(kind, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function axis(scale, range) {
  scale.replaceChildren();
  for (const [t, label] of steps(range)) {
    const at = x(range, t);
    if (at > width - data.label / 2) break;
    scale.append(mark('line', { x1: at, x2: at, y1: 24, y2: 30 }), mark('text', { x: at, y: 18 }));
    scale.lastChild.textContent = label;
  }
}

function draw() {
  axis(one('strip').querySelector('.scale'), view.recorded);
  axis(one('axis').querySelector('.scale'), view.valid);
  for (const { e, t } of ticks) {
    const at = x(view.recorded, t);
    e.setAttribute('x1', at);
    e.setAttribute('x2', at);
    e.style.display = at < left || at > width ? 'none' : '';
  }
  for (const { e, a, b } of bars) {
    const start = inside(a === null ? left : x(view.valid, a));
    const end = inside(b === null ? width : x(view.valid, b));
    const out = (a !== null && x(view.valid, a) > width) || (b !== null && x(view.valid, b) < left);
    e.setAttribute('x', start);
    e.setAttribute('width', out ? 0 : Math.max(end - start, 3));
  }
  show();
}

function show() {
  const line = one('line');
  const at = inside(x(view.recorded, asOf));
  line.setAttribute('transform', `translate(${at},0)`);
  const last = ticks.filter(({ t }) => t <= asOf).pop();
  const said = `${last ? `@${last.v}, ` : ''}${iso(asOf)} UTC`;
  one('as-of').textContent = said;
  one('strip').setAttribute('aria-valuetext', said);
  for (const each of rows) {
    let known = null;
    for (const bar of each.bars) {
      const believed = bar.from <= asOf && (bar.to === null || asOf < bar.to);
      bar.e.classList.toggle('past', !believed);
      if (believed) known = bar;
    }
    each.e.classList.toggle('unknown', !known);
    if (!data.grouped && known) each.name.textContent = short(known.e.tip.split('\n')[0]);
    else each.name.textContent = each.own;
  }
}

const short = (text) => (text.length > data.longest ? `${text.slice(0, data.longest)}…` : text);

function filter() {
  const words = one('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const each of rows) {
    const text = each.bars.map(({ e }) => e.tip).join('\n').toLowerCase() + each.own.toLowerCase();
    const fits = words.every((word) => text.includes(word));
    each.e.style.display = fits ? '' : 'none';
    if (fits) each.e.setAttribute('transform', `translate(0,${row * shown++})`);
  }
  const chart = one('chart');
  const height = Math.max(shown, 1) * row + 8;
  chart.setAttribute('viewBox', `0 0 ${width} ${height}`);
  one('shown').textContent = `${shown} of ${rows.length} rows`;
}

function zoom(name, factor, middle = 0.5) {
  const [a, b] = view[name];
  const at = a + (b - a) * middle;
  const least = name === 'recorded' ? 1 : 1000;
  const size = Math.max((b - a) * factor, least);
  view[name] = [at - size * middle, at + size * (1 - middle)].map(bounded);
  draw();
}

const place = (event, svg) => {
  const box = svg.getBoundingClientRect();
  return ((event.clientX - box.left) / box.width) * width;
};
const chosen = () => (inside(x(view.recorded, asOf)) - left) / (width - left);
function choose(t) {
  asOf = t;
  const [a, b] = view.recorded;
  if (t >= a && t <= b) return show();
  view.recorded = [t - (b - a) / 2, t + (b - a) / 2];
  return draw();
}

function dragging(svg, move) {
  svg.addEventListener('pointerdown', (event) => {
    svg.setPointerCapture(event.pointerId);
    move(event, place(event, svg), true);
    svg.onpointermove = (next) => move(next, place(next, svg), false);
  });
  svg.addEventListener('pointerup', () => (svg.onpointermove = null));
  svg.addEventListener('pointercancel', () => (svg.onpointermove = null));
}
dragging(one('strip'), (event, at) => choose(time(view.recorded, inside(at))));
let grabbed = 0;
let began = [];
for (const svg of [one('axis'), one('chart')]) {
  dragging(svg, (event, at, first) => {
    if (first) [grabbed, began] = [at, view.valid];
    const shift = ((grabbed - at) / (width - left)) * (began[1] - began[0]);
    const next = began.map((t) => t + shift);
    if (next.some((t) => t !== bounded(t))) return;
    view.valid = next;
    draw();
  });
}
one('strip').addEventListener('keydown', (event) => {
  const later = ticks.find(({ t }) => t > asOf);
  const earlier = ticks.filter(({ t }) => t < asOf).pop();
  const [first, last] = [ticks[0], ticks[ticks.length - 1]];
  const keys = { ArrowRight: later, ArrowLeft: earlier, Home: first, End: last };
  const next = keys[event.key];
  if (!next) return;
  event.preventDefault();
  choose(next.t);
});
for (const [id, name] of Object.entries({ strip: 'recorded', axis: 'valid', chart: 'valid' })) {
  const svg = one(id);
  svg.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(name, event.deltaY > 0 ? 1.25 : 0.8, (inside(place(event, svg)) - left) / (width - left));
  }, { passive: false });
}
for (const button of $('button[data-zoom]')) {
  const { axis: name, zoom: factor } = button.dataset;
  button.onclick = () => zoom(name, +factor, name === 'recorded' ? chosen() : 0.5);
}
one('whole').onclick = () => {
  view.recorded = [...data.recorded];
  view.valid = [...data.valid];
  draw();
};
one('latest').onclick = () => choose(data.latest);
one('filter').oninput = filter;
document.addEventListener('pointermove', (event) => {
  const tip = event.target.tip;
  const box = one('tip');
  box.hidden = !tip;
  if (!tip) return;
  box.textContent = tip;
  const right = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
  box.style.left = `${Math.max(right, 8)}px`;
  const below = event.clientY + 18;
  const above = event.clientY - box.offsetHeight - 10;
  box.style.top = `${below + box.offsetHeight > innerHeight ? above : below}px`;
});
draw();
filter();
