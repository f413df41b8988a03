// SPDX-License-Identifier: Apache-2.0
// The flame graph: rows of rectangles on a canvas, laid out from the profile's call tree. State lives in the URL.
'use strict';
const $ = id => document.getElementById(id);
const canvas = $('graph'), context = canvas.getContext('2d');
const ROW = 18;
const state = { zoom: '', search: '', thread: '', invert: false, tab: 'graph' };
let layout = [], rows = 0, hovered = null;

function readState() {
  const parts = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(state))
    state[key] = key === 'invert' ? parts.get(key) === '1' : parts.get(key) || (key === 'tab' ? 'graph' : '');
}
function writeState() {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(state))
    if (value && !(key === 'tab' && value === 'graph')) parts.set(key, value === true ? '1' : value);
  history.replaceState(null, '', '#' + parts);
}

// DATA.stacks: [thread, value, base value, [frame numbers root first]]; DATA.frames: [name, object, file, line].
function buildTree() {
  const root = { frame: -1, name: 'all', total: 0, base: 0, self: 0, children: new Map(), parent: null };
  for (const [thread, value, base, frames] of DATA.stacks) {
    if (state.thread && DATA.threads[thread] !== state.thread) continue;
    let node = root;
    node.total += value; node.base += base;
    for (const frame of frames) {
      const name = DATA.frames[frame][0];
      let child = node.children.get(name);
      if (!child) {
        child = { frame, name, total: 0, base: 0, self: 0, children: new Map(), parent: node };
        node.children.set(name, child);
      }
      child.total += value; child.base += base;
      node = child;
    }
    node.self += value;
  }
  return root;
}

function pathOf(node) {
  const names = [];
  for (; node && node.parent; node = node.parent) names.unshift(node.name);
  return names;
}
function findZoom(root) {
  let node = root;
  if (state.zoom)
    for (const name of state.zoom.split('\u241f')) {
      const child = node.children.get(name);
      if (!child) break;
      node = child;
    }
  return node;
}

function human(value) {
  if (DATA.unit === 'nanoseconds')
    return value >= 1e9 ? (value / 1e9).toFixed(2) + ' s' : value >= 1e6 ? (value / 1e6).toFixed(1) + ' ms' : (value / 1e3).toFixed(0) + ' µs';
  if (DATA.unit === 'bytes')
    return value >= 1 << 20 ? (value / (1 << 20)).toFixed(2) + ' MiB' : (value / 1024).toFixed(1) + ' KiB';
  return value.toLocaleString('en');
}
const percent = (part, whole) => (whole ? 100 * part / whole : 0).toFixed(2) + '%';

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return h >>> 0;
}
function colour(node, root, matcher) {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  if (matcher && matcher.test(node.name)) return '#c026d3';
  if (node.name.startsWith('[')) return dark ? '#52525b' : '#c4c4cc';
  if (DATA.compares) {
    const change = (root.total ? node.total / root.total : 0) - (root.base ? node.base / root.base : 0);
    const strength = Math.min(1, Math.abs(change) * 8);
    const fade = Math.round((dark ? 90 : 235) - (dark ? 50 : 150) * strength);
    return change > 0.0005 ? `rgb(${dark ? 200 : 240},${fade},${fade})` : change < -0.0005 ? `rgb(${fade},${fade},${dark ? 220 : 245})` : dark ? '#44444c' : '#ececf0';
  }
  const object = node.frame >= 0 ? DATA.frames[node.frame][1] : '';
  const base = hash(object) % 360, hue = object === DATA.program ? 18 + hash(node.name) % 26 : 60 + base % 200;
  return `hsl(${hue},${object === DATA.program ? 82 : 48}%,${(dark ? 38 : 68) + hash(node.name) % 9}%)`;
}

function matcherOf() {
  if (!state.search) return null;
  try { return new RegExp(state.search, 'i'); } catch (e) { return new RegExp(state.search.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i'); }
}
function matchedShare(root, matcher) {
  if (!matcher) return 0;
  let sum = 0;
  const visit = node => {
    if (node.parent && matcher.test(node.name)) { sum += node.total; return; }
    for (const child of node.children.values()) visit(child);
  };
  visit(root);
  return root.total ? sum / root.total : 0;
}

function place(root, zoom) {
  layout = []; rows = 0;
  const width = canvas.clientWidth;
  const chain = [];
  for (let node = zoom; node; node = node.parent) chain.unshift(node);
  chain.forEach((node, depth) => layout.push({ node, x: 0, w: width, depth, above: node !== zoom }));
  rows = chain.length;
  const visit = (node, x, w, depth) => {
    rows = Math.max(rows, depth + 1);
    const children = [...node.children.values()].sort((a, b) => a.name < b.name ? -1 : 1);
    for (const child of children) {
      const wide = node.total ? w * child.total / node.total : 0;
      if (wide >= 0.4) {
        layout.push({ node: child, x, w: wide, depth: depth + 1 });
        visit(child, x, wide, depth + 1);
      }
      x += wide;
    }
  };
  if (zoom) visit(zoom, 0, width, chain.length - 1);
}

let tree, zoomed;
function draw() {
  const matcher = matcherOf(), ratio = devicePixelRatio || 1;
  place(tree, zoomed);
  const height = Math.max(rows * ROW + 8, 60);
  canvas.style.height = height + 'px';
  canvas.width = canvas.clientWidth * ratio; canvas.height = height * ratio;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, height);
  context.font = '11.5px ui-sans-serif, system-ui, sans-serif'; context.textBaseline = 'middle';
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  for (const box of layout) {
    box.y = state.invert ? height - (box.depth + 1) * ROW - 4 : box.depth * ROW + 4;
    context.globalAlpha = box.above ? 0.55 : 1;
    context.fillStyle = box.node.parent ? colour(box.node, tree, matcher) : dark ? '#3f3f46' : '#d8d8e0';
    context.fillRect(box.x, box.y, Math.max(box.w - 0.6, 0.4), ROW - 1);
    if (box.node === hovered) { context.fillStyle = 'rgba(255,255,255,.35)'; context.fillRect(box.x, box.y, box.w, ROW - 1); }
    if (box.w > 34) {
      context.save(); context.beginPath(); context.rect(box.x, box.y, box.w - 4, ROW); context.clip();
      context.fillStyle = dark ? '#fafafa' : '#18181b';
      context.fillText(box.node.parent ? box.node.name : `${DATA.program}: ${human(tree.total)}`, box.x + 4, box.y + ROW / 2);
      context.restore();
    }
  }
  context.globalAlpha = 1;
  const share = matchedShare(tree, matcher);
  $('matched').textContent = matcher ? 'matched ' + (100 * share).toFixed(2) + '%' : '';
  drawCrumbs(); drawTop(matcher);
  $('state').textContent = JSON.stringify({ total: tree.total, zoom: pathOf(zoomed), matched: +(100 * share).toFixed(2), boxes: layout.length, thread: state.thread, invert: state.invert });
  writeState();
}

function drawCrumbs() {
  const crumbs = $('crumbs'); crumbs.replaceChildren();
  let node = tree;
  const add = (label, path) => {
    const link = document.createElement('a');
    link.textContent = label; link.href = '#';
    link.onclick = event => { event.preventDefault(); state.zoom = path; refresh(false); };
    crumbs.append(link);
  };
  add('all', '');
  const names = pathOf(zoomed);
  names.slice(-4).forEach((name, i) => add(name, names.slice(0, Math.max(0, names.length - 4) + i + 1).join('\u241f')));
}

let order = 'self';
function drawTop(matcher) {
  $('graph-view').hidden = state.tab !== 'graph'; $('top-view').hidden = state.tab !== 'top';
  for (const name of ['graph', 'top']) $('tab-' + name).setAttribute('aria-selected', state.tab === name);
  if (state.tab !== 'top') return;
  const functions = new Map();
  const visit = (node, seen) => {
    const isNew = !seen.has(node.name);
    const entry = functions.get(node.name) || { name: node.name, frame: node.frame, self: 0, total: 0 };
    functions.set(node.name, entry);
    entry.self += node.self; if (isNew) entry.total += node.total;
    const next = isNew ? new Set(seen).add(node.name) : seen;
    for (const child of node.children.values()) visit(child, next);
  };
  for (const child of tree.children.values()) visit(child, new Set());
  const list = [...functions.values()].filter(f => !matcher || matcher.test(f.name)).sort((a, b) => order === 'name' ? (a.name < b.name ? -1 : 1) : b[order] - a[order]).slice(0, 500);
  const body = $('top-body'); body.replaceChildren();
  for (const entry of list) {
    const row = document.createElement('tr');
    for (const text of [percent(entry.self, tree.total), human(entry.self), percent(entry.total, tree.total), human(entry.total), entry.name, DATA.frames[entry.frame][1]]) {
      const cell = document.createElement('td'); cell.textContent = text; row.append(cell);
    }
    row.onclick = () => { state.search = '^' + entry.name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '$'; state.tab = 'graph'; $('search').value = state.search; draw(); };
    body.append(row);
  }
}

function boxAt(event) {
  const bounds = canvas.getBoundingClientRect(), x = event.clientX - bounds.left, y = event.clientY - bounds.top;
  return layout.find(b => x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + ROW);
}
canvas.onmousemove = event => {
  const box = boxAt(event), tip = $('tip');
  if (hovered !== (box ? box.node : null)) { hovered = box ? box.node : null; draw(); }
  tip.hidden = !box;
  if (!box) return;
  const node = box.node, frame = node.frame >= 0 ? DATA.frames[node.frame] : null;
  tip.replaceChildren();
  const line = (text, kind) => { const div = document.createElement('div'); div.textContent = text; if (kind) div.className = kind; tip.append(div); };
  line(node.name, 'name');
  if (frame && frame[2]) line(frame[2] + (frame[3] ? ':' + frame[3] : ''));
  if (frame && frame[1]) line(frame[1]);
  line(`total ${human(node.total)} (${percent(node.total, tree.total)}), self ${human(node.self)} (${percent(node.self, tree.total)})`);
  if (DATA.compares) line(`before ${human(node.base)} (${percent(node.base, tree.base)})`);
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
  tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + 'px';
};
canvas.onmouseleave = () => { hovered = null; $('tip').hidden = true; draw(); };
canvas.onclick = event => {
  const box = boxAt(event);
  if (!box) return;
  state.zoom = pathOf(box.node).join('\u241f'); refresh(false);
};
canvas.oncontextmenu = event => {
  const box = boxAt(event);
  if (!box || !navigator.clipboard) return;
  event.preventDefault(); navigator.clipboard.writeText(box.node.name);
};

function refresh(rebuild = true) {
  if (rebuild) tree = buildTree();
  zoomed = findZoom(tree);
  draw();
}
$('search').oninput = event => { state.search = event.target.value; draw(); };
$('thread').onchange = event => { state.thread = event.target.value; refresh(); };
$('invert').onclick = () => { state.invert = !state.invert; draw(); };
$('reset').onclick = () => { state.zoom = ''; refresh(false); };
$('tab-graph').onclick = () => { state.tab = 'graph'; draw(); };
$('tab-top').onclick = () => { state.tab = 'top'; draw(); };
for (const head of document.querySelectorAll('th[data-order]')) head.onclick = () => { order = head.dataset.order; draw(); };
addEventListener('keydown', event => {
  if (event.target.tagName === 'INPUT') { if (event.key === 'Escape') { event.target.blur(); } return; }
  if (event.key === '/') { event.preventDefault(); $('search').focus(); }
  if (event.key === 'i') { state.invert = !state.invert; draw(); }
  if (event.key === 'Escape') { state.zoom = ''; state.search = ''; $('search').value = ''; refresh(false); }
});
addEventListener('resize', () => draw());
addEventListener('hashchange', () => { readState(); start(); });
function start() {
  $('search').value = state.search; $('thread').value = state.thread;
  refresh();
}
for (const name of [...DATA.threads].sort()) {
  const option = document.createElement('option');
  option.value = option.textContent = name;
  $('thread').append(option);
}
document.title = DATA.title;
$('program').textContent = DATA.program;
$('facts').textContent = DATA.facts;
for (const text of DATA.losses) { const item = document.createElement('li'); item.textContent = text; $('losses').append(item); }
$('losses-box').hidden = !DATA.losses.length;
$('legend').textContent = DATA.compares ? 'red: takes a larger share than before, blue: a smaller one' : '';
readState(); start();
