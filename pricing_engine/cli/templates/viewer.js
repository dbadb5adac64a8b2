// A small WebGL 2 viewer: flat-shaded facets coloured by wall thickness, turned by drag, zoomed by wheel or pinch.
"use strict";
(function () {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const places = JSON.parse(document.getElementById("places").textContent);
  const canvas = document.getElementById("view"), marker = document.getElementById("marker");
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
  if (!gl) { document.getElementById("no-webgl").hidden = false; return; }

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const packed = new Uint16Array(bytes(scene.positions).buffer);
  const facets = new Uint32Array(bytes(scene.facets).buffer);
  const thickness = bytes(scene.thickness);
  const half = scene.size.map((s) => s / scene.scale / 2);
  const corners = new Float32Array(facets.length * 4);
  for (let i = 0; i < facets.length; i++) {
    for (let axis = 0; axis < 3; axis++) corners[4 * i + axis] = packed[3 * facets[i] + axis] / 65535 - half[axis];
    corners[4 * i + 3] = thickness[Math.floor(i / 3)] / 100;
  }

  const compile = (type, source) => {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    return shader;
  };
  const program = gl.createProgram();
  gl.attachShader(program, compile(gl.VERTEX_SHADER, `#version 300 es
    in vec4 corner; uniform mat3 turn; uniform vec2 fit; out vec3 eye; flat out float wall;
    void main() { eye = turn * corner.xyz; wall = corner.w; gl_Position = vec4(eye.xy * fit, -eye.z * 0.4, 1.0); }`));
  gl.attachShader(program, compile(gl.FRAGMENT_SHADER, `#version 300 es
    precision highp float; in vec3 eye; flat in float wall; uniform bool coloured; out vec4 colour;
    void main() {
      vec3 n = normalize(cross(dFdx(eye), dFdy(eye)));
      vec3 base = vec3(0.80, 0.78, 0.74);
      if (coloured) base = wall < 0.5 ? vec3(0.84, 0.15, 0.16) : wall < 0.8 ? vec3(0.96, 0.50, 0.14)
                         : wall < 1.0 ? vec3(0.97, 0.80, 0.25) : base;
      float light = 0.30 + 0.55 * max(dot(n, normalize(vec3(0.4, 0.6, 0.8))), 0.0) + 0.25 * max(n.z, 0.0);
      float gloss = pow(max(dot(n, normalize(vec3(0.2, 0.35, 0.95))), 0.0), 40.0) * 0.25;
      colour = vec4(base * light + gloss, 1.0);
    }`));
  gl.linkProgram(program);
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, corners, gl.STATIC_DRAW);
  const attribute = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(attribute);
  gl.vertexAttribPointer(attribute, 4, gl.FLOAT, false, 0, 0);
  gl.enable(gl.DEPTH_TEST);

  let azimuth = 0.6, tilt = 0.45, zoom = 1, spinning = true, coloured = true, target = null;
  const matrix = () => {
    const [s, c, t, d] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(tilt), Math.cos(tilt)];
    return [-c, -s * t, s * d, s, -c * t, c * d, 0, d, t]; // columns; z is up, a place at angle `azimuth` in front
  };
  function draw() {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = canvas.clientHeight;
    if (canvas.width !== Math.round(wide * ratio)) canvas.width = Math.round(wide * ratio);
    if (canvas.height !== Math.round(high * ratio)) canvas.height = Math.round(high * ratio);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const reach = Math.hypot(...half) || 0.5, least = Math.min(wide, high);
    const fit = [zoom / reach * 0.92 * least / wide, zoom / reach * 0.92 * least / high], m = matrix();
    gl.uniformMatrix3fv(gl.getUniformLocation(program, "turn"), false, m);
    gl.uniform2fv(gl.getUniformLocation(program, "fit"), fit);
    gl.uniform1i(gl.getUniformLocation(program, "coloured"), coloured ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, facets.length);
    marker.hidden = target === null;
    if (target) {
      const p = target.map((x, axis) => (x - scene.low[axis]) / scene.scale - half[axis]);
      const x = m[0] * p[0] + m[3] * p[1] + m[6] * p[2], y = m[1] * p[0] + m[4] * p[1] + m[7] * p[2];
      marker.style.left = `${(x * fit[0] + 1) / 2 * wide}px`;
      marker.style.top = `${(1 - y * fit[1]) / 2 * high}px`;
    }
  }
  let asked = false;
  const redraw = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; draw(); }); } };
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  (function spin() { if (spinning && !still) { azimuth += 0.004; redraw(); requestAnimationFrame(spin); } })();

  const held = new Map();
  let pinch = 0;
  canvas.addEventListener("pointerdown", (e) => { held.set(e.pointerId, e); canvas.setPointerCapture(e.pointerId); spinning = false; });
  const release = (e) => { held.delete(e.pointerId); pinch = 0; };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointermove", (e) => {
    const before = held.get(e.pointerId);
    if (!before) return;
    held.set(e.pointerId, e);
    if (held.size === 2) {
      const [a, b] = [...held.values()], apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      if (pinch) zoom = Math.min(40, Math.max(0.3, zoom * apart / pinch));
      pinch = apart;
    } else {
      azimuth += (e.clientX - before.clientX) * 0.01;
      tilt = Math.min(1.57, Math.max(-1.57, tilt + (e.clientY - before.clientY) * 0.01));
    }
    redraw();
  });
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); spinning = false; zoom = Math.min(40, Math.max(0.3, zoom * Math.exp(-e.deltaY * 0.001))); redraw(); }, { passive: false });
  document.getElementById("colours").addEventListener("change", (e) => { coloured = e.target.checked; redraw(); });
  for (const button of document.querySelectorAll("button[data-check]")) {
    let shown = 0;
    button.addEventListener("click", () => {
      const points = places[Number(button.dataset.check)];
      target = points[shown++ % points.length];
      const p = target.map((x, axis) => (x - scene.low[axis]) / scene.scale - half[axis]);
      azimuth = Math.atan2(p[0], p[1]); // brings the place to the front
      tilt = 0.35;
      spinning = false;
      redraw();
    });
  }
  new ResizeObserver(redraw).observe(canvas);
  redraw();
})();
