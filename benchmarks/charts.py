"""Line charts as plain SVG, without a plotting library as a dependency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, isnan, log10
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380, 300, 62, 14, 46, 46
COLOURS = ("#b3273a", "#1c6aa8", "#5b8c2a", "#6b6b6b")


@dataclass(frozen=True, slots=True)
class Line:
    """A line through (x, y), ``width`` in pixels; lines with the same ``name`` share a legend entry."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dashed: bool = False
    width: float = 2


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. ``logarithmic``: its y axis; ``top``: minimum upper end of the y axis; ``x_ticks``: labels of x."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_ticks: Sequence[float]
    logarithmic: bool = False
    top: float = 0.0


def write_svg(path: Path, panels: Sequence[Panel]) -> None:
    """Write ``panels`` side by side with one legend below."""
    names = {line.name: line for panel in panels for line in panel.lines}
    width, height = WIDTH * len(panels), HEIGHT + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({index * WIDTH} 0)">{_panel(panel)}</g>')
    at = float(LEFT)
    for name, line in names.items():
        parts.append(_polyline([(at, HEIGHT + 12), (at + 24, HEIGHT + 12)], line))
        parts.append(_text(at + 30, HEIGHT + 16, name, "start"))
        at += 30 + 7.2 * len(name) + 24
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _panel(panel: Panel) -> str:
    title = _text(LEFT, 22, panel.title, "start", "font-weight='bold' font-size='14'")
    lines = [replace(line, points=[(x, y) for x, y in line.points if not isnan(y)]) for line in panel.lines]
    lines = [line for line in lines if line.points]
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    if not xs:
        return title + _text(LEFT, HEIGHT / 2, "too few jobs", "start")
    x_low, x_high = min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1
    ticks = _decades(min(ys), max(ys)) if panel.logarithmic else _round_ticks(max(panel.top, *ys))

    def scaled(y: float) -> float:
        return log10(y) if panel.logarithmic else y

    low, high = scaled(ticks[0]), scaled(ticks[-1])

    def x_at(x: float) -> float:
        return LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y_at(y: float) -> float:
        return HEIGHT - BOTTOM - (scaled(y) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        title,
        _text(LEFT, 39, panel.y_label, "start"),
    ]
    for tick in ticks:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_at(tick):.1f}" y2="{y_at(tick):.1f}" stroke="#ddd"/>'
        )
        parts.append(_text(LEFT - 6, y_at(tick) + 4, f"{tick:g}", "end"))
    parts += [_text(x_at(tick), HEIGHT - BOTTOM + 18, f"{tick:g}", "middle") for tick in panel.x_ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, panel.x_label, "middle"))
    parts += [_polyline([(x_at(x), y_at(y)) for x, y in line.points], line) for line in lines]
    return "\n".join(parts)


def _polyline(points: Sequence[tuple[float, float]], line: Line) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="{line.width:g}"{dash}/>'


def _text(x: float, y: float, content: str, anchor: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {style}>{escape(content)}</text>'


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(floor(log10(low)), max(ceil(log10(high)), floor(log10(low)) + 1) + 1)]


def _round_ticks(high: float) -> list[float]:
    step = 10 ** floor(log10(max(high, 1e-9)))
    step = step / 5 if high / step < 2 else step / 2 if high / step < 5 else step
    return [step * k for k in range(ceil(high / step) + 1)]
