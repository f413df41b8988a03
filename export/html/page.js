/* SPDX-License-Identifier: Apache-2.0
 * The flame graph page. A node is a frame under one chain of callers; nodes come in depth-first order, so the
 * descendants of node i are i + 1 .. end[i] - 1. Everything shown follows from `view`, which is also the address. */
'use strict';
(() => {
const $ = id => document.getElementById(id);
const data = JSON.parse($('data').textContent);
const base = data.base || null;
const names = data.frames.name, kinds = data.frames.kind;
const objects = data.frames.object.map(i => data.strings[i]);
const files = data.frames.file.map(i => data.strings[i]);
const frameOf = Uint32Array.from(data.nodes.frame), depthOf = Uint32Array.from(data.nodes.depth);
const isInlined = new Uint8Array(frameOf.length);
for (const i of data.nodes.inlined)
	isInlined[i] = 1;
const NATIVE = 0, PYTHON = 1, JVM = 2, KERNEL = 3, UNNAMED = 4, INCOMPLETE = 5;
const KIND_TEXT = ['native', 'Python', 'JVM', 'kernel', 'no symbol', 'stack not whole'];

const nodeCount = frameOf.length, frameCount = names.length;
const parentOf = new Int32Array(nodeCount).fill(-1), end = new Uint32Array(nodeCount).fill(nodeCount);
{
	const path = [];
	for (let i = 0; i < nodeCount; i++) {
		while (path.length > depthOf[i])
			end[path.pop()] = i;
		if (path.length)
			parentOf[i] = path[path.length - 1];
		path.push(i);
	}
}

/* What the profile and the base spent, as the thread filter leaves it. start is a node's left edge. */
const self = new Float64Array(nodeCount), total = new Float64Array(nodeCount), start = new Float64Array(nodeCount);
const baseSelf = new Float64Array(nodeCount), baseTotal = new Float64Array(nodeCount);
const sum = rows => rows.reduce((all, row) => all + row[2], 0);
const whole = sum(data.threads), baseWhole = base ? sum(base.threads) : 0;

function addCells(side, keep, selfs, totals)
{
	const wanted = side.threads.map(keep), cells = side.cells;
	selfs.fill(0);
	for (let i = 0, node = 0; i < cells.length; i += 3) {
		node += cells[i];
		if (wanted[cells[i + 1]])
			selfs[node] += cells[i + 2];
	}
	totals.set(selfs);
	for (let i = nodeCount - 1; i > 0; i--)
		totals[parentOf[i]] += totals[i];
}

const view = { search: '', zoom: 0, thread: '', tid: '', invert: false, tab: 'flame', sort: '', colours: base ? 'difference' : 'object' };

function filterThreads()
{
	const ids = new Set(data.threads.filter(t => String(t[1]) === view.tid).map(t => t[0]));
	const byName = t => view.thread === '' || t[0] === view.thread;
	addCells(data, view.tid === '' ? byName : t => String(t[1]) === view.tid, self, total);
	if (base) /* another run has other thread ids: there the name decides */
		addCells(base, view.tid === '' ? byName : t => ids.has(t[0]), baseSelf, baseTotal);
	const edge = new Float64Array(nodeCount); /* where a node's next child begins */
	for (let i = 1; i < nodeCount; i++) {
		const parent = parentOf[i];
		start[i] = edge[i] = edge[parent];
		edge[parent] += total[i];
	}
}

/* Difference of shares: how much more of the whole a node is than it was in the base, in -1 .. 1. */
const shareOf = (value, all) => all > 0 ? value / all : 0;
const change = (value, baseValue) => shareOf(value, total[0]) - shareOf(baseValue, baseTotal[0]);
let mostChange = 0; /* of what is drawn */
function measureChange()
{
	mostChange = 0;
	for (let i = 1; base && i < nodeCount; i++)
		if (total[i] > 0)
			mostChange = Math.max(mostChange, Math.abs(change(total[i], baseTotal[i])));
}

/* Text. Names are other people's: characters that would reorder or hide what stands beside them are spelled out. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]/g;
const shown = text => text.replace(UNSAFE, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
const number = new Intl.NumberFormat('en');

function amount(value)
{
	const size = Math.abs(value);
	const digits = (x, unit) => (Math.abs(x) < 10 ? x.toFixed(2) : Math.abs(x) < 100 ? x.toFixed(1) : number.format(Math.round(x))) + '\u202f' + unit;
	if (data.unit === 'nanoseconds')
		return size === 0 ? '0\u202fms' : size < 1e3 ? digits(value, 'ns') : size < 1e6 ? digits(value / 1e3, '\u00b5s') :
			size < 1e9 ? digits(value / 1e6, 'ms') : digits(value / 1e9, 's');
	if (data.unit === 'bytes')
		return size < 1024 ? digits(value, 'B') : size < 1048576 ? digits(value / 1024, 'KiB') :
			size < 1073741824 ? digits(value / 1048576, 'MiB') : digits(value / 1073741824, 'GiB');
	return number.format(value) + (data.unit && data.unit !== 'count' ? '\u202f' + data.unit : '');
}

function percent(share)
{
	const value = 100 * share;
	return (value === 0 ? '0' : value < 0.01 ? '<0.01' : value >= 99.95 ? '100' : value < 10 ? value.toFixed(2) : value.toFixed(1)) + '\u202f%';
}

const points = difference => (difference < 0 ? '\u2212' : '+') + (100 * Math.abs(difference)).toFixed(2);

const sign = difference => Math.abs(difference) < 5e-5 ? '' : difference > 0 ? 'grew' : 'shrank';

function make(tag, text, className)
{
	const element = document.createElement(tag);
	if (text !== undefined)
		element.textContent = text;
	if (className)
		element.className = className;
	return element;
}

/* Colours: an object has a hue, a function a shade of it. The busiest objects come first in the list of hues;
 * red and orange are the kernel's. */
const HUES = [[41, 92, 66], [205, 68, 68], [158, 46, 60], [268, 58, 76], [88, 46, 60], [322, 58, 76], [186, 52, 60], [234, 60, 76], [60, 70, 60], [292, 42, 72]];
const dark = matchMedia('(prefers-color-scheme: dark)');
const hueOfObject = new Map();
const objectRank = (() => {
	const weight = new Map(), selfs = new Float64Array(nodeCount);
	for (let i = 0, node = 0; i < data.cells.length; i += 3) {
		node += data.cells[i];
		selfs[node] += data.cells[i + 2];
	}
	for (let i = 1; i < nodeCount; i++)
		weight.set(legendKey(frameOf[i]), (weight.get(legendKey(frameOf[i])) || 0) + selfs[i]);
	return [...weight].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
})();
objectRank.filter(([key]) => !key.startsWith('\0')).forEach(([key], i) => hueOfObject.set(key, HUES[i % HUES.length]));

function legendKey(frame)
{
	const kind = kinds[frame];
	return kind === KERNEL || kind === INCOMPLETE || kind === PYTHON || kind === JVM ? '\0' + KIND_TEXT[kind] : objects[frame];
}

function hash(text)
{
	let value = 2166136261;
	for (let i = 0; i < text.length; i++)
		value = Math.imul(value ^ text.charCodeAt(i), 16777619);
	value = Math.imul(value ^ value >>> 16, 0x85ebca6b); /* names that differ in the last letter must differ in colour */
	value = Math.imul(value ^ value >>> 13, 0xc2b2ae35);
	value ^= value >>> 16;
	return (value >>> 8 & 0xffff) / 0xffff;
}

const hsl = (h, s, l) => `hsl(${h.toFixed(1)} ${s.toFixed(1)}% ${l.toFixed(1)}%)`;
function kindHue(frame)
{
	switch (kinds[frame]) {
	case KERNEL: return [12, 88, 66];
	case PYTHON: return [212, 74, 70];
	case JVM: return [128, 44, 62];
	case INCOMPLETE: return [40, 3, 74];
	}
	return frame === 0 ? [36, 8, 84] : hueOfObject.get(legendKey(frame)) || [40, 6, 76];
}

const objectColour = new Array(frameCount);
function colourFrames()
{
	for (let i = 0; i < frameCount; i++) {
		const [h, s, l] = kindHue(i), shade = i === 0 || kinds[i] === INCOMPLETE ? 0.5 : hash(names[i]);
		const swing = kinds[i] === KERNEL ? 16 : 9;
		const pale = kinds[i] === UNNAMED ? 0.45 : 1;
		objectColour[i] = hsl(h + (shade - 0.5) * swing, s * pale * (dark.matches ? 0.72 : 1),
			l + (hash(names[i] + '~') - 0.5) * (i === 0 ? 0 : 11) - (dark.matches ? 6 : 0));
	}
}

function differenceColour(delta)
{
	const strength = mostChange > 0 ? Math.pow(Math.min(1, Math.abs(delta) / mostChange), 0.55) : 0;
	const ground = dark.matches ? 62 : 92, full = dark.matches ? 55 : 60;
	if (strength < 0.02)
		return hsl(40, 6, ground);
	return hsl(delta > 0 ? 4 : 214, (dark.matches ? 62 : 80) * (0.35 + 0.65 * strength), ground + (full - ground) * strength);
}

/* Search: a regular expression on function names, on objects after "obj:", on kinds after "kind:". */
const literally = text => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
const matches = new Uint8Array(frameCount);
let isSearching = false, isLiteral = false;
function findMatches()
{
	let text = view.search, where = names;
	isLiteral = false;
	if (text.startsWith('obj:')) {
		text = text.slice(4);
		where = objects;
	} else if (text.startsWith('kind:')) {
		text = text.slice(5);
		where = kinds.map(kind => KIND_TEXT[kind]);
	}
	isSearching = text !== '';
	if (!isSearching)
		return;
	const flags = text === text.toLowerCase() ? 'i' : '';
	let expression;
	try {
		expression = new RegExp(text, flags);
	} catch (error) {
		isLiteral = true;
		expression = new RegExp(literally(text), flags);
	}
	for (let i = 0; i < frameCount; i++)
		matches[i] = i > 0 && expression.test(where[i]) ? 1 : 0;
}

/* Each matching frame counts once, also under another match. */
function matchedTotal(from)
{
	let matched = 0;
	for (let i = from; i < end[from];) {
		if (matches[frameOf[i]]) {
			matched += total[i];
			i = end[i];
		} else {
			i++;
		}
	}
	return matched;
}

/* The graph. The canvas is as large as its window and stays there; #space is as high as the graph and scrolls. */
const ROW = 21, GAP = 1, LEAST = 0.5, FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const flame = $('flame'), space = $('space'), canvas = $('canvas'), pen = canvas.getContext('2d', { alpha: false });
let width = 0, height = 0, rows = 0;
let from = 0, to = 1; /* the part of the whole that the width shows */
let seen = [], seenX = [], seenWidth = []; /* what is wide enough to see */
let crumbsOfDust = []; /* depth, x, width: what is not */
let cursor = -1, hovered = -1;

/* Finds what can be seen. Children come heaviest first, but a filter may change that, so each is looked at. */
function measure()
{
	const scale = width / (to - from || 1), edge = (to - from) * 1e-9, zoomDepth = depthOf[view.zoom];
	seen = [];
	seenX = [];
	seenWidth = [];
	crumbsOfDust = [];
	rows = 1;
	let dust = null;
	for (let i = 0; i < nodeCount;) {
		const left = Math.max(start[i], from), right = Math.min(start[i] + total[i], to);
		if (right - left <= edge) {
			i = end[i];
			continue;
		}
		const x = (left - from) * scale, w = (right - left) * scale;
		rows = Math.max(rows, depthOf[i] + 1);
		if (w < LEAST) {
			if (dust && dust[0] === depthOf[i] && x - dust[1] - dust[2] < 1)
				dust[2] = x + w - dust[1];
			else
				crumbsOfDust.push(dust = [depthOf[i], x, w]);
			i = end[i];
			continue;
		}
		seen.push(i);
		seenX.push(x);
		seenWidth.push(w);
		i++;
	}
	rows = Math.max(rows, zoomDepth + 1);
}

function place()
{
	width = Math.max(50, space.clientWidth);
	height = Math.max(50, flame.clientHeight);
	const ratio = devicePixelRatio || 1;
	if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(height * ratio);
		canvas.style.width = width + 'px';
		canvas.style.height = height + 'px';
	}
	pen.setTransform(ratio, 0, 0, ratio, 0, 0);
}

const top = depth => view.invert ? Math.max(height, rows * ROW + 8) - 4 - (depth + 1) * ROW - flame.scrollTop
	: depth * ROW + 2 - flame.scrollTop;

const textWidths = new Map();
function widthOf(text)
{
	let known = textWidths.get(text);
	if (known === undefined)
		textWidths.set(text, known = pen.measureText(text).width);
	return known;
}

function drawText(text, x, y, room)
{
	const full = widthOf(text);
	if (full > room) {
		let count = Math.floor(text.length * room / full) - 1;
		while (count > 1 && pen.measureText(text.slice(0, count) + '\u2026').width > room)
			count--;
		if (count < 2)
			return;
		text = text.slice(0, count) + '\u2026';
	}
	pen.fillText(text, x, y);
}

const hatch = {};
function hatching()
{
	const key = dark.matches ? 'dark' : 'light';
	if (!hatch[key]) {
		const tile = document.createElement('canvas'), brush = tile.getContext('2d');
		tile.width = tile.height = 8;
		brush.fillStyle = dark.matches ? '#55585f' : '#dcdad6';
		brush.fillRect(0, 0, 8, 8);
		brush.strokeStyle = dark.matches ? '#6c7078' : '#c3c0ba';
		brush.lineWidth = 2;
		brush.beginPath();
		for (const x of [-8, 0, 8]) {
			brush.moveTo(x - 1, 9);
			brush.lineTo(x + 9, -1);
		}
		brush.stroke();
		hatch[key] = pen.createPattern(tile, 'repeat');
	}
	return hatch[key];
}

function colourOf(node)
{
	const frame = frameOf[node];
	if (kinds[frame] === INCOMPLETE)
		return hatching();
	if (isSearching && matches[frame])
		return dark.matches ? '#d64fc4' : '#e879d8';
	if (base && view.colours === 'difference')
		return differenceColour(node === 0 ? 0 : change(total[node], baseTotal[node]));
	return objectColour[frame];
}

function drawGraph()
{
	const zoomDepth = depthOf[view.zoom];
	const style = getComputedStyle(document.documentElement);
	pen.fillStyle = style.getPropertyValue('--page');
	pen.fillRect(0, 0, width, height);
	pen.font = FONT;
	pen.textBaseline = 'middle';
	pen.fillStyle = dark.matches ? '#3a3c42' : '#dedad4';
	for (const [depth, x, w] of crumbsOfDust) {
		const y = top(depth);
		if (w >= LEAST && y + ROW > 0 && y < height)
			pen.fillRect(x, y, w, ROW - GAP);
	}
	for (let k = 0; k < seen.length; k++) {
		const node = seen[k], frame = frameOf[node], x = seenX[k], w = seenWidth[k], y = top(depthOf[node]);
		if (y + ROW < 0 || y > height)
			continue;
		const isCaller = depthOf[node] < zoomDepth, isDim = isSearching && !matches[frame];
		const drawn = w > 3 ? w - GAP : Math.max(0.5, w - 0.2);
		pen.globalAlpha = isCaller ? 0.45 : isDim ? (dark.matches ? 0.3 : 0.36) : 1;
		pen.fillStyle = colourOf(node);
		if (w > 6 && pen.roundRect) {
			pen.beginPath();
			pen.roundRect(x, y, drawn, ROW - GAP, 2.5);
			pen.fill();
		} else {
			pen.fillRect(x, y, drawn, ROW - GAP);
		}
		if (w > 26) {
			pen.globalAlpha = isCaller ? 0.75 : isDim ? 0.5 : 1;
			const isOnPage = dark.matches && (pen.globalAlpha < 1 || kinds[frame] === INCOMPLETE);
			pen.fillStyle = isOnPage ? '#e9e7e3' : '#1c1a17';
			drawText(labelOf(node, drawn - 9), x + 5, y + (ROW - GAP) / 2 + 0.5, drawn - 9);
		}
	}
	pen.globalAlpha = 1;
	drawing.width = canvas.width;
	drawing.height = canvas.height;
	drawing.getContext('2d').drawImage(canvas, 0, 0);
	outline();
}

/* The pointer only moves an outline over the finished drawing: a large graph takes too long to draw for each move. */
const drawing = document.createElement('canvas');
function drawOutlines()
{
	pen.save();
	pen.setTransform(1, 0, 0, 1, 0, 0);
	pen.drawImage(drawing, 0, 0);
	pen.restore();
	outline();
}

function outline()
{
	const style = getComputedStyle(document.documentElement);
	for (const node of [hovered, cursor]) {
		const k = node < 0 ? -1 : seen.indexOf(node);
		if (k < 0)
			continue;
		pen.strokeStyle = style.getPropertyValue(node === cursor ? '--accent' : '--text');
		pen.lineWidth = node === cursor ? 2 : 1.5;
		pen.strokeRect(seenX[k] + 0.75, top(depthOf[node]) + 0.75, Math.max(1, seenWidth[k] - GAP - 1.5), ROW - GAP - 1.5);
	}
}

/* A short name where there is no room for the whole one: C++ and Rust arguments between <> left out. The signs of
 * operators and arrows are no brackets, and <...> at the start of a name is the name. */
const shortNames = new Array(frameCount);
function shorten(name)
{
	const text = name.replace(/std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> ?>/g, 'std::string')
		.replace(/std::__cxx11::/g, 'std::');
	if (!text.includes('<'))
		return text;
	let short = '', level = 0;
	for (let i = 0; i < text.length; i++) {
		const sign = /^operator *(<=>|<<=?|>>=?|->\*?|<=?|>=?)/.exec(text.slice(i, i + 14));
		if (sign && !/\w/.test(text[i - 1] || '')) {
			short += level ? '' : sign[0];
			i += sign[0].length - 1;
		} else if (text[i] === '<' && (level || /[\w:]/.test(text[i - 1] || ''))) {
			short += level++ ? '' : '<\u2026>';
		} else if (text[i] === '>' && level && text[i - 1] !== '-') {
			level--;
		} else if (!level) {
			short += text[i];
		}
	}
	return level ? text : short;
}

function labelOf(node, room)
{
	const frame = frameOf[node];
	if (node === 0)
		return 'all \u00b7 ' + amount(total[0]);
	const name = shown(names[frame]);
	return widthOf(name) <= room ? name : shortOf(frame);
}

function shortOf(frame)
{
	return shortNames[frame] || (shortNames[frame] = shown(shorten(names[frame])));
}

function layOut()
{
	place();
	measure();
	space.style.height = Math.max(flame.clientHeight, rows * ROW + 8) + 'px';
	drawGraph();
}

/* Moves the window from where it is to the zoomed frame. */
let motion = 0;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
function moveTo(left, right, isSudden)
{
	cancelAnimationFrame(motion);
	const fromThen = from, toThen = to, began = performance.now();
	const step = now => {
		const t = isSudden || calm.matches ? 1 : Math.min(1, (now - began) / 170), ease = 1 - Math.pow(1 - t, 3);
		from = t === 1 ? left : fromThen + (left - fromThen) * ease;
		to = t === 1 ? right : toThen + (right - toThen) * ease;
		layOut();
		if (t < 1)
			motion = requestAnimationFrame(step);
	};
	if (isSudden || calm.matches)
		step(0);
	else
		motion = requestAnimationFrame(step);
}

function nodeAt(x, y)
{
	for (let k = seen.length - 1; k >= 0; k--) {
		const upper = top(depthOf[seen[k]]);
		if (y >= upper && y < upper + ROW && x >= seenX[k] && x < seenX[k] + seenWidth[k])
			return seen[k];
	}
	return -1;
}

/* The tip: what one frame is and cost. */
const tip = $('tip');
function swatch(frame)
{
	const element = make('span', '', 'swatch');
	element.style.background = kinds[frame] === INCOMPLETE ? '#b9b6b0' : objectColour[frame];
	return element;
}

function whereOf(frame)
{
	return files[frame] ? shown(files[frame]) + (data.frames.line[frame] ? ':' + data.frames.line[frame] : '') : '';
}

function showTip(node, x, y)
{
	tip.hidden = node < 0;
	if (node < 0)
		return;
	const frame = frameOf[node];
	tip.textContent = '';
	tip.append(make('b', node === 0 ? 'all' : shown(names[frame])));
	if (node !== 0) {
		const where = make('div', undefined, 'where');
		where.append(swatch(frame), [shown(objects[frame]), KIND_TEXT[kinds[frame]], isInlined[node] ? 'inlined' : ''].filter(Boolean).join(' \u00b7 '));
		tip.append(where);
		if (whereOf(frame))
			tip.append(make('div', whereOf(frame), 'where'));
	}
	const table = make('table');
	const row = (label, ...cells) => {
		const line = table.insertRow();
		line.append(make('td', label), ...cells.map(c => c instanceof Node ? c : make('td', c)));
	};
	const changed = delta => make('td', points(delta) + ' points', sign(delta));
	row('total', amount(total[node]), percent(shareOf(total[node], total[0])) + ' of all',
		view.zoom > 0 && node >= view.zoom && node < end[view.zoom] ? percent(shareOf(total[node], total[view.zoom])) + ' of zoomed' : '');
	row('self', amount(self[node]), percent(shareOf(self[node], total[0])) + ' of all', '');
	if (base) {
		row('total before', amount(baseTotal[node]), percent(shareOf(baseTotal[node], baseTotal[0])) + ' of all',
			changed(change(total[node], baseTotal[node])));
		row('self before', amount(baseSelf[node]), percent(shareOf(baseSelf[node], baseTotal[0])) + ' of all',
			changed(change(self[node], baseSelf[node])));
	}
	tip.append(table);
	const box = tip.getBoundingClientRect();
	tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 8)) + 'px';
	tip.style.top = (y + 18 + box.height > innerHeight - 6 ? Math.max(6, y - box.height - 12) : y + 18) + 'px';
}

function tipBeside(node)
{
	const k = seen.indexOf(node), box = canvas.getBoundingClientRect();
	if (k >= 0)
		showTip(node, box.left + seenX[k], box.top + top(depthOf[node]) + ROW - 14);
}

/* Hottest functions: recursion counts once, so no total exceeds the whole. */
function functionTable()
{
	const rowsOf = new Map(), path = [], depthOn = new Uint32Array(frameCount);
	for (let i = view.zoom; i < end[view.zoom]; i++) {
		while (path.length && depthOf[path[path.length - 1]] >= depthOf[i])
			depthOn[frameOf[path.pop()]]--;
		const frame = frameOf[i];
		let row = rowsOf.get(frame);
		if (!row)
			rowsOf.set(frame, row = { frame, self: 0, total: 0, baseSelf: 0, baseTotal: 0 });
		row.self += self[i];
		row.baseSelf += baseSelf[i];
		if (depthOn[frame]++ === 0) {
			row.total += total[i];
			row.baseTotal += baseTotal[i];
		}
		path.push(i);
	}
	rowsOf.delete(0);
	return [...rowsOf.values()].filter(row => (row.total > 0 || row.baseTotal > 0) && (!isSearching || matches[row.frame]));
}

const COLUMNS = {
	self: { title: 'Self', key: row => row.self },
	total: { title: 'Total', key: row => row.total },
	change: { title: 'Self change', key: row => Math.abs(change(row.self, row.baseSelf)) },
	name: { title: 'Function', key: row => names[row.frame] },
	object: { title: 'Object', key: row => objects[row.frame] },
	file: { title: 'File', key: row => files[row.frame] },
};
const hasFiles = files.some(file => file !== '');
let firstRows = [];
function drawTable()
{
	const most = 500, head = $('top').querySelector('thead'), body = $('top').querySelector('tbody');
	const list = functionTable(), sort = COLUMNS[view.sort.replace(/^-/, '')] ? view.sort : base ? 'change' : 'self';
	const column = COLUMNS[sort.replace(/^-/, '')], isReversed = sort.startsWith('-');
	const compare = (a, b) => typeof a === 'number' ? b - a : a < b ? -1 : a > b ? 1 : 0;
	list.sort((a, b) => (isReversed ? -1 : 1) * compare(column.key(a), column.key(b)) || b.self - a.self || b.total - a.total ||
		compare(names[a.frame], names[b.frame]));
	firstRows = list.slice(0, 10).map(row => [names[row.frame], row.self, row.total, row.baseSelf, row.baseTotal]);
	head.textContent = body.textContent = '';
	const titles = head.insertRow();
	for (const [key, one] of Object.entries(COLUMNS)) {
		if ((key === 'change' && !base) || (key === 'file' && !hasFiles))
			continue;
		const isNumber = key === 'self' || key === 'total' || key === 'change';
		const cell = make('th', one.title, isNumber ? 'value' : '');
		cell.style.width = { self: '200px', total: '200px', change: '130px', object: '16%', file: '17%' }[key] || '';
		if (column === one)
			cell.setAttribute('aria-sort', isNumber !== isReversed ? 'descending' : 'ascending');
		cell.onclick = () => go({ sort: sort === key ? '-' + key : key });
		titles.append(cell);
	}
	const cost = (value, className) => {
		const cell = make('td', amount(value) + ' ', 'value ' + className), share = shareOf(value, total[0]);
		cell.append(make('small', percent(share)));
		cell.style.setProperty('--share', Math.min(1, share).toFixed(4));
		return cell;
	};
	for (const row of list.slice(0, most)) {
		const line = body.insertRow(), name = make('td', undefined, 'name'), delta = change(row.self, row.baseSelf);
		name.append(swatch(row.frame), shortOf(row.frame));
		name.title = shown(names[row.frame]);
		line.append(cost(row.self, 'self'), cost(row.total, 'total'));
		if (base)
			line.append(make('td', delta === 0 ? '0' : points(delta) + ' points', 'value ' + sign(delta)));
		line.append(name, make('td', shown(objects[row.frame])));
		if (hasFiles) {
			const file = make('td', whereOf(row.frame).replace(/^.*\/(?=.)/, ''));
			file.title = whereOf(row.frame);
			line.append(file);
		}
		line.onclick = () => go({ search: '^' + literally(names[row.frame]) + '$', tab: 'flame' });
	}
	$('more').textContent = list.length > most ? `The first ${most} of ${number.format(list.length)} functions; search to see others.` :
		list.length ? `${number.format(list.length)} functions` + (view.zoom > 0 ? ' in the zoomed frame' : '') + '.' : 'No function.';
}

/* What stands around the graph. */
function fact(title, value, detail)
{
	const box = make('div'), text = make('dd', value);
	if (detail)
		text.append(' ', make('small', detail));
	box.append(make('dt', title), text);
	$('facts').append(box);
}

function drawHeader()
{
	document.querySelector('h1').textContent = shown(document.title.replace(/^(?:.*\/)?([^/]+)\.html$/, '$1'));
	const facts = /^([\w.-]{1,40})=(.+)$/, isFact = comment => facts.test(comment);
	for (const [key, value] of [...data.identity, ...data.comments.filter(isFact).map(comment => facts.exec(comment).slice(1))]) {
		const chip = make('span'), label = make('i', shown(key) + ' ');
		chip.append(label, shown(value));
		chip.title = shown(key + ' = ' + value);
		$('identity').append(chip);
	}
	const isTime = data.unit === 'nanoseconds';
	fact(isTime && data.type === 'cpu' ? 'CPU time' : shown(data.type || 'value') + ' in all', amount(whole),
		base ? 'before ' + amount(baseWhole) : '');
	if (data.samples > 0)
		fact('samples', number.format(data.samples), isTime && data.period > 0 ? 'every ' + amount(data.period) + ' of CPU time' : '');
	if (data.duration > 0) {
		const seconds = data.duration / 1e9;
		fact('wall clock', seconds >= 120 ? Math.floor(seconds / 60) + ' min ' + Math.round(seconds % 60) + ' s' : seconds.toFixed(2) + '\u202fs',
			isTime && data.type === 'cpu' ? (whole / data.duration).toFixed(whole / data.duration < 10 ? 2 : 0) + ' cores busy' : '');
	}
	const threads = data.threads.filter(t => t[1] !== 0 || t[0] !== '').length;
	if (threads)
		fact('threads', number.format(threads));
	if (data.time > 0)
		fact('started', new Date(data.time / 1e6).toISOString().replace('T', ' ').replace(/\.\d+Z/, ''), 'UTC');

	const lost = data.losses.reduce((all, loss) => all + loss[3], 0);
	if (data.losses.length) {
		$('losses').hidden = false;
		$('losses').querySelector('summary').textContent = lost > 0 ?
			`${amount(lost)} of CPU time (${percent(lost / (lost + whole))}) is not in this profile` :
			'Some stacks or names are not whole: ' + data.losses.map(loss => `${number.format(loss[2])} \u00d7 ${loss[0]}`).join(', ');
		for (const [name, text, count, weight] of data.losses) {
			const line = $('losses').querySelector('table').insertRow();
			line.append(make('td', name), make('td', number.format(count) + ' \u00d7'), make('td', weight > 0 ? amount(weight) : ''), make('td', text));
		}
	}
	const comments = data.comments.filter(comment => !isFact(comment));
	if (comments.length) {
		$('comments').hidden = false;
		$('comments').querySelector('summary').textContent = comments.length === 1 ? '1 comment' : comments.length + ' comments';
		for (const comment of comments)
			$('comments').querySelector('ul').append(make('li', shown(comment)));
	}
	$('about').textContent = 'deepprof ' + data.version;

	/* Threads: first the names that several share, then each. */
	const byName = new Map();
	for (const [name, tid, cost] of data.threads) {
		const group = byName.get(name) || { cost: 0, count: 0 };
		group.cost += cost;
		group.count++;
		byName.set(name, group);
	}
	const option = (parent, value, text) => {
		const element = make('option', text);
		element.value = value;
		parent.append(element);
	};
	const select = $('thread');
	select.hidden = threads < 2;
	option(select, '', `All ${number.format(threads)} threads`);
	const title = (name, cost) => `${shown(name) || '(no name)'} \u00b7 ${percent(shareOf(cost, whole))}`;
	const pools = [...byName].filter(([, group]) => byName.size > 1).sort((a, b) => b[1].cost - a[1].cost);
	const group = label => {
		const element = make('optgroup');
		element.label = label;
		select.append(element);
		return element;
	};
	if (pools.length) {
		const parent = group('By name');
		for (const [name, { cost, count }] of pools)
			option(parent, 'name:' + name, title(name, cost) + (count > 1 ? ` (${count} threads)` : ''));
	}
	if (data.threads.length > pools.length) {
		const parent = group('One thread');
		for (const [name, tid, cost] of [...data.threads].sort((a, b) => b[2] - a[2]).slice(0, 2000))
			option(parent, 'tid:' + tid, title(name, cost) + ` (${tid})`);
	}
}

function drawCrumbs()
{
	const bar = $('crumbs'), path = [];
	for (let i = view.zoom; i >= 0; i = parentOf[i])
		path.unshift(i);
	bar.textContent = '';
	const shownPath = path.length > 9 ? [path[0], -1, ...path.slice(-7)] : path;
	for (const node of shownPath) {
		if (bar.childElementCount)
			bar.append(make('span', '\u203a'));
		if (node < 0) {
			bar.append(make('span', `\u2026 ${path.length - 8} more`));
			continue;
		}
		const button = make('button', node === 0 ? 'all' : shortOf(frameOf[node]), node === view.zoom ? 'here' : '');
		button.title = shown(names[frameOf[node]]);
		button.onclick = () => go({ zoom: node });
		bar.append(button);
	}
	bar.append(make('span', `${amount(total[view.zoom])} \u00b7 ${percent(shareOf(total[view.zoom], total[0]))}` +
		(view.thread !== '' || view.tid !== '' ? ' of this thread' : ''), 'share'));
}

function drawLegend()
{
	const legend = $('legend');
	legend.textContent = '';
	if (base && view.colours === 'difference') {
		const scale = make('span', '', 'scale'), stops = [-1, -0.5, -0.1, 0, 0.1, 0.5, 1].map(x => differenceColour(x * mostChange));
		scale.style.background = `linear-gradient(90deg, ${stops.join(',')})`;
		let gone = 0;
		for (let i = 0; i < nodeCount; i = total[i] > 0 ? i + 1 : end[i])
			gone += total[i] > 0 ? 0 : baseTotal[i];
		legend.append(`share shrank by ${(100 * mostChange).toFixed(1)} points`, scale, `grew by ${(100 * mostChange).toFixed(1)} points`);
		if (gone > 0)
			legend.append(` \u00b7 ${percent(shareOf(gone, baseTotal[0]))} of before is gone from here; Hottest functions lists it`);
		return;
	}
	const most = 9;
	for (const [key, cost] of objectRank.slice(0, most)) {
		const isKind = key.startsWith('\0'), text = isKind ? key.slice(1) : key;
		const frame = kinds.findIndex((kind, i) => i > 0 && legendKey(i) === key && kind !== UNNAMED);
		const button = make('button'), mark = swatch(frame < 0 ? kinds.findIndex((kind, i) => i > 0 && legendKey(i) === key) : frame);
		if (hueOfObject.has(key))
			mark.style.background = hsl(...hueOfObject.get(key));
		button.append(mark, `${shown(text) || '(no object)'} ${percent(shareOf(cost, whole))}`);
		const pattern = '^' + literally(text) + '$';
		button.onclick = () => go({ search: (isKind ? 'kind:' : 'obj:') + pattern });
		legend.append(button);
	}
	if (objectRank.length > most)
		legend.append(`and ${objectRank.length - most} more`);
}

/* The view and its address. */
const NAMES = ['search', 'zoom', 'thread', 'tid', 'invert', 'tab', 'sort', 'colours'];
const defaults = { ...view };
function address()
{
	return NAMES.filter(key => view[key] !== defaults[key])
		.map(key => key + '=' + encodeURIComponent(view[key] === true ? '1' : view[key])).join('&');
}

function decode(text)
{
	try {
		return decodeURIComponent(text);
	} catch (error) {
		return text;
	}
}

/* zoom is a node's number, or a function's name: then its heaviest node. */
function nodeOf(text)
{
	if (/^\d+$/.test(text))
		return Number(text) < nodeCount ? Number(text) : 0;
	let best = 0;
	for (let i = 1; i < nodeCount; i++)
		if (names[frameOf[i]] === text && (best === 0 || total[i] > total[best]))
			best = i;
	return best;
}

function readAddress()
{
	const wanted = { ...defaults };
	for (const part of location.hash.slice(1).split('&')) {
		const at = part.indexOf('='), key = part.slice(0, at);
		if (at > 0 && NAMES.includes(key))
			wanted[key] = decode(part.slice(at + 1));
	}
	wanted.invert = wanted.invert === '1' || wanted.invert === true;
	wanted.tab = wanted.tab === 'top' ? 'top' : 'flame';
	if (!base || wanted.colours !== 'object')
		wanted.colours = defaults.colours;
	if (wanted.tid !== '' && !data.threads.some(t => String(t[1]) === wanted.tid))
		wanted.tid = '';
	if (wanted.thread !== '' && !data.threads.some(t => t[0] === wanted.thread))
		wanted.thread = '';
	return wanted;
}

function report()
{
	const matched = isSearching ? matchedTotal(view.zoom) : 0;
	const state = {
		tab: view.tab, search: view.search, matched, matchedShare: shareOf(matched, total[view.zoom]), isLiteral,
		zoom: names[frameOf[view.zoom]], zoomNode: view.zoom, zoomTotal: total[view.zoom], zoomSelf: self[view.zoom],
		thread: view.thread, tid: view.tid, total: total[0], baseTotal: baseTotal[0], whole, invert: view.invert,
		colours: view.colours, nodes: nodeCount, drawn: seen.length, rows, mostChange, top: firstRows,
		losses: data.losses, title: document.title, address: address(),
	};
	window.deepprof_state = state;
	$('state').textContent = JSON.stringify(state);
	$('matched').textContent = isSearching ? percent(state.matchedShare) + (isLiteral ? ' as text' : '') : '';
	$('matched').title = isSearching ? `${amount(matched)} of ${amount(total[view.zoom])} shown` : '';
	$('search').parentElement.classList.toggle('wrong', isSearching && matched === 0);
}

function show(changed, isSudden)
{
	const has = (...keys) => keys.some(key => changed.has(key));
	if (has('thread', 'tid')) {
		filterThreads();
		measureChange();
	}
	if (has('search'))
		findMatches();
	if ($('search').value !== view.search)
		$('search').value = view.search;
	$('thread').value = view.tid !== '' ? 'tid:' + view.tid : view.thread !== '' ? 'name:' + view.thread : '';
	$('invert').textContent = view.invert ? 'Root at bottom' : 'Root at top';
	$('colours').textContent = view.colours === 'difference' ? 'Colours: difference' : 'Colours: objects';
	$('reset').disabled = address() === '';
	for (const tab of ['flame', 'top']) {
		$(tab).hidden = view.tab !== tab;
		$('tab-' + tab).setAttribute('aria-selected', String(view.tab === tab));
	}
	$('empty').hidden = total[0] > 0 || (view.tab === 'top' && baseTotal[0] > 0);
	$('empty').textContent = whole > 0 ? 'This thread has no samples.' : 'No samples: the program used no CPU time while it was watched.';
	drawCrumbs();
	drawLegend();
	if (view.tab === 'top' || isSudden)
		drawTable();
	if (view.tab === 'flame') {
		moveTo(start[view.zoom], start[view.zoom] + (total[view.zoom] || 1), isSudden || !has('zoom'));
		if (has('invert', 'tab'))
			flame.scrollTop = view.invert ? flame.scrollHeight : 0;
	}
	report();
}

function go(wanted, isFromAddress)
{
	const changed = new Set();
	if ('thread' in wanted || 'tid' in wanted) /* one or the other */
		wanted = { thread: '', tid: '', ...wanted };
	for (const key of Object.keys(wanted)) {
		if (view[key] !== wanted[key])
			changed.add(key);
		view[key] = wanted[key];
	}
	if (!changed.size)
		return;
	if (changed.has('zoom'))
		cursor = -1;
	hovered = -1;
	showTip(-1);
	show(changed, false);
	if (!isFromAddress)
		history[changed.has('zoom') || changed.has('tab') ? 'pushState' : 'replaceState'](null, '', '#' + address());
}

function goToAddress()
{
	const wanted = readAddress();
	wanted.zoom = nodeOf(String(wanted.zoom));
	go(wanted, true);
}

/* Mouse and keys. */
canvas.addEventListener('mousemove', event => {
	const node = nodeAt(event.offsetX, event.offsetY);
	if (node !== hovered) {
		hovered = node;
		drawOutlines();
	}
	canvas.style.cursor = node < 0 ? 'default' : 'pointer';
	showTip(node, event.clientX, event.clientY);
});
canvas.addEventListener('mouseleave', () => {
	hovered = -1;
	showTip(-1);
	drawOutlines();
});
canvas.addEventListener('click', event => {
	const node = nodeAt(event.offsetX, event.offsetY);
	if (node >= 0)
		go({ zoom: node });
});
flame.addEventListener('scroll', () => {
	hovered = -1;
	showTip(-1);
	drawGraph();
});
$('tab-flame').onclick = () => go({ tab: 'flame' });
$('tab-top').onclick = () => go({ tab: 'top' });
$('search').oninput = () => go({ search: $('search').value });
$('thread').onchange = () => {
	const [kind, ...rest] = $('thread').value.split(':');
	go(kind === 'tid' ? { tid: rest.join(':') } : { thread: rest.join(':') });
};
$('invert').onclick = () => go({ invert: !view.invert });
$('colours').onclick = () => go({ colours: view.colours === 'object' ? 'difference' : 'object' });
$('reset').onclick = () => go({ search: '', zoom: 0, thread: '', tid: '' });
$('help').onclick = () => $('keys').showModal();

function walk(key)
{
	const here = cursor >= 0 ? cursor : view.zoom, down = view.invert ? 'ArrowUp' : 'ArrowDown';
	let next = -1;
	if (key === 'ArrowLeft' || key === 'ArrowRight') {
		const row = seen.filter(i => depthOf[i] === depthOf[here]);
		next = row[row.indexOf(here) + (key === 'ArrowLeft' ? -1 : 1)] ?? -1;
	} else if (key === down) {
		for (let i = here + 1; i < end[here]; i = end[i])
			if (next < 0 || total[i] > total[next])
				next = i;
	} else {
		next = parentOf[here];
	}
	if (next < 0 || !seen.includes(next))
		return;
	cursor = next;
	const y = top(depthOf[cursor]);
	if (y < 0 || y + ROW > height)
		flame.scrollTop += y - height / 2;
	drawOutlines();
	tipBeside(cursor);
}

document.addEventListener('keydown', event => {
	const isTyping = event.target === $('search');
	if ($('keys').open || event.ctrlKey || event.metaKey || event.altKey)
		return;
	if (event.key === 'Escape') {
		if (view.search !== '')
			go({ search: '' });
		else
			go({ zoom: 0, thread: '', tid: '' });
		$('search').blur();
	} else if (isTyping) {
		if (event.key === 'Enter')
			$('search').blur();
		return;
	} else if (event.key === '/') {
		$('search').focus();
		$('search').select();
	} else if (event.target.tagName === 'SELECT') {
		return;
	} else if (event.key === 'i') {
		go({ invert: !view.invert });
	} else if (event.key === 't') {
		go({ tab: view.tab === 'flame' ? 'top' : 'flame' });
	} else if (event.key === 'c' && base) {
		$('colours').click();
	} else if (event.key === '?') {
		$('keys').showModal();
	} else if (event.key === 'u' || event.key === 'Backspace') {
		if (view.zoom > 0)
			go({ zoom: parentOf[view.zoom] });
	} else if (event.key.startsWith('Arrow') && view.tab === 'flame') {
		walk(event.key);
	} else if (event.key === 'Enter' && cursor >= 0 && event.target.tagName !== 'BUTTON') {
		go({ zoom: cursor });
	} else {
		return;
	}
	event.preventDefault();
});
addEventListener('hashchange', goToAddress);
addEventListener('popstate', goToAddress);
dark.addEventListener('change', () => {
	colourFrames();
	show(new Set(['search']), true);
});
new ResizeObserver(() => {
	if (view.tab === 'flame')
		layOut();
}).observe(flame);

$('colours').hidden = !base;
for (const element of document.querySelectorAll('.difference'))
	element.hidden = !base;
colourFrames();
drawHeader();
filterThreads();
Object.assign(view, readAddress());
view.zoom = nodeOf(String(view.zoom));
show(new Set(NAMES), true);
})();
