// A picture of a few pixels, drawn on with the mouse, a finger or the keyboard. Its value, a JSON text, goes to the server
// and comes from it: {height, width, channels, pixels, mask, label}, pixels (RGB or grey, row by row) and mask (0, 1) in base64.
const zh = (navigator.language || 'en').startsWith('zh') ? 1 : 0;
for (const each of element.querySelectorAll('[data-word]')) {
  const text = props.words[each.dataset.word][zh];
  if (each.hasAttribute('aria-label')) each.setAttribute('aria-label', text); else each.textContent = text;
}
const canvas = element.querySelector('canvas'), pen = canvas.getContext('2d');
const tool = () => element.querySelector('input[type=radio]:checked').value;
let height = 1, width = 1, channels = 1, pixels = new Uint8Array(1), mask = new Uint8Array(1), label = null, at = null, cursor = [0, 0], timer = null;

const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const encode = (bytes) => { let text = ''; for (const byte of bytes) text += String.fromCharCode(byte); return btoa(text); };

function show() {
  const cell = Math.max(1, Math.round(336 / Math.max(height, width)));
  canvas.width = width * cell; canvas.height = height * cell;
  canvas.style.aspectRatio = `${width} / ${height}`;
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    const i = (y * width + x) * channels, [r, g, b] = [pixels[i], pixels[i + (channels > 1 ? 1 : 0)], pixels[i + (channels > 1 ? 2 : 0)]];
    pen.fillStyle = `rgb(${r},${g},${b})`;
    pen.fillRect(x * cell, y * cell, cell, cell);
    if (mask[y * width + x]) { pen.fillStyle = 'rgba(235,64,120,0.55)'; pen.fillRect(x * cell, y * cell, cell, cell); }
  }
  if (document.activeElement === canvas) {
    pen.strokeStyle = '#4f46e5'; pen.lineWidth = 2;
    pen.strokeRect(cursor[0] * cell + 1, cursor[1] * cell + 1, cell - 2, cell - 2);
  }
}
function refuse(why) {
  const said = element.querySelector('.problem');
  said.textContent = why; said.hidden = !why;
}
function tell() {
  props.value = JSON.stringify({height, width, channels, pixels: encode(pixels), mask: encode(mask), label});
}
function load(text) {
  if (!text) return;
  const given = JSON.parse(text);
  ({height, width, channels, label} = given);
  pixels = decode(given.pixels); mask = decode(given.mask);
  show();
}
function dab(x, y) {
  const brush = Number(element.querySelector('.brush').value), low = Math.floor((brush - 1) / 2), kind = tool();
  const colour = element.querySelector('.colour').value.match(/\w\w/g).map((part) => parseInt(part, 16));
  const grey = Math.round(0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]);
  for (let v = y - low; v < y - low + brush; v++) for (let u = x - low; u < x - low + brush; u++) {
    if (u < 0 || v < 0 || u >= width || v >= height) continue;
    const i = v * width + u;
    if (kind === 'mark') mask[i] = 1;
    else if (kind === 'unmark') mask[i] = 0;
    else for (let c = 0; c < channels; c++) pixels[i * channels + c] = channels === 1 ? grey : colour[c];
  }
}
function stroke(to) {
  const steps = Math.max(1, Math.abs(to[0] - at[0]), Math.abs(to[1] - at[1]));
  for (let k = 0; k <= steps; k++) dab(Math.round(at[0] + (to[0] - at[0]) * k / steps), Math.round(at[1] + (to[1] - at[1]) * k / steps));
  at = cursor = to;
  show();
}
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [Math.floor((event.clientX - box.left) / box.width * width), Math.floor((event.clientY - box.top) / box.height * height)];
};
canvas.addEventListener('pointerdown', (event) => {
  if (event.pointerId > 0) { try { canvas.setPointerCapture(event.pointerId); } catch (refused) { /* a made-up pointer */ } }
  at = place(event); stroke(at); event.preventDefault(); canvas.focus();
});
canvas.addEventListener('pointermove', (event) => { if (at) stroke(place(event)); });
for (const over of ['pointerup', 'pointercancel']) canvas.addEventListener(over, () => { if (at) { at = null; tell(); } });
canvas.addEventListener('focus', show);
canvas.addEventListener('blur', show);
canvas.addEventListener('keydown', (event) => {
  const moves = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};
  if (event.key in moves) {
    cursor = cursor.map((value, axis) => Math.min((axis ? height : width) - 1, Math.max(0, value + moves[event.key][axis])));
    show(); event.preventDefault();
  } else if (event.key === ' ' || event.key === 'Enter') {
    dab(...cursor); show(); event.preventDefault();
    clearTimeout(timer); timer = setTimeout(tell, 150);
  }
});
element.querySelector('.clear').addEventListener('click', () => { mask.fill(0); show(); tell(); });
element.querySelector('.blank').addEventListener('click', () => {
  const corner = pixels.slice(0, channels);  // a drawing's ground: black of digits, white of emoji
  for (let i = 0; i < pixels.length; i++) pixels[i] = corner[i % channels];
  mask.fill(0); label = null; show(); tell();
});
element.querySelector('input[type=file]').addEventListener('change', (event) => {
  const file = event.target.files[0], image = new Image();
  if (!file) return;
  refuse('');
  image.onload = () => {  // centre-cropped and made smaller here: the file itself goes nowhere
    const scale = Math.max(width / image.width, height / image.height), small = document.createElement('canvas');
    const [w, h] = [width / scale, height / scale];
    [small.width, small.height] = [width, height];
    const brush = small.getContext('2d', {willReadFrequently: true});
    brush.imageSmoothingQuality = 'high';
    brush.fillStyle = '#fff'; brush.fillRect(0, 0, width, height);
    brush.drawImage(image, (image.width - w) / 2, (image.height - h) / 2, w, h, 0, 0, width, height);
    const data = brush.getImageData(0, 0, width, height).data;
    for (let i = 0; i < width * height; i++) {
      const [r, g, b] = data.slice(4 * i, 4 * i + 3);
      if (channels === 1) pixels[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
      else [pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]] = [r, g, b];
    }
    mask.fill(0); label = null; show(); tell();
    URL.revokeObjectURL(image.src);
  };
  image.onerror = () => { refuse(props.words['canvas_no_picture'][zh]); URL.revokeObjectURL(image.src); };
  image.src = URL.createObjectURL(file);
  event.target.value = '';
});
watch('value', () => load(props.value));
load(props.value);
